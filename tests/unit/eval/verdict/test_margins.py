"""Non-inferiority: the interval inverts the test, and a loss of the very margin is seldom called less.

For labels nothing is simulated: every outcome of a test set is weighted by its probability.
"""

import itertools
import math
from functools import cache

import numpy as np
import pytest
from scipy import stats

from eval import paired_shares
from eval.metrics import metric_named
from eval.paired_shares import lower_limit, margin_p
from eval.statistics import judge_labels
from eval.verdict.margins import OF_LABELS, OF_SCORES, mean_limit, mean_p, non_inferior, span_of, worst_means

ACCURACY, ROUGE = metric_named("accuracy"), metric_named("rougeL")
BITS = metric_named("bits_per_byte")


def labels(gains, losses, n):
    both = [1.0] * (n - gains - losses)
    return [0.0] * gains + [1.0] * losses + both, [1.0] * gains + [0.0] * losses + both


@cache
def errs(n, margin, share, alpha=0.05):
    """How likely a loss of exactly `margin` is called less, where `share` of the rows are discordant."""
    gains, losses = np.indices((n + 1, n + 1)).reshape(2, -1)
    possible = gains + losses <= n
    gains, losses = gains[possible], losses[possible]
    chance = stats.binom.pmf(gains + losses, n, share)
    chance = chance * stats.binom.pmf(gains, gains + losses, (1 - margin / share) / 2)
    kept = chance > 1e-7
    likely = zip(gains[kept].tolist(), losses[kept].tolist(), chance[kept].tolist(), strict=True)
    return sum(each for won, lost, each in likely if margin_p(won, lost, n, margin) <= alpha)


def test_the_limit_is_within_the_margin_exactly_where_the_test_says_so():
    tables = 0
    for n in (14, 50, 200):
        for gains, losses in itertools.product(range(13), range(13)):
            if gains + losses > n:
                continue
            limit = lower_limit(gains, losses, n)
            for margin in (0.01, 0.02, 0.05, 0.2):
                assert (margin_p(gains, losses, n, margin) <= 0.05) == (limit > -margin), (gains, losses, n, margin)
                tables += 1
    assert tables > 1_500


def test_of_no_margin_it_is_the_exact_one_sided_test():
    """Any margin moves what is tested past the outcome that was seen, so here it is one that rounding hides."""
    for gains, losses in itertools.product(range(12), range(12)):
        if gains + losses:
            exact = float(stats.binom.sf(gains - 1, gains + losses, 0.5))
            normal = float(stats.norm.sf((gains - losses) / math.sqrt(gains + losses)))
            assert margin_p(gains, losses, 60, 1e-15) == pytest.approx(max(exact, normal), abs=1e-6)
            better = judge_labels(*labels(gains, losses, 60), alpha=0.1).outcome == "better"
            assert (lower_limit(gains, losses, 60) > 0) == better


def test_without_the_exact_test_s_stricter_value_the_limit_is_where_the_published_statistic_says():
    """In closed form: 50 rows, 12 gains and 2 losses; q solves 2 n q^2 + b q - losses d (1 - d) = 0 with -d for
    d."""
    z, n, gains, losses = float(stats.norm.isf(0.025)), 50, 12, 2
    limit = -paired_shares.score_limit(losses, gains, n, z)
    b = -gains - losses + (2 * n + gains - losses) * -limit
    q = (math.sqrt(b * b + 8 * n * gains * -limit * (1 + limit)) - b) / (4 * n)
    assert (gains - losses - n * limit) / math.sqrt(n * (2 * q - limit * (1 + limit))) == pytest.approx(z, abs=1e-6)
    assert 0 < limit < 0.2


@pytest.mark.parametrize(
    ("n", "margin", "share"), list(itertools.product((50, 100), (0.02, 0.05, 0.1), (0.1, 0.2, 0.35)))
)
def test_a_loss_of_the_margin_is_seldom_called_less(n, margin, share):
    assert errs(n, margin, share) <= 0.057


def test_rows_that_are_only_lost_are_found_where_they_are_few():
    """2 % of the rows lost and none gained: as long as no sample can show it, none is said to."""
    assert errs(50, 0.02, 0.02) == 0.0
    assert errs(100, 0.02, 0.02) == 0.0
    assert 0.005 < errs(200, 0.02, 0.02) <= 0.05


def test_labels_of_which_nothing_changed_take_rows_enough():
    few, many = (non_inferior(*labels(0, 0, n), ACCURACY, 0.02) for n in (100, 200))
    assert (few.holds, many.holds, many.test) == (False, True, OF_LABELS)
    z = stats.norm.isf(0.05)
    assert few.limit == pytest.approx(-(z**2) / (100 + z**2), abs=1e-6)
    assert (few.limit < -0.02) and (many.limit > -0.02) and many.p_value <= 0.05 < few.p_value


def test_a_metric_where_lower_is_better_is_judged_the_other_way_round():
    rng = np.random.default_rng(0)
    base, tuned = rng.normal(1.2, 0.1, 300), rng.normal(1.2, 0.1, 300)
    tuned[:150] -= 0.02
    higher = non_inferior(-base, -tuned, ROUGE, 0.1)
    lower = non_inferior(base, tuned, BITS, 0.1)
    assert not BITS.higher_is_better
    assert (lower.holds, lower.p_value, lower.limit) == (higher.holds, higher.p_value, -higher.limit)
    assert lower.limit > (tuned - base).mean()  # the worse end


