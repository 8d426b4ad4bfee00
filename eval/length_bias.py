"""Whether answers are preferred for their length: correlations within pairs, and accuracy by which one is longer.

A value and a length are of an answer; between pairs both differ for many reasons, so of each the mean of its pair
is taken off. What is left is the difference of the two answers, once with either sign: the correlation is the sum
of products over the root of the product of the sums of squares. Knows numbers, nothing about models.
"""

from __future__ import annotations

from collections.abc import Sequence

from eval.report.rewards import Correlation, LengthBias, PairsOfLength
from eval.statistics import LEVEL, Interval, wilson

FEWEST_PAIRS = 8
"""Of fewer no interval is drawn."""
_DRAWS = 2_000


def length_bias(lengths: Sequence[int], base: Sequence[float], tuned: Sequence[float]) -> LengthBias:
    """What length has to do with which answer is preferred.

    Args:
        lengths: by how much the better answer of each pair is longer.
        base: by how much the base prefers it.
        tuned: by how much the tuned model does.
    """
    return LengthBias(
        labels=correlation([1.0] * len(lengths), lengths),
        base=correlation(base, lengths),
        tuned=correlation(tuned, lengths),
        longer=_accuracy([place for place, more in enumerate(lengths) if more > 0], base, tuned),
        shorter=_accuracy([place for place, more in enumerate(lengths) if more < 0], base, tuned),
        same=sum(not more for more in lengths),
    )


def correlation(values: Sequence[float], lengths: Sequence[int], *, seed: int = 0) -> Correlation:
    """Of differences within pairs, with the percentiles of what as many pairs give that are drawn again."""
    import numpy as np

    both = np.array([values, lengths], dtype=np.float64)  # [2, N]

    def of(some: np.ndarray) -> np.ndarray:
        """[..., N] → [...]; not a number where one of the two does not vary."""
        products, squares = (some[0] * some[1]).sum(-1), (some**2).sum(-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            found: np.ndarray = products / np.sqrt(squares[0] * squares[1])
        return found

    value = float(of(both))
    if not np.isfinite(value):
        return Correlation(value=None)
    if len(lengths) < FEWEST_PAIRS:
        return Correlation(value=_bounded(value))
    drawn = np.random.default_rng(seed).integers(0, len(lengths), size=(_DRAWS, len(lengths)))
    again = of(both[:, drawn])
    outside = 50 * (1 - LEVEL)
    low, high = np.nanpercentile(again, [outside, 100 - outside])
    return Correlation(value=_bounded(value), interval=Interval(low=_bounded(low), high=_bounded(high)))


def _bounded(value: float) -> float:
    """Without what rounding puts beyond -1 or 1."""
    return min(1.0, max(-1.0, float(value)))


def _accuracy(places: Sequence[int], base: Sequence[float], tuned: Sequence[float]) -> PairsOfLength:
    if not places:
        return PairsOfLength(n=0, base=None, tuned=None)
    right = [sum(margins[place] > 0 for place in places) for margins in (base, tuned)]
    n = len(places)
    return PairsOfLength(
        n=n,
        base=right[0] / n,
        tuned=right[1] / n,
        base_interval=wilson(right[0], n),
        tuned_interval=wilson(right[1], n),
    )
