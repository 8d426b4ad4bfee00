"""An interval for each option of a lab, and all pairs of options judged at once.

The rows are what is drawn from something larger. An option with several seeds has, for each row, the mean of its
seeds' scores; intervals and tests are over these means. So a test asks whether the models that were trained here,
averaged over their seeds, would differ on other rows like these. It asks nothing about seeds that were not tried.

The sides of a verdict (`eval.verdict`) are judged by the same functions. Knows numbers, nothing about models or
wording.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from statistics import fmean
from typing import Protocol

from eval.lab.schema import PairResult
from eval.metrics.metric import Metric
from eval.statistics import (
    DRAWS,
    Interval,
    Judgement,
    Outcome,
    judge_labels,
    judge_scores,
    mean_interval,
    wilson,
)

_FLIPS = 8
"""Flips of a permutation test, for each pair and divided by alpha: with 2 it could just find something."""


def mean_over_seeds(scores: Sequence[Sequence[float]]) -> list[float]:
    """The mean of each row's scores.

    Raises:
        ValueError: a seed has another number of rows, or there are none.
    """
    return [fmean(values) for values in zip(*scores, strict=True)]


def interval_of(scores: Sequence[float], metric: Metric) -> Interval:
    """The 95 % interval of the mean of rows' scores."""
    if _is_binary(metric, scores):
        return wilson(round(sum(scores)), len(scores))
    return mean_interval(scores)


def judged(one: Sequence[float], other: Sequence[float], metric: Metric) -> Judgement:
    """The paired test that suits the scores: means over several seeds are no longer right or wrong."""
    test = judge_labels if _is_binary(metric, one, other) else judge_scores
    return test(one, other, higher_is_better=metric.higher_is_better)


class Scored(Protocol):
    """What is compared with others on the same rows: an option of a lab, a side of a verdict."""

    @property
    def key(self) -> str:
        """Its short name, once among them."""

    @property
    def scores(self) -> Sequence[float]:
        """Of each row, in the same order for all."""


@dataclass(frozen=True)
class Corrected:
    """One of several paired tests."""

    judgement: Judgement
    """By itself."""
    p_value: float
    """Corrected by Holm's method for all of them."""
    outcome: Outcome
    """By the corrected p-value."""


def judged_together(
    pairs: Sequence[tuple[Sequence[float], Sequence[float]]], metric: Metric, *, alpha: float = 0.05
) -> list[Corrected]:
    """Every pair of one side's scores and another's, by one test, with Holm's correction over all of them."""
    test: Callable[..., Judgement] = judge_labels
    if not all(_is_binary(metric, *pair) for pair in pairs):
        # Of so many flips, that the smallest p-value there is can be multiplied by all pairs.
        test = partial(judge_scores, draws=max(DRAWS, math.ceil(_FLIPS * len(pairs) / alpha)))
    better = metric.higher_is_better
    tests = [test(one, other, alpha=alpha, higher_is_better=better) for one, other in pairs]
    corrected = holm([test.p_value for test in tests])
    return [
        Corrected(test, p_value, _outcome(p_value, test.difference, alpha, metric))
        for test, p_value in zip(tests, corrected, strict=True)
    ]


def all_pairs(options: Sequence[Scored], metric: Metric, *, alpha: float = 0.05) -> list[PairResult]:
    """Every pair of `options`, which have scores, by one test, with Holm's correction over all of them."""
    pairs = list(combinations(options, 2))
    found = judged_together([(one.scores, other.scores) for one, other in pairs], metric, alpha=alpha)
    return [
        PairResult(
            one=one.key,
            other=other.key,
            difference=test.judgement.difference,
            interval=test.judgement.interval,
            p_value=test.judgement.p_value,
            corrected=test.p_value,
            outcome=test.outcome,
        )
        for (one, other), test in zip(pairs, found, strict=True)
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrected p-values in their order: the k-th smallest of m, times m - k + 1, and no less than the one before.

    Where those up to alpha are called differences, the chance that any of them is none is at most alpha (Holm 1979,
    Scandinavian Journal of Statistics 6, 65-70).
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    found, least = [0.0] * len(p_values), 0.0
    for place, index in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - place) * p_values[index]))
        found[index] = least
    return found


def name_of_test(options: Sequence[Scored], metric: Metric) -> str:
    """The test that `all_pairs` takes for these options."""
    return "exact McNemar test" if _all_binary(options, metric) else "paired permutation test"


def _all_binary(options: Sequence[Scored], metric: Metric) -> bool:
    return all(_is_binary(metric, option.scores) for option in options)


def _is_binary(metric: Metric, *scores: Sequence[float]) -> bool:
    return metric.kind == "binary" and all(value in (0, 1) for each in scores for value in each)


def _outcome(p_value: float, difference: float, alpha: float, metric: Metric) -> Outcome:
    if p_value > alpha:
        return "no evidence"
    return "better" if (difference > 0) == metric.higher_is_better else "worse"
