"""chrF: the overlap of runs of one to six characters, as sacrebleu counts it; for translations above all.

Popović 2015, https://aclanthology.org/W15-3049. It needs no words, so it suits any script. Here it is that of each
answer, and of a test set the mean, so that rows can be compared; sacrebleu's own number for a corpus is another.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from eval.metrics.metric import Metric


def chrf(answer: str, references: Sequence[str]) -> float:
    """chrF2 of one answer, 0 to 1, with the reference that gives the most."""
    return float(_scorer().sentence_score(answer, list(references)).score) / 100


@functools.cache
def _scorer() -> Any:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF()


METRIC = Metric("chrf", "chrF", "real", ("generation", "chat"), flip=0.05, row=chrf, limits=(0.0, 1.0))
