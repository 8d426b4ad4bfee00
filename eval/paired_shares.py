"""Two shares of the same rows, such as accuracies: McNemar's exact test, the score interval of their difference, a
test that one is not worse than the other by a margin, and the power of all that.

Everything follows from how many rows only one side has right: gains, which are the tuned side's, and losses. A row
of either kind is called discordant. Knows counts, nothing about metrics, models or wording; numpy and scipy are
imported where they are used.
"""

from __future__ import annotations

import math
from functools import lru_cache

POWER = 0.8
"""How surely a difference must be found to count as detectable."""
_ROUNDING = 1e-12
_SPREADS = 10.0
"""Standard deviations around the mean of a binomial, beyond which its probabilities do not add up to 1e-15."""


def fewest_flips(alpha: float) -> int:
    """With fewer rows that differ, all in one direction, no paired test can reach `alpha`: 2 / 2^k > alpha."""
    return math.ceil(1 - math.log2(alpha))


@lru_cache(maxsize=1024)
def mcnemar_p(gains: int, losses: int) -> float:
    """Two-sided p-value of so many gains and losses: twice the smaller binomial tail, each being as likely."""
    from scipy import special

    return min(1.0, 2 * float(special.bdtr(min(gains, losses), gains + losses, 0.5))) if gains + losses else 1.0


