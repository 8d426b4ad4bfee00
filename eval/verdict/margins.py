"""Is the tuned side no worse than the base by more than a margin? Regression by design, not by a lack of evidence.

"No evidence of worse" may only mean that too few rows were asked. Here it is the other way round: a loss as large
as the margin is assumed, and has to be refuted. What is reported is the end of the one-sided 95 % interval on the
worse side; the margin is kept exactly where that end is within it, as the interval inverts the test.

Labels: the score test for paired shares (`eval.paired_shares.margin_p`). Scores: a bound on the mean of bounded
values, see `mean_p`. The sign flips that `eval.statistics.judge_scores` decides by would not do: they take a row to
gain as easily as it loses, and what tuning breaks are a few rows, much, with the others as they were. With 2 % of
100 rows losing everything they call a loss of 0.02 less than that in 14 % of test sets instead of 5 %. How often
each errs here is in `tests/unit/eval/verdict/test_margins.py` and `benchmarks/verdicts.py`.

Knows numbers, nothing about models or wording.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from eval.metrics.metric import Metric
from eval.paired_shares import lower_limit, margin_p
from eval.verdict.schema import Margin

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OF_LABELS = "Tango and Nam's score test for paired shares"
OF_SCORES = "Gaffke's bound for the mean of bounded differences"
DRAWS = 10_000
_BATCH_VALUES = 1_000_000  # values drawn at a time: bounds the memory to some 25 MB, however many rows
_ROUNDING = 1e-12  # scores are of the order of 1; what differs by less differs by rounding


def non_inferior(
    base: Sequence[float], tuned: Sequence[float], metric: Metric, margin: float, *, alpha: float = 0.05
) -> Margin:
    """Whether `tuned` is shown to be worse than `base` by less than `margin`.

    Args:
        base: its score of each row.
        tuned: the tuned side's, of the same rows in the same order.
        metric: whose they are; it says which way is worse.
        margin: in the units of the metric, above 0.
        alpha: how often a loss of the very margin may be called less.

    Raises:
        ValueError: there are no rows, not as many of both, a score is not finite, or the margin is none.
    """
    import numpy as np

    require_margin(margin, metric)
    if len(base) != len(tuned):
        raise ValueError(f"{len(base)} rows of base and {len(tuned)} of tuned")
    before, after = (np.asarray(side, dtype=np.float64) for side in (base, tuned))
    if not len(before) or not (np.isfinite(before).all() and np.isfinite(after).all()):
        raise ValueError("there are no scores, or one is not finite")
    worse = -1.0 if metric.higher_is_better else 1.0
    gained = (before - after) * worse  # above 0 where tuned is better, whatever the metric
    if metric.kind == "binary" and np.isin([before, after], (0, 1)).all():
        gains, losses = int((gained > 0).sum()), int((gained < 0).sum())
        low, p_value = lower_limit(gains, losses, len(gained), alpha), margin_p(gains, losses, len(gained), margin)
        return _margin(margin, low * -worse, p_value, OF_LABELS, alpha)
    gained[abs(gained) <= _ROUNDING] = 0.0
    span = span_of(before, after, metric)
    means, test = worst_means(gained, span), OF_SCORES
    if metric.limits is None:
        test += f", none of which is taken to be beyond {span:.3g}, as {metric.title} has no known limits"
    return _margin(margin, mean_limit(means, alpha) * -worse, mean_p(means, margin), test, alpha)


def require_margin(margin: float, metric: Metric) -> None:
    """Raise a ValueError unless a loss of `margin` is one that there can be, and that can be refuted."""
    if not (margin > 0 and math.isfinite(margin)):
        raise ValueError(f"a margin is a number above 0, not {margin}")
    low, high = metric.limits or (0.0, math.inf)
    if margin >= high - low:
        raise ValueError(
            f"{metric.title} is from {low:g} to {high:g}, so a margin of {margin:g} would let every loss through"
        )


def _margin(margin: float, limit: float, p_value: float, test: str, alpha: float) -> Margin:
    return Margin(margin=margin, limit=limit + 0.0, holds=p_value <= alpha, p_value=p_value, test=test)


def span_of(base: NDArray[np.float64], tuned: NDArray[np.float64], metric: Metric) -> float:
    """How much a row can lose at most: what the metric's limits say, else as much as the scores seen span.

    The latter is what was seen and no more: a row that is worse than any may come. It is 1 at least, as the scores
    seen may all be alike.
    """
    if metric.limits is not None:
        return metric.limits[1] - metric.limits[0]
    return max(1.0, float(max(base.max(), tuned.max()) - min(base.min(), tuned.min())))


def worst_means(gained: NDArray[np.float64], span: float, *, draws: int = DRAWS) -> NDArray[np.float64]:
    """Means of the differences and one more of -`span`, the worst there is, under random weights; in order.

    The weights are Dirichlet(1, …, 1), as the gaps between sorted uniform numbers (Gaffke 2005, https://doi.org/
    10.1016/j.jspi.2004.01.001). The share alpha of these means is a lower limit of the true mean. Of values that
    are 0 or 1 it is Clopper and Pearson's exact one; of other bounded ones no case is known where it errs more
    often than alpha (Learned-Miller and Thomas 2019, https://arxiv.org/abs/1905.06208). Rows that are equal are
    drawn together, so that thousands without a difference cost nothing.
    """
    import numpy as np

    values, counts = np.unique(np.append(gained, -span), return_counts=True)
    rng = np.random.default_rng(0)
    found = np.empty(draws)
    batch = max(1, _BATCH_VALUES // len(values))
    for start in range(0, draws, batch):
        part = slice(start, min(draws, start + batch))
        weights = rng.standard_gamma(counts, (part.stop - part.start, len(values)))
        found[part] = weights @ values / weights.sum(axis=1)
    return np.sort(found)


def mean_limit(means: NDArray[np.float64], alpha: float) -> float:
    """The lower end of the one-sided interval: of all differences that `mean_p` lets pass."""
    return float(means[max(0, int(alpha * (len(means) + 1) + _ROUNDING) - 1)])


def mean_p(means: NDArray[np.float64], margin: float) -> float:
    """One-sided p-value of what was seen, if the mean were -`margin` or less: the share of the means up to that."""
    return float((1 + (means <= -margin).sum()) / (1 + len(means)))
