"""Pair accuracy: the share of pairs of answers of which a model takes the better one for the better.

An answer here is the one of the two that is taken, and the reference the better one. A side that cannot tell them
apart takes none, the empty text, and is wrong. No kind of task has pairs by itself: reward models are judged by it.
"""

from __future__ import annotations

from collections.abc import Sequence

from eval.metrics.metric import Metric


def takes_the_better(answer: str, references: Sequence[str]) -> float:
    """1.0 where the answer that was taken is the better one, else 0.0."""
    return float(answer == references[0])


METRIC = Metric("pair_accuracy", "pair accuracy", "binary", row=takes_the_better)