@lru_cache(maxsize=1024)
def critical_z(discordant: int, alpha: float) -> float:
    """The largest McNemar statistic, |gains - losses| / sqrt(discordant), that the exact test lets pass.

    At least the normal quantile: the possible statistics lie apart, and for few discordant rows the exact test
    passes none beyond it.
    """
    import numpy as np
    from scipy import special

    normal = float(special.ndtri(1 - alpha / 2))
    if not discordant:
        return normal
    fewer = np.arange(discordant // 2 + 1)
    passed = fewer[2 * special.bdtr(fewer, discordant, 0.5) > alpha]  # never empty: half of them always passes
    return max(normal, (discordant - 2 * int(passed[0])) / math.sqrt(discordant))


def score_interval(gains: int, losses: int, n: int, alpha: float) -> tuple[float, float]:
    """Interval of (gains - losses) / n at the level 1 - alpha; it holds 0 exactly where the verdict's test lets it.

    Tango's score interval (1998, Statistics in Medicine 17, 891-908) asks of every d how far the table is from it;
    at d = 0 its statistic is McNemar's. Its critical value is the normal one, and so it may leave out 0 where the
    exact test says "no evidence" (5 gains, no loss). Here the critical value is that of the exact test with as many
    discordant rows as were seen (`critical_z`), for every d. So at 0 it agrees with the exact test, always; at any
    other d it is no exact test that it inverts.

    Why this one: where 5 to 35 % of 100 or 400 rows are discordant it covers the truth with a probability of 0.945
    to 0.991 (exact, over all outcomes), and nowhere less than Tango's, which is 1 to 5 % narrower and reaches
    0.936. Bonett and Price's, Newcombe's and Agresti and Min's agree with no exact test.
    """
    z = critical_z(gains + losses, alpha)
    low, high = -score_limit(losses, gains, n, z), score_limit(gains, losses, n, z)
    if mcnemar_p(gains, losses) > alpha:  # 0 may be the very limit, and then rounding must not leave it out
        low, high = min(low, 0.0), max(high, 0.0)
    return round(low, 9) + 0.0, round(high, 9) + 0.0  # as exact as they are found, and no -0


def score_limit(gains: int, losses: int, n: int, z: float) -> float:
    """Upper limit of the score interval for (gains - losses) / n; the lower one is that of the mirror image.

    It is the d where (gains - losses - n d)^2 = z^2 n (2 q + d (1 - d)), with q the most likely share of losses
    given d (in this form in Fagerland, Lydersen and Laake 2014, https://doi.org/10.1002/sim.6148).
    """
    from scipy import optimize

    def excess(d: float) -> float:
        return float((gains - losses - n * d) ** 2 - z * z * n * _variance(gains, losses, n, d))

    if gains == n:
        return 1.0
    start = (gains - losses) / n + _ROUNDING  # past the estimate, where 0 is a root if no row is discordant
    return float(optimize.brentq(excess, start, 1.0, xtol=1e-10))


def _variance(gains: int, losses: int, n: int, d: float) -> float:
    """2 q + d (1 - d): n times the variance of (gains - losses) / n if d is true, most likely."""
    b = (2 * n - gains + losses) * d - gains - losses
    root = math.sqrt(max(b * b + 8 * n * losses * d * (1 - d), 0.0))
    return (root - b) / (2 * n) + d * (1 - d)


# ---- not worse by a margin -----------------------------------------------------------------------------------


def lower_limit(gains: int, losses: int, n: int, alpha: float = 0.05) -> float:
    """The lower end of the one-sided interval of (gains - losses) / n at the level 1 - alpha.

    Of all d that `margin_p` lets pass. It is the lower end of the two-sided `score_interval` at twice the alpha,
    and so it is above 0 exactly where the exact one-sided McNemar test says that the tuned side is better.
    """
    return score_interval(gains, losses, n, 2 * alpha)[0]


def margin_p(gains: int, losses: int, n: int, margin: float) -> float:
    """One-sided p-value of so many gains and losses if the tuned side were worse by `margin`, or by more.

    The margin is above 0, and below 1, since no share can lose more.

    The score test of Nam (1997, https://doi.org/10.2307/2533508) and Tango (1998), whose variance is the most
    likely one under that very difference: z = (gains - losses + n margin) / sqrt(n (2 q + d (1 - d))), d = -margin.
    For few discordant rows the normal tail of z is too small, so it is no less than the binomial tail from the
    first McNemar statistic on that is as large as z (see `critical_z`). It is at most alpha exactly where
    `lower_limit` is above -margin. How often it errs is in `tests/unit/eval/verdict/test_margins.py`.
    """
    from scipy import special

    if gains == n:
        return 0.0
    # By the mirror image: there losses are gains, and the margin is a difference above 0.
    z = (gains - losses + n * margin) / math.sqrt(n * _variance(losses, gains, n, margin))
    discordant = gains + losses
    tail = float(special.ndtr(-z))
    fewer = math.floor((discordant - z * math.sqrt(discordant)) / 2 + _ROUNDING)
    if not discordant or fewer < 0:
        return tail
    return max(tail, float(special.bdtr(min(fewer, discordant), discordant, 0.5)))


# ---- power ---------------------------------------------------------------------------------------------------


def mcnemar_power(n: int, difference: float, discordance: float, alpha: float = 0.05) -> float:
    """How likely the exact McNemar test finds a true `difference` above 0 of the shares, in its direction.

    `discordance` is the share of rows that are discordant, no less than the difference. The power is exact: that of
    the binomial test for each number of discordant rows, weighted by its probability
    (http://support.sas.com/documentation/cdl/en/statug/68162/HTML/default/statug_power_details57.htm).
    """
    import numpy as np
    from scipy import stats

    around = _SPREADS * (math.sqrt(n * discordance * (1 - discordance)) + 1)
    first, last = max(0, math.floor(n * discordance - around)), min(n, math.ceil(n * discordance + around))
    counts = np.arange(first, last + 1)
    needed = stats.binom.isf(alpha / 2, counts, 0.5) + 1  # gains that reach alpha, of so many discordant rows
    found = stats.binom.sf(needed - 1, counts, (1 + difference / discordance) / 2)
    return float(found @ stats.binom.pmf(counts, n, discordance))


@lru_cache(maxsize=1024)
def detectable_share(n: int, discordance: float, alpha: float = 0.05) -> float | None:
    """The difference of shares that the exact McNemar test of `n` rows finds in 80 % of test sets.

    The share of discordant rows is `discordance`, or the difference itself where that is more, all being gains
    then. None where so few rows find none however large.
    """
    from scipy import optimize

    if n < fewest_flips(alpha):
        return None

    def excess(difference: float) -> float:
        return mcnemar_power(n, difference, max(discordance, difference), alpha) - POWER

    return float(optimize.brentq(excess, 1 / n, 1.0, xtol=1e-6))
