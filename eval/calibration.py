"""Whether probabilities mean what they say: of the answers given with 80 % confidence, are 80 % right?

The confidence of an answer is the probability of the label that was predicted. With two labels it is never under
0.5, so the lower bins stay empty (a tie of exactly 0.5 is in the bin that ends there). Knows numbers, nothing
about models or tasks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean

from pydantic import BaseModel, ConfigDict, Field

_ROUNDING = 1e-6
"""By how much a probability that was computed in float32 may leave 0 to 1."""


class ReliabilityBin(BaseModel):
    """The answers whose confidence lies in one interval: a point of a reliability diagram."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: float = Field(description="Lower end of the interval, itself not in it, save for 0.", ge=0, le=1)
    high: float = Field(description="Upper end of the interval, itself in it.", ge=0, le=1)
    n: int = Field(description="Number of answers.", ge=1)
    mean_confidence: float = Field(description="Mean confidence of the answers, 0 to 1.", ge=0, le=1)
    accuracy: float = Field(description="Share of the answers that are right, 0 to 1.", ge=0, le=1)

    @property
    def gap(self) -> float:
        """Confidence minus accuracy: above 0 the answers are overconfident, below 0 underconfident."""
        return self.mean_confidence - self.accuracy


def reliability(confidences: Sequence[float], correct: Sequence[float], bins: int = 10) -> list[ReliabilityBin]:
    """The answers in `bins` intervals of equal width from 0 to 1, the lowest first; empty ones are left out.

    Args:
        confidences: probability of each predicted label, 0 to 1.
        correct: 1.0 or True where that label is right, else 0.0 or False.
        bins: number of intervals.

    Raises:
        ValueError: the two differ in length or are empty, a confidence is not a probability, `correct` holds
            another value, or `bins` is less than 1.
    """
    if bins < 1:
        raise ValueError(f"bins must be at least 1, not {bins}")
    if not all(value in (0, 1) for value in correct):
        raise ValueError("correct must hold 0 or 1 for each answer")
    edges = [index / bins for index in range(bins + 1)]
    members: list[list[tuple[float, float]]] = [[] for _ in range(bins)]
    for confidence, right in zip(_probabilities(confidences), correct, strict=True):
        members[bisect_left(edges, confidence, lo=1) - 1].append((confidence, right))
    return [
        ReliabilityBin(
            low=low,
            high=high,
            n=len(answers),
            mean_confidence=fmean(confidence for confidence, _ in answers),
            accuracy=fmean(right for _, right in answers),
        )
        for (low, high), answers in zip(pairwise(edges), members, strict=True)
        if answers
    ]


def expected_calibration_error(confidences: Sequence[float], correct: Sequence[float], bins: int = 10) -> float:
    """Mean distance between confidence and accuracy, 0 to 1, over equal-width bins; lower is better.

    Σ n_bin / n · |accuracy_bin − confidence_bin| (Guo et al. 2017, https://arxiv.org/abs/1706.04599).
    It depends on `bins`, and on few answers it is above 0 by chance even where the probabilities are right.

    Takes and raises what `reliability` does.
    """
    found = reliability(confidences, correct, bins)
    return sum(part.n * abs(part.gap) for part in found) / len(confidences)


def brier_score(probabilities: Sequence[Mapping[str, float]], right: Sequence[str]) -> float:
    """Mean squared distance of the labels' probabilities from 1 for the right label and 0 for the others, halved.

    0 to 1, lower is better: it rewards both being right and knowing how sure to be. Always giving k labels 1/k each
    scores (k - 1) / 2k, so 0.25 with two. Halved, Brier's sum over the labels (1950,
    https://doi.org/10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2) is with two labels the squared distance of the
    right one's probability from 1.

    Args:
        probabilities: of each label, for each answer.
        right: the right label of each.

    Raises:
        ValueError: there is no answer, the two differ in length, or a value is not between 0 and 1.
        KeyError: a right label has no probability.
    """

    def distance(of_labels: Mapping[str, float], label: str) -> float:
        known = dict(zip(of_labels, _probabilities(list(of_labels.values())), strict=True))
        return ((1 - known.pop(label)) ** 2 + sum(value**2 for value in known.values())) / 2

    if not probabilities:
        raise ValueError("there are no answers to measure")
    return fmean(distance(of_labels, label) for of_labels, label in zip(probabilities, right, strict=True))


def _probabilities(values: Sequence[float]) -> list[float]:
    """`values` without what rounding put beyond 0 or 1."""
    if not values:
        raise ValueError("there are no answers to measure")
    for value in values:
        if not -_ROUNDING <= value <= 1 + _ROUNDING:  # not-a-number is refused, too
            raise ValueError(f"a probability must be between 0 and 1, not {value}")
    return [min(max(value, 0.0), 1.0) for value in values]
