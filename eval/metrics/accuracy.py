"""Accuracy: the share of labels that are right."""

from __future__ import annotations

from collections.abc import Sequence

from eval.metrics.metric import Metric


def is_correct(answer: str, references: Sequence[str]) -> float:
    """1.0 where the answer is the right label, else 0.0."""
    return float(answer == references[0])


METRIC = Metric("accuracy", "accuracy", "binary", ("classification",), row=is_correct)
