"""The area under a ROC curve: how often a good answer scores higher than a bad one, with its interval.

Of answers to the same prompt none is independent of another, so the interval draws prompts, not answers. Knows
numbers only.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from eval.statistics import LEVEL, Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DRAWS = 2_000
_VALUES = 2_000_000
"""Weights drawn at a time."""


def area(scores: Sequence[float], good: Sequence[bool]) -> float:
    """The share of pairs of a good and a bad answer in which the good one scores higher; ties are half of one.

    It is the Mann-Whitney statistic over all such pairs (Hanley and McNeil 1982, Radiology 143, 29-36).

    Raises:
        ValueError: there are no good answers, or no bad ones.
    """
    import numpy as np

    if len(set(map(bool, good))) < 2:
        raise ValueError("an area needs good answers and bad ones")
    return float(_areas(np.asarray(scores), np.asarray(good, dtype=bool), np.ones((1, len(scores))))[0])


def area_intervals(
    scores: Mapping[str, Sequence[float]],
    good: Sequence[bool],
    groups: Sequence[Hashable],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Interval]:
    """95 % percentile intervals of the area of each of `scores`, from the same draws of `groups`.

    With scores called `base` and `tuned` there is one of their `difference`, too, tuned minus base.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    number = {each: place for place, each in enumerate(dict.fromkeys(groups))}
    group = np.asarray([number[each] for each in groups])
    marks, size = np.asarray(good, dtype=bool), len(number)
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in scores}
    at_once = max(1, _VALUES // len(marks))
    for start in range(0, draws, at_once):
        count = min(at_once, draws - start)
        drawn = rng.multinomial(size, np.full(size, 1 / size), size=count)  # how often each group, [count, size]
        weights = drawn[:, group].astype(np.float64)
        for name, values in scores.items():
            found[name].append(_areas(np.asarray(values), marks, weights))
    areas = {name: np.concatenate(parts) for name, parts in found.items()}
    if {"base", "tuned"} <= areas.keys():
        areas["difference"] = areas["tuned"] - areas["base"]
    return {name: _interval(values[np.isfinite(values)]) for name, values in areas.items()}


def _areas(scores: Any, good: Any, weights: Any) -> NDArray[np.float64]:
    """The area for each row of weights, [D, n]; no number where one kind of answer was not drawn."""
    import numpy as np

    levels, level = np.unique(scores, return_inverse=True)
    of_good, of_bad = (np.zeros((len(weights), len(levels))) for _ in range(2))
    for sums, marks in ((of_good, good), (of_bad, ~good)):
        np.add.at(sums.T, level[marks], weights[:, marks].T)
    below = np.cumsum(of_bad, axis=1) - of_bad
    total = of_good.sum(1) * of_bad.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((of_good * (below + of_bad / 2)).sum(1) / np.where(total > 0, total, np.nan))


def _interval(values: Any) -> Interval:
    import numpy as np

    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(low=float(low), high=float(high))
