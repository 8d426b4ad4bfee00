"""Did fine-tuning help? Intervals for each side, and a paired verdict: better, worse, or no evidence.

Both sides answered the same rows, so the two judges compare row by row. The test alone decides the outcome; the
interval says how large the difference may be. Near the border they disagree: the exact test of labels is the
stricter, so the interval may lie on one side of 0 where the outcome is "no evidence" (5 gains, no loss). How often
either errs where the truth is known is measured in `tests/unit/eval/test_statistics.py`.
Knows numbers, nothing about metrics, models or wording. numpy and scipy are imported where they are used, so that
a page that only reads judgements does not wait for them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEVEL = 0.95  # of every interval
POWER = 0.8  # how surely a difference must be found to count as detectable
DRAWS = 10_000

_ROUNDING = 1e-12  # scores are of the order of 1; what differs by less differs by rounding
_BATCH_VALUES = 1_000_000  # values drawn at a time: bounds the memory to some 50 MB, however many rows

Outcome = Literal["better", "worse", "no evidence"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Interval(_Strict):
    """A 95 % confidence interval."""

    low: float = Field(description="Lower limit, in the units of the metric.")
    high: float = Field(description="Upper limit, in the units of the metric.")


class Judgement(_Strict):
    """Tuned against base on the same rows, for one metric."""

    n: int = Field(description="Number of rows that both sides answered.", ge=1)
    difference: float = Field(description="Tuned minus base, the mean over the rows, in the units of the metric.")
    interval: Interval = Field(description="95 % confidence interval of the difference, whatever `alpha` is.")
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
    """Bootstrap interval of the mean of one side's scores, as `judge_scores` makes it for the differences.

    Raises:
        ValueError: there are no scores, or one is not finite.
    """
    return _bootstrap(_finite(scores), draws, seed)


def judge_labels(
    base: Sequence[float], tuned: Sequence[float], *, alpha: float = 0.05, higher_is_better: bool = True
) -> Judgement:
    """Compare two shares, such as accuracies, given for each side whether it has each row: 1 (True) or 0 (False).

    The p-value is McNemar's exact one: a row that one side alone has right is as likely to be either's
    (https://doi.org/10.1186/1471-2288-13-91). See `_tango_high` for the interval, `_detectable_share` for
    `detectable`, whose spread is the share of such rows.

    Raises:
        ValueError: there are no rows, not as many of both, or a value is neither 0 nor 1.
    """
    from scipy import stats

    if odd := [value for value in (*base, *tuned) if value not in (0, 1)]:
        raise ValueError(f"a row is right or wrong, 1 or 0, not {odd[0]}")
    pairs = list(zip(base, tuned, strict=True))
    n = len(pairs)
    if not n:
        raise ValueError("no rows to compare")
    gains = sum(after and not before for before, after in pairs)
    losses = sum(before and not after for before, after in pairs)
    p_value = float(stats.binomtest(gains, gains + losses).pvalue) if gains + losses else 1.0
    return Judgement(
        n=n,
        difference=(gains - losses) / n,
        interval=Interval(low=-_tango_high(losses, gains, n), high=_tango_high(gains, losses, n)),
        p_value=p_value,
        test="exact McNemar test",
        alpha=alpha,
        outcome=_outcome(p_value, alpha, gains - losses, higher_is_better),
        detectable=_detectable_share(n, gains + losses, alpha),
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
    instead of 5 % of test sets, measured with 100 rows). See `_bootstrap` for the interval.

    `draws` counts bootstrap samples and permutations; the same `seed` gives the same judgement. Time grows with
    the square of the rows: 20 ms for 100, 5 s for 20,000.

    Raises:
        ValueError: there are no rows, not as many of both, or a score is not finite.
    """
    if len(base) != len(tuned):
        raise ValueError(f"{len(base)} rows of base and {len(tuned)} of tuned")
    differences = _finite(tuned) - _finite(base)
    differences[abs(differences) <= _ROUNDING] = 0.0
    difference = float(differences.mean())
    p_value = _sign_flip_p(differences, draws, seed)
    return Judgement(
        n=len(differences),
        difference=difference,
        interval=_bootstrap(differences, draws, seed),
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


def _tango_high(gains: int, losses: int, n: int) -> float:
    """Upper limit of Tango's score interval for (gains - losses) / n; the lower one is that of the mirror image.

    It is the d where (gains - losses - n d)^2 = z^2 n (2 q + d (1 - d)), with q the most likely share of losses
    given d (Tango 1998, Statistics in Medicine 17, 891-908; in this form in Fagerland, Lydersen and Laake 2014,
    https://doi.org/10.1002/sim.6148).

    Why this one: where 6 to 40 % of 100 or 400 rows are discordant it covers the truth with a probability of 0.932
    to 0.961 (exact, over all outcomes), and with fewer never less. Bonett and Price's reaches 0.986 there,
    Newcombe's method 10 0.981; with fewer, all gains, Newcombe's falls to 0.907, Agresti and Min's to 0.866.
    """
    from scipy import optimize, special

    z_squared = special.ndtri((1 + LEVEL) / 2) ** 2

    def excess(d: float) -> float:
        b = (2 * n - gains + losses) * d - gains - losses
        root = math.sqrt(max(b * b + 8 * n * losses * d * (1 - d), 0.0))
        return float((gains - losses - n * d) ** 2 - z_squared * n * ((root - b) / (2 * n) + d * (1 - d)))

    if gains == n:
        return 1.0
    start = (gains - losses) / n + _ROUNDING  # past the estimate, where 0 is a root if no row is discordant
    return float(optimize.brentq(excess, start, 1.0, xtol=1e-10))


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


def _sign_flip_p(differences: NDArray[np.float64], draws: int, seed: int) -> float:
    """Two-sided p-value of the sum of `differences` under random signs.

    All flips are tried where there are at most `draws` of them; otherwise `draws` random ones and the one seen
    stand for all, so that p is never 0 (Phipson and Smyth 2010, https://arxiv.org/abs/1603.05766).
    """
    import numpy as np
    from scipy import stats

    flips = differences[differences != 0]  # no difference, no sign
    if len(flips) < 2:
        return 1.0  # either sign is as likely
    batch = max(1, _BATCH_VALUES // len(flips))
    if 2 ** len(flips) <= draws:
        exact = stats.permutation_test(
            (flips,), np.sum, permutation_type="samples", vectorized=True, n_resamples=draws, batch=batch
        )
        return float(exact.pvalue)
    rng = np.random.default_rng(seed)

    def flipped(size: tuple[int, int]) -> NDArray[np.float64]:
        signed: NDArray[np.float64] = np.where(rng.integers(0, 2, size, dtype=np.int8), flips, -flips)
        return signed

    # `permutation_test` would draw from the same distribution, in many times the time.
    drawn = stats.monte_carlo_test(flips, flipped, np.sum, vectorized=True, n_resamples=draws, batch=batch)
    return float(drawn.pvalue)


def fewest_rows(alpha: float = 0.05) -> int:
    """How many test rows a verdict takes at least, whatever the answers."""
    return _fewest_flips(alpha)


def smallest_difference(rows: int, alpha: float = 0.05) -> float:
    """The difference of accuracies that so many rows show in 80 % of test sets, where all that changes is for the
    better; 1 where there are too few for any."""
    return _detectable_share(rows, 0, alpha) or 1.0


def _fewest_flips(alpha: float) -> int:
    """With fewer rows that differ, all in one direction, neither test can reach `alpha`: 2 / 2^k > alpha."""
    return math.ceil(1 - math.log2(alpha))


def _detectable_mean(differences: NDArray[np.float64], alpha: float) -> float | None:
    """(t(1 - alpha/2) + t(0.8)) s / sqrt(n): s is the differences' standard deviation, t Student's quantile of
    n - 1 degrees of freedom (Lachin 1981, https://doi.org/10.1016/0197-2456(81)90001-5).
    """
    import numpy as np
    from scipy import special

    n = len(differences)
    if n < _fewest_flips(alpha) or np.ptp(differences) <= _ROUNDING:
        return None
    quantiles = special.stdtrit(n - 1, 1 - alpha / 2) + special.stdtrit(n - 1, POWER)
    return float(quantiles * differences.std(ddof=1) / math.sqrt(n))


@lru_cache(maxsize=1024)
def _detectable_share(n: int, discordant: int, alpha: float) -> float | None:
    """The difference of accuracies at which the exact McNemar test says "better" in 80 % of test sets.

    The share of discordant rows is the one seen, or the difference itself where that is more, all being gains
    then. The power is exact: that of the binomial test for each number of discordant rows, weighted by its
    probability (http://support.sas.com/documentation/cdl/en/statug/68162/HTML/default/statug_power_details57.htm).
    """
    import numpy as np
    from scipy import optimize, stats

    if n < _fewest_flips(alpha):
        return None
    counts = np.arange(n + 1)
    needed = stats.binom.isf(alpha / 2, counts, 0.5) + 1  # gains that reach alpha, of so many discordant rows

    def excess(difference: float) -> float:
        share = max(discordant / n, difference)
        power = stats.binom.sf(needed - 1, counts, (1 + difference / share) / 2)
        return float(power @ stats.binom.pmf(counts, n, share)) - POWER

    return float(optimize.brentq(excess, 1 / n, 1.0, xtol=1e-6))