def gaffke_of(differences, alpha=0.05):
    return mean_limit(worst_means(np.asarray(differences, dtype=float), 1.0), alpha)


def test_the_bound_of_rows_that_lose_all_or_nothing_is_clopper_and_pearson_s():
    for lost, n in ((0, 30), (3, 30), (5, 100)):
        exact = float(stats.beta.ppf(0.95, lost + 1, n - lost))
        assert gaffke_of([-1.0] * lost + [0.0] * (n - lost)) == pytest.approx(-exact, abs=0.004)


def test_limit_and_p_value_of_scores_agree():
    rng = np.random.default_rng(3)
    for n in (8, 40, 200):
        means = worst_means(rng.normal(-0.01, 0.1, n), 1.0)
        for alpha in (0.05, 0.01, 0.3):
            limit = mean_limit(means, alpha)
            for margin in (*np.quantile(-means, (0.2, 0.5, 0.9)), -limit - 1e-9, -limit + 1e-9):
                assert (mean_p(means, margin) <= alpha) == (limit > -margin)


def lost_rows(rng, n):
    """2 % of the rows lose everything."""
    return -(rng.random(n) < 0.02).astype(float), -0.02


def broken_rows(rng, n):
    """Half of the rows hardly move, and 10 % lose half on average."""
    moved = np.where(rng.random(n) < 0.5, 0.0, rng.normal(0, 0.1, n))
    return np.clip(moved - (rng.random(n) < 0.1) * rng.beta(2, 2, n), -1, 1), -0.05


def all_rows(rng, n):
    """Every row moves a little, as ROUGE does."""
    return rng.normal(-0.02, 0.15, n), -0.02


@pytest.mark.parametrize("drawn", [lost_rows, broken_rows, all_rows])
@pytest.mark.parametrize("n", [60, 250])
def test_scores_that_lose_the_margin_are_seldom_called_less(drawn, n):
    rng = np.random.default_rng(n)
    wrong = 0
    for _ in range(150):
        differences, truth = drawn(rng, n)
        limit = mean_limit(worst_means(differences, 1.0, draws=600), 0.05)
        wrong += limit > truth
    assert wrong / 150 <= 0.09  # 0.05 and two standard errors of 150 draws


def test_it_holds_where_rows_are_many_and_little_is_lost():
    rng = np.random.default_rng(1)
    base = rng.beta(4, 4, 600)
    tuned = np.clip(base + rng.normal(0.0, 0.05, 600), 0, 1)
    found = non_inferior(base, tuned, ROUGE, 0.02)
    assert (found.holds, found.test) == (True, OF_SCORES)
    assert -0.02 < found.limit < (tuned - base).mean()
    assert not non_inferior(base, tuned - 0.02, ROUGE, 0.02).holds


def test_the_worst_that_a_row_can_lose_is_what_the_metric_says_or_what_was_seen_and_then_that_is_said():
    def span(base, tuned, metric):
        return span_of(np.array(base), np.array(tuned), metric)

    assert span([0.2, 0.3], [0.3, 0.2], ROUGE) == span([0.2, 0.3], [0.3, 0.2], BITS) == 1.0
    assert span([3.0, 1.0], [2.0, 2.5], BITS) == 2.0
    base, tuned = [1.1, 1.2, 0.9, 3.1], [1.0, 1.3, 0.8, 2.9]
    assert non_inferior(base, tuned, ROUGE, 0.5).test == OF_SCORES
    assert non_inferior(base, tuned, BITS, 0.5).test == (
        f"{OF_SCORES}, none of which is taken to be beyond 2.3, as bits per byte has no known limits"
    )


@pytest.mark.parametrize("metric", [ACCURACY, ROUGE])
@pytest.mark.parametrize("margin", [1.0, 2.0])
def test_a_margin_that_would_let_every_loss_through_is_none(metric, margin):
    """Two points of a hundred are 0.02, and not 2, which every test set is within."""
    with pytest.raises(ValueError, match=r"from 0 to 1, so a margin of \d would let every loss through"):
        non_inferior([1.0, 0.0], [0.0, 0.0], metric, margin)
    assert non_inferior([3.0, 2.0], [2.0, 1.0], BITS, margin).margin == margin


@pytest.mark.parametrize("margin", [0, -0.1, math.inf, math.nan])
def test_a_margin_is_above_0(margin):
    with pytest.raises(ValueError, match="above 0"):
        non_inferior([1.0], [1.0], ACCURACY, margin)


def test_rows_that_do_not_pair_are_refused():
    with pytest.raises(ValueError, match="2 rows of base and 1"):
        non_inferior([1.0, 0.0], [1.0], ACCURACY, 0.1)
    with pytest.raises(ValueError, match="not finite"):
        non_inferior([math.nan], [1.0], ROUGE, 0.1)
    with pytest.raises(ValueError, match="no scores"):
        non_inferior([], [], ROUGE, 0.1)
