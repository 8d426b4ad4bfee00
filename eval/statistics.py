"""Did fine-tuning help? Intervals for each side, and a paired verdict: better, worse, or no evidence.

Both sides answered the same rows, so the two judges compare row by row. The test decides the outcome; the interval
says how large the difference may be, and holds 0 exactly where the outcome is "no evidence". That of scores inverts
the test; that of labels is a score interval which is set so that it agrees with the exact test at 0
(`eval.paired_shares`). How often either errs where the truth is known is measured in
`tests/unit/eval/test_statistics.py`. Knows numbers, nothing about metrics, models or wording. numpy and scipy are
imported where they are used, so that a page that only reads judgements does not wait for them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from eval.paired_shares import (
    POWER,
    detectable_share,
    fewest_flips,
    mcnemar_p,
    score_interval,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEVEL = 0.95  # of the intervals of one side
DRAWS = 10_000

_ROUNDING = 1e-12  # scores are of the order of 1; what differs by less differs by rounding
_BATCH_VALUES = 1_000_000  # values drawn at a time: bounds the memory to some 50 MB, however many rows

Outcome = Literal["better", "worse", "no evidence"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Interval(_Strict):
    """A confidence interval: of one side 95 %, of a difference that of its judgement."""

    low: float = Field(description="Lower limit, in the units of the metric.")
    high: float = Field(description="Upper limit, in the units of the metric.")


class Judgement(_Strict):
    """Tuned against base on the same rows, for one metric."""

    n: int = Field(description="Number of rows that both sides answered.", ge=1)
    difference: float = Field(description="Tuned minus base, the mean over the rows, in the units of the metric.")
    interval: Interval = Field(
        description="Confidence interval of the difference, at the level 1 - `alpha`: it holds 0 exactly where the "
        "outcome is no evidence."
    )
    p_value: float = Field(description="Two-sided p-value of the test.", ge=0, le=1)
    test: str = Field(description="The test, in words.")
    alpha: float = Field(description="The p-value up to which the test says that the sides differ.", gt=0, lt=1)
    outcome: Outcome = Field(description="better or worse where the test says that the sides differ.")
    detectable: float | None = Field(
        description="The smallest true difference that this test would find, in the right direction, in 80 % of "
        "test sets with as many rows and the spread seen here. None where it finds none however large (too few "
        "rows), or where every row differs by the same, so that there is no spread to judge by."
    )


def wilson(successes: int, n: int) -> Interval:
    """Interval of a share, `successes` of `n` rows (Wilson 1927, https://doi.org/10.2307/2276774).

    Raises:
        ValueError: `n` is 0, or `successes` is not in 0 to `n`.
    """
    from scipy import stats

    low, high = stats.binomtest(successes, n).proportion_ci(confidence_level=LEVEL, method="wilson")
    return Interval(low=float(low), high=float(high))


def mean_interval(scores: Sequence[float], *, draws: int = DRAWS, seed: int = 0) -> Interval:
    """Bootstrap interval of the mean of one side's scores; see `_bootstrap`.

    Raises:
        ValueError: there are no scores, or one is not finite.
    """
    return _bootstrap(_finite(scores), draws, seed)


def judge_labels(
    base: Sequence[float], tuned: Sequence[float], *, alpha: float = 0.05, higher_is_better: bool = True
) -> Judgement:
    """Compare two shares, such as accuracies, given for each side whether it has each row: 1 (True) or 0 (False).

    The p-value is McNemar's exact one: a row that one side alone has right is as likely to be either's
    (https://doi.org/10.1186/1471-2288-13-91). See `score_interval` for the interval, `detectable_share` for
    `detectable`, whose spread is the share of such rows.

    Raises:
        ValueError: there are no rows, not as many of both, or a value is neither 0 nor 1.
    """
    if odd := [value for value in (*base, *tuned) if value not in (0, 1)]:
        raise ValueError(f"a row is right or wrong, 1 or 0, not {odd[0]}")
    pairs = list(zip(base, tuned, strict=True))
    n = len(pairs)
    if not n:
        raise ValueError("no rows to compare")
    gains = sum(after > before for before, after in pairs)
    losses = sum(after < before for before, after in pairs)
    p_value = mcnemar_p(gains, losses)
    low, high = score_interval(gains, losses, n, alpha)
    return Judgement(
        n=n,
        difference=(gains - losses) / n,
        interval=Interval(low=low, high=high),
        p_value=p_value,
        test="exact McNemar test",
        alpha=alpha,
        outcome=_outcome(p_value, alpha, gains - losses, higher_is_better),
        detectable=detectable_share(n, (gains + losses) / n, alpha),
    )


def judge_scores(
    base: Sequence[float],
    tuned: Sequence[float],
    *,
    alpha: float = 0.05,
    higher_is_better: bool = True,
    draws: int = DRAWS,
    seed: int = 0,
) -> Judgement:
    """Compare two means of any score that every row has.

    The p-value is that of the permutation test that swaps the two sides of a row, which flips the sign of its
    difference (https://aclanthology.org/P18-1128). It is exact where, without an effect, a gain is as likely as a
    loss of the same size; where many small losses balance a few large gains it errs somewhat more often (6.6 %
    instead of 5 % of test sets, measured with 100 rows). The interval is of all d that the same test, with the same
    flips, does not tell from the differences; see `_Flips`.

    `draws` counts the flips; the same `seed` gives the same judgement. Time grows with the rows: 20 ms for 400,
    half a second for 20,000.

    Raises:
        ValueError: there are no rows, not as many of both, or a score is not finite.
    """
    if len(base) != len(tuned):
        raise ValueError(f"{len(base)} rows of base and {len(tuned)} of tuned")
    differences = _finite(tuned) - _finite(base)
    differences[abs(differences) <= _ROUNDING] = 0.0
    difference = float(differences.mean())
    flips = _flip(differences, draws, seed)
    p_value = flips.p_value
    return Judgement(
        n=len(differences),
        difference=difference,
        interval=flips.interval(alpha),
        p_value=p_value,
        test="paired permutation test",
        alpha=alpha,
        outcome=_outcome(p_value, alpha, difference, higher_is_better),
        detectable=_detectable_mean(differences, alpha),
    )


def _outcome(p_value: float, alpha: float, difference: float, higher_is_better: bool) -> Outcome:
    if p_value > alpha:
        return "no evidence"
    return "better" if (difference > 0) == higher_is_better else "worse"


def _finite(scores: Sequence[float]) -> NDArray[np.float64]:
    import numpy as np

    values = np.asarray(scores, dtype=np.float64)
    if not len(values):
        raise ValueError("no scores")
    if not np.isfinite(values).all():
        raise ValueError("a score is not finite")
    return values


def _bootstrap(values: NDArray[np.float64], draws: int, seed: int) -> Interval:
    """BCa bootstrap interval of a mean (Efron 1987, https://doi.org/10.2307/2289144), widened for few rows.

    A bootstrap has the spread of the sample, and normal quantiles where Student's are due: of 40 skewed scores it
    covers the mean 92 to 94 % of the time. The level is therefore raised to 1 - 2 Phi(-sqrt(n / (n - 1))
    t(0.975, n - 1)), at 100 rows by 0.4 points (Hesterberg 2015, https://doi.org/10.1080/00031305.2015.1089789,
    the "expanded" interval): then 93 to 95 %. It still covers too little where all but a few values are equal.
    """
    import numpy as np
    from scipy import special, stats

    n, mean = len(values), float(values.mean())
    if np.ptp(values) <= _ROUNDING:
        return Interval(low=mean, high=mean)
    quantile = math.sqrt(n / (n - 1)) * special.stdtrit(n - 1, (1 + LEVEL) / 2)
    level = min(1 - 2 * special.ndtr(-quantile), 1 - 2 / draws)  # no further out than the outermost draws
    result = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=draws,
        batch=max(1, _BATCH_VALUES // n),
        vectorized=True,
        confidence_level=level,
        method="BCa",
        rng=np.random.default_rng(seed),
    )
    low, high = result.confidence_interval
    return Interval(low=float(low), high=float(high))


@dataclass(frozen=True)
class _Flips:
    """The sign-flip test of every d at once, whether the differences lie about it.

    To swap the sides of some rows moves the sum of (difference - d) up or down as the mean of these rows'
    differences lies below or above d. So each of the two tails of the test of d counts the means on one side
    of d, and the d that pass lie between two of the sorted means. (That means of random subsets bound the centre
    so is Hartigan's theorem of typical values, 1969, Journal of the American Statistical Association 64,
    1303-1317.)
    """

    means: NDArray[np.float64]
    """Of the differences of the rows that a flip swaps, in order; of every flip that swaps any."""
    none: int
    """How many flips swap no row: they are as extreme as what was seen, on either side, whatever d is."""
    span: tuple[float, float]
    """The least and the largest difference."""

    def _p(self, count: int) -> float:
        """The p-value where `count` means are on the rarer side."""
        return min(1.0, 2 * (count + self.none) / (len(self.means) + self.none))

    @property
    def p_value(self) -> float:
        """Of d = 0."""
        below, above = (self.means <= 0).sum(), (self.means >= 0).sum()
        return self._p(int(min(below, above)))

    def interval(self, alpha: float) -> Interval:
        """All d whose p-value is above `alpha`.

        Where rows are so few that none can be told from the differences, what they span, and 0.
        """
        needed = max(0, int(alpha * (len(self.means) + self.none) / 2) - self.none - 1)
        while self._p(needed) <= alpha:
            needed += 1
        if not needed:
            return Interval(low=min(self.span[0], 0.0), high=max(self.span[1], 0.0))
        return Interval(low=float(self.means[needed - 1]), high=float(self.means[-needed]))


def _flip(differences: NDArray[np.float64], draws: int, seed: int) -> _Flips:
    """Swap the sides of rows at random.

    All flips are tried where there are at most `draws` of them; otherwise `draws` random ones and the one that
    swaps none stand for all, so that p is never 0 (Phipson and Smyth 2010, https://arxiv.org/abs/1603.05766).
    Rows without a difference weigh nothing against 0, but do against any other d: where all flips of the others can
    be tried, each is tried as often, with random ones of these rows.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    n = len(differences)
    moved = differences if 2**n <= draws else differences[differences != 0]
    k = len(moved)
    patterns = 2**k if 2**k <= draws else 0  # flips of the moved rows, if all are tried
    count = patterns * (draws // patterns) if patterns else draws
    sums, sizes = np.empty(count), np.empty(count, dtype=np.int64)
    batch = max(1, _BATCH_VALUES // max(1, k))
    for start in range(0, count, batch):
        size = min(batch, count - start)
        if patterns:
            numbers = np.arange(start, start + size) % patterns
            swapped = (numbers[:, None] >> np.arange(k)) & 1
        else:
            swapped = rng.integers(0, 2, (size, k), dtype=np.int8)
        part = slice(start, start + size)
        sums[part] = swapped.astype(np.float64) @ moved
        sizes[part] = swapped.sum(axis=1)
    sizes += rng.binomial(n - k, 0.5, count)
    sums[abs(sums) <= _ROUNDING * abs(moved).sum()] = 0.0
    some = sizes > 0
    none = count - int(some.sum()) + (0 if patterns else 1)
    span = (float(differences.min()), float(differences.max()))
    return _Flips(np.sort(sums[some] / sizes[some]), none, span)


def fewest_rows(alpha: float = 0.05) -> int:
    """How many test rows a verdict takes at least, whatever the answers."""
    return fewest_flips(alpha)


def smallest_difference(rows: int, alpha: float = 0.05) -> float:
    """The difference of accuracies that so many rows show in 80 % of test sets, where all that changes is for the
    better; 1 where there are too few for any."""
    return detectable_share(rows, 0.0, alpha) or 1.0


def _detectable_mean(differences: NDArray[np.float64], alpha: float) -> float | None:
    """(t(1 - alpha/2) + t(0.8)) s / sqrt(n): s is the differences' standard deviation, t Student's quantile of
    n - 1 degrees of freedom (Lachin 1981, https://doi.org/10.1016/0197-2456(81)90001-5).
    """
    import numpy as np
    from scipy import special

    n = len(differences)
    if n < fewest_flips(alpha) or np.ptp(differences) <= _ROUNDING:
        return None
    quantiles = special.stdtrit(n - 1, 1 - alpha / 2) + special.stdtrit(n - 1, POWER)
    return float(quantiles * differences.std(ddof=1) / math.sqrt(n))
