"""The verdict is right as often as it says: closed forms, published values, and test sets whose truth is known.

For labels nothing is simulated: every outcome of a test set is judged and weighted by its probability, so the
error rates, coverages and powers are exact. For scores 2,000 (or fewer, as said) test sets are drawn, with 1,000
draws each instead of 10,000 to save time; the seed changes with the test set, as otherwise all would share the
same random signs.
"""

import itertools
import math
import subprocess
import sys
import tracemalloc
from functools import cache

import numpy as np
import pytest
from pydantic import BaseModel, ValidationError
from scipy import stats

from eval import paired_shares
from eval import statistics as module
from eval.statistics import Interval, judge_labels, judge_scores, mean_interval, wilson

IN_FIVE_PERCENT = pytest.approx(0.95, abs=0.02)
"""Where the coverage of a 95 % interval has to be."""


def labels(gains, losses, n):
    """Base and tuned of `n` rows, of which each side alone has some right."""
    both = [True] * (n - gains - losses)
    return [False] * gains + [True] * losses + both, [True] * gains + [False] * losses + both


@cache
def judged(gains, losses, n, alpha=0.05):
    return judge_labels(*labels(gains, losses, n), alpha=alpha)


@cache
def outcomes(n, share, difference):
    """Every likely (gains, losses) of `n` rows, each discordant with probability `share`, and its probability."""
    gains, losses = np.indices((n + 1, n + 1)).reshape(2, -1)
    discordant = gains + losses
    gain = (1 + difference / share) / 2
    chance = stats.binom.pmf(discordant, n, share) * stats.binom.pmf(gains, discordant, gain)
    kept = chance > 1e-6
    assert chance[kept].sum() > 0.999
    return list(zip(gains[kept].tolist(), losses[kept].tolist(), chance[kept].tolist(), strict=True))


def probability(n, share, difference, holds, alpha=0.05):
    """How likely a judgement is for which `holds`."""
    likely = outcomes(n, share, difference)
    return sum(chance for gains, losses, chance in likely if holds(judged(gains, losses, n, alpha)))


def covers(truth):
    return lambda judgement: judgement.interval.low <= truth + 1e-12 and truth - 1e-12 <= judgement.interval.high


def drawn_scores(rng, n, kept, beta):
    """Like ROUGE-2: bounded, skewed, `1 - kept` of them 0, and correlated as a row is hard for both sides."""
    difficulty = rng.beta(4, 2, n)
    sides = [difficulty * (rng.random(n) < share) * rng.beta(2, b, n) for share, b in zip(kept, beta, strict=True)]
    means = [4 / 6 * share * 2 / (2 + b) for share, b in zip(kept, beta, strict=True)]
    return *sides, means[1] - means[0]


def simulate(count, n, *, kept=(0.6, 0.6), beta=(6, 6), draws=1_000, shift=0.0):
    """`count` judgements, and the true difference."""
    rng = np.random.default_rng(n)
    judgements = []
    for seed in range(count):
        base, tuned, truth = drawn_scores(rng, n, kept, beta)
        judgements.append(judge_scores(base, tuned + shift, draws=draws, seed=seed))
    return judgements, truth + shift


@pytest.fixture(scope="module")
def unchanged():
    """2,000 test sets of 100 rows on which base and tuned are equally good."""
    return simulate(2_000, 100)[0]


def share_of(judgements, holds):
    return sum(map(holds, judgements)) / len(judgements)


def test_importing_the_module_imports_neither_numpy_nor_scipy():
    code = "import sys, eval.statistics; sys.exit(bool({'numpy', 'scipy'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_field_says_what_it_is_and_no_other_is_taken():
    models = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, BaseModel)]
    fields = [field for model in models for field in model.model_fields.values()]
    assert len(fields) == 10
    assert all(field.description for field in fields)
    with pytest.raises(ValidationError):
        Interval(low=0, high=1, level=0.9)
    with pytest.raises(ValidationError):
        Interval(low=0, high=1).low = 2
    judgement = judge_labels([True], [False])
    assert type(judgement).model_validate_json(judgement.model_dump_json()) == judgement


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    # Newcombe 1998, Statistics in Medicine 17, 857-872, table I, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_published_intervals(successes, n, low, high):
    interval = wilson(successes, n)
    assert (interval.low, interval.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@pytest.mark.parametrize(
    ("gains", "losses", "n", "low", "high"),
    [
        # Fagerland, Lydersen and Laake 2014, https://doi.org/10.1002/sim.6148, airway hyper-responsiveness
        (1, 7, 21, -0.517, -0.026),
        # R's PropCIs 0.3-0, scoreci.mp
        (25, 12, 200, 0.0056355, 0.1269411),
        (10, 3, 50, -0.0014977, 0.2854749),
        (13, 1, 14, 0.3706262, 0.9745556),
        (14, 0, 14, 0.5693784, 1),
        (1, 0, 14, -0.1592616, 0.3146871),
        (0, 0, 14, -0.2153108, 0.2153108),
        (1, 1, 2, -0.8109376, 0.8109376),
    ],
)
def test_the_interval_of_two_accuracies_is_the_published_one(gains, losses, n, low, high):
    """By the normal critical value; by that of the exact test where it is stricter, it is wider."""
    digits, z = 5e-4 if n == 21 else 1e-6, stats.norm.isf(0.025)
    found = -paired_shares.score_limit(losses, gains, n, z), paired_shares.score_limit(gains, losses, n, z)
    assert found == (pytest.approx(low, abs=digits), pytest.approx(high, abs=digits))
    interval, mirrored = judged(gains, losses, n).interval, judged(losses, gains, n).interval
    assert (mirrored.low, mirrored.high) == (-interval.high, -interval.low)
    if gains + losses in (8, 14):  # 7 of 8, and 11 of 14, are further out than 1.96, and pass the exact test
        assert interval.low < found[0] and (interval.high > found[1] or found[1] == 1)
    else:
        assert (interval.low, interval.high) == pytest.approx(found)


def test_interval_and_test_agree_for_every_table_of_up_to_100_rows():
    """0 is in the interval exactly where the exact test says no evidence: 176,850 tables, of mirrored ones one."""
    tables = 0
    for n in range(1, 101):
        for gains in range(n + 1):
            for losses in range(min(gains, n - gains) + 1):
                low, high = paired_shares.score_interval(gains, losses, n, 0.05)
                rejected = paired_shares.mcnemar_p(gains, losses) <= 0.05
                assert (low > 0) == rejected and high >= low, (gains, losses, n)
                tables += 1 if gains == losses else 2
    assert tables == 176_850


def test_a_limit_that_is_0_is_written_without_a_sign_of_doubt():
    """4 and 5 gains and no loss are the most that the exact test lets pass of so many discordant rows."""
    for gains in (4, 5):
        assert str(judged(gains, 0, 40).interval.low) == str(judged(0, gains, 40).interval.high) == "0.0"


@pytest.mark.parametrize("alpha", [0.2, 0.01, 0.03125])
def test_interval_and_test_agree_at_any_alpha(alpha):
    for n, gains, losses in itertools.product((12, 40), range(21), range(21)):
        if gains + losses <= n:
            judgement = judged(gains, losses, n, alpha)
            inside = judgement.interval.low <= 0 <= judgement.interval.high
            assert inside == (judgement.outcome == "no evidence"), (gains, losses, n)


@pytest.mark.parametrize("seed", range(60))
def test_interval_and_test_of_scores_agree(seed):
    """Few rows and many, with ties, rows without a difference, and differences whose sum is 0 but for rounding."""
    rng = np.random.default_rng(seed)
    n = int(rng.choice([2, 5, 6, 8, 13, 14, 30, 120]))
    base = rng.integers(0, 4, n) / 10 if seed % 2 else rng.beta(1, 4, n)
    tuned = base + rng.choice([-0.1, 0.0, 0.1, 0.2], n, p=[(0.3, 0.4, 0.2, 0.1), (0.1, 0.4, 0.3, 0.2)][seed % 2])
    for alpha in (0.05, 0.01, 0.3):
        judgement = judge_scores(base, tuned, alpha=alpha, draws=2_000, seed=seed)
        inside = judgement.interval.low <= 0 <= judgement.interval.high
        assert inside == (judgement.outcome == "no evidence"), judgement


@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_the_interval_of_few_scores_is_of_every_difference_that_the_full_enumeration_lets_pass(alpha):
    differences = np.random.default_rng(4).normal(0.05, 0.1, 9)
    signs = np.array(list(itertools.product((-1, 1), repeat=9)))

    def p_of(d):
        sums, seen = signs @ (differences - d), (differences - d).sum()
        return 2 * min(np.mean(sums >= seen - 1e-12), np.mean(sums <= seen + 1e-12))

    interval = judge_scores(np.zeros(9), differences, alpha=alpha).interval
    for inner, outer in ((interval.low, -1e-6), (interval.high, 1e-6)):
        assert p_of(inner) > alpha >= p_of(inner + outer)


def test_mcnemar_is_the_binomial_test_by_hand():
    assert judged(12, 2, 50).p_value == pytest.approx(0.0129, abs=5e-5)  # Armitage and Berry 1994, p. 127
    for gains, losses in itertools.product(range(9), range(9)):
        m = gains + losses
        tail = sum(math.comb(m, k) for k in range(min(gains, losses) + 1)) / 2**m
        judgement = judged(gains, losses, 20)
        assert judgement.p_value == pytest.approx(min(1.0, 2 * tail))
        expected = "no evidence" if 2 * tail > 0.05 else "better" if gains > losses else "worse"
        assert (judgement.outcome, judgement.difference) == (expected, (gains - losses) / 20)


@pytest.mark.parametrize("n", [2, 3, 7, 12])
def test_the_permutation_test_of_few_rows_is_the_full_enumeration(n):
    rng = np.random.default_rng(n)
    for scores in (rng.beta(1, 4, (2, n)), rng.integers(0, 4, (2, n)) / 10):  # the second with ties and zeros
        base, tuned = scores
        differences = tuned - base
        sums = np.array([np.dot(signs, differences) for signs in itertools.product((-1, 1), repeat=n)])
        expected = np.mean(abs(sums) >= abs(differences.sum()) - 1e-9)
        assert judge_scores(base, tuned).p_value == pytest.approx(expected)


def test_random_flips_come_close_to_the_full_enumeration():
    base, tuned = np.random.default_rng(3).beta(1, 4, (2, 14))
    tuned += 0.11
    drawn, full = judge_scores(base, tuned), judge_scores(base, tuned, draws=2**14)
    assert 0.02 < full.p_value < 0.2
    assert drawn.p_value != full.p_value
    assert drawn.p_value == pytest.approx(full.p_value, abs=4 * math.sqrt(full.p_value / 10_000))


def test_labels_are_right_or_wrong_however_that_is_written():
    base, tuned = labels(9, 2, 30)
    assert judge_labels([float(one) for one in base], [int(one) for one in tuned]) == judged(9, 2, 30)
    for odd in (0.5, 2, math.nan):
        with pytest.raises(ValueError, match="1 or 0, not"):
            judge_labels([*base, odd], [*tuned, 1])


def test_scores_of_0_and_1_are_judged_as_labels_are():
    base, tuned = labels(9, 2, 30)
    as_scores, as_labels = judge_scores(base, tuned), judge_labels(base, tuned)
    assert (as_scores.p_value, as_scores.outcome) == (pytest.approx(as_labels.p_value), as_labels.outcome)
    assert as_scores.difference == pytest.approx(as_labels.difference)


def test_many_normal_differences_have_student_s_interval_and_p_value():
    rng = np.random.default_rng(0)
    base, tuned = rng.normal((0.3, 0.307), 0.1, (1_500, 2)).T
    judgement, student = judge_scores(base, tuned), stats.ttest_rel(tuned, base)
    low, high = student.confidence_interval()
    assert judgement.interval.low == pytest.approx(low, abs=0.03 * (high - low))
    assert judgement.interval.high == pytest.approx(high, abs=0.03 * (high - low))
    assert judgement.p_value == pytest.approx(student.pvalue, abs=4 * math.sqrt(student.pvalue / 10_000))
    single = mean_interval(base)
    error = stats.sem(base) * stats.t.isf(0.025, 1_499)
    assert (single.low, single.high) == pytest.approx((base.mean() - error, base.mean() + error), abs=0.06 * error)


def test_swapped_sides_give_the_opposite_judgement_and_a_seed_the_same():
    base, tuned, _ = drawn_scores(np.random.default_rng(1), 60, (0.6, 0.9), (6, 5))
    there, back = judge_scores(base, tuned), judge_scores(tuned, base)
    assert (there.outcome, back.outcome) == ("better", "worse")
    assert there.difference == -back.difference == pytest.approx(tuned.mean() - base.mean())
    assert there.detectable == back.detectable
    assert there.interval.low == pytest.approx(-back.interval.high, abs=0.03 * there.difference)
    assert judge_scores(list(base), list(tuned)) == there
    assert judge_scores(base, tuned, seed=1).interval != there.interval


@pytest.mark.parametrize("n", [1, 2, 5, 6, 40])
def test_identical_sides_are_no_evidence(n):
    scores = np.random.default_rng(n).beta(1, 4, n)
    for judgement in (judge_scores(scores, scores), judge_scores(scores, scores + 1e-15)):
        assert (judgement.p_value, judgement.outcome, judgement.difference) == (1.0, "no evidence", 0.0)
        assert (judgement.interval, judgement.detectable) == (Interval(low=0, high=0), None)
    same = judge_labels([True] * n, [True] * n)
    assert (same.p_value, same.outcome, same.difference) == (1.0, "no evidence", 0.0)
    assert same.interval.low == pytest.approx(-same.interval.high)
    assert same.interval.high == pytest.approx(3.8415 / (n + 3.8415), abs=1e-4)  # where (n d)^2 = z^2 n d (1 - d)


@pytest.mark.parametrize(("n", "p_value"), [(1, 1.0), (5, 2 / 32), (6, 2 / 64), (13, 2 / 2**13), (100, 2 / 10_001)])
def test_the_same_gain_in_every_row(n, p_value):
    scores = np.random.default_rng(n).beta(1, 4, n)
    judgement = judge_scores(scores, scores + 0.1)
    low = 0.1 if n >= 6 else 0.0  # fewer rows tell nothing from 0
    assert (judgement.interval.low, judgement.interval.high) == (pytest.approx(low), pytest.approx(0.1))
    assert judgement.p_value == pytest.approx(p_value)
    assert judgement.outcome == ("better" if n >= 6 else "no evidence")
    assert judgement.detectable is None


@pytest.mark.parametrize(("scores", "mean"), [([0.3], 0.3), ([0.1] * 7, 0.1), ([0, 0], 0.0)])
def test_a_mean_without_spread_has_a_point_for_an_interval(scores, mean):
    interval = mean_interval(scores)
    assert interval.low == interval.high == pytest.approx(mean)


def test_few_and_odd_rows_give_finite_intervals_about_the_difference():
    rng = np.random.default_rng(0)
    for n, odd in itertools.product((2, 3, 4, 9, 30), range(3)):
        tuned = [rng.random(n), rng.integers(0, 2, n), np.arange(n) == 0][odd]
        judgement = judge_scores(np.zeros(n), tuned, draws=500)
        low, high = judgement.interval.low, judgement.interval.high
        assert min(0, *tuned) - 1e-12 <= low <= judgement.difference <= high <= max(0, *tuned) + 1e-12


def test_the_alpha_decides_and_is_kept():
    assert judged(10, 2, 40).outcome == "better"
    assert judged(2, 10, 40).outcome == "worse"
    strict = judged(2, 10, 40, alpha=0.01)
    assert (strict.outcome, strict.alpha) == ("no evidence", 0.01)
    assert strict.interval.low < judged(2, 10, 40).interval.low < judged(2, 10, 40).interval.high < 0
    assert strict.interval.high >= 0
    assert strict.detectable > judged(2, 10, 40).detectable
    usual, strict = (judge_scores(*labels(2, 10, 40), alpha=alpha) for alpha in (0.05, 0.01))
    assert (usual.outcome, strict.outcome, strict.alpha) == ("worse", "no evidence", 0.01)
    assert strict.interval.low < usual.interval.low < usual.interval.high < 0 <= strict.interval.high
    assert strict.detectable > usual.detectable


@pytest.mark.parametrize("judge", [judge_labels, judge_scores])
def test_rows_that_do_not_pair_are_refused(judge):
    with pytest.raises(ValueError, match=r"rows of base|shorter"):
        judge([True, False], [True])
    with pytest.raises(ValueError, match="no "):
        judge([], [])


def test_scores_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="not finite"):
        judge_scores([0.1, math.nan], [0.1, 0.2])
    with pytest.raises(ValueError, match="not finite"):
        mean_interval([math.inf])
    with pytest.raises(ValueError, match=r".+"):
        wilson(0, 0)


def test_the_memory_does_not_grow_with_the_rows():
    base, tuned, _ = drawn_scores(np.random.default_rng(0), 5_000, (0.6, 0.7), (6, 6))
    tracemalloc.start()
    judge_scores(base, tuned, draws=2_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100e6  # bytes; all draws at once would take 160 MB


@pytest.mark.parametrize("n", [10, 30, 100, 400])
@pytest.mark.parametrize("share", [0.05, 0.2, 0.35])
def test_equal_accuracies_are_seldom_told_apart(n, share):
    assert probability(n, share, 0.0, lambda judgement: judgement.outcome != "no evidence") <= 0.05
    assert probability(n, share, 0.0, lambda judgement: judgement.p_value <= 0.01) <= 0.01


@pytest.mark.parametrize("n", [100, 400])
@pytest.mark.parametrize(
    ("share", "difference"), [(0.1, 0.0), (0.1, 0.05), (0.1, 0.1), (0.2, 0.1), (0.35, 0.0), (0.35, 0.17)]
)
def test_the_interval_of_two_accuracies_holds_the_truth_in_95_percent(n, share, difference):
    """Of 0 as often as the exact test does not err, which is more often than 95 %."""
    held = probability(n, share, difference, covers(difference))
    assert 0.945 <= held <= (0.975 if difference else 0.98)
    if not difference:
        assert held == pytest.approx(
            probability(n, share, 0.0, lambda judgement: judgement.outcome == "no evidence"), abs=1e-12
        )


@pytest.mark.parametrize(
    ("n", "share", "alpha"),
    [(40, 0.35, 0.05), (100, 0.05, 0.05), (100, 0.2, 0.05), (400, 0.2, 0.05), (100, 0.2, 0.01)],
)
def test_a_detectable_difference_of_accuracies_is_found_in_80_percent(n, share, alpha):
    difference = judged(round(n * share), 0, n, alpha).detectable
    actual = max(share, difference)
    assert probability(n, actual, difference, lambda judgement: judgement.outcome == "better", alpha) == (
        pytest.approx(0.8, abs=0.001)
    )


@pytest.mark.parametrize(("alpha", "fewest"), [(0.05, 6), (0.01, 8), (0.03125, 6), (0.5, 2)])
def test_no_difference_is_detectable_below_the_fewest_flips_that_mcnemar_shows(alpha, fewest):
    assert judged(fewest, 0, fewest, alpha).outcome == "better"
    assert judged(fewest - 1, 0, fewest, alpha).outcome == "no evidence"
    for n in (1, fewest - 1):
        assert judged(0, 0, n, alpha).detectable is None
        assert judge_scores([0.0] * n, list(range(n)), alpha=alpha).detectable is None
    for n, share in itertools.product((fewest, 20, 150), (0, 0.1, 0.5, 1)):
        assert fewest / n < judged(round(share * n), 0, n, alpha).detectable <= 1 or n == fewest
    assert judged(0, 0, fewest, alpha).detectable == pytest.approx(0.8 ** (1 / fewest), abs=1e-4)


def test_equal_scores_are_seldom_told_apart(unchanged):
    wrong = share_of(unchanged, lambda judgement: judgement.outcome != "no evidence")
    assert wrong <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 2_000)  # two standard errors of 2,000 test sets: 0.0097


def test_the_interval_of_two_equal_means_holds_0_in_95_percent(unchanged):
    assert share_of(unchanged, covers(0.0)) == IN_FIVE_PERCENT


def test_the_interval_of_two_means_holds_the_truth_in_95_percent():
    judgements, truth = simulate(1_000, 100, kept=(0.6, 0.8), beta=(6, 5))  # standard error 0.007
    assert share_of(judgements, covers(truth)) == IN_FIVE_PERCENT


def test_the_interval_of_few_skewed_differences_holds_the_truth_as_often():
    """The bootstrap that it replaced held it in 0.924 of such sets of 20 rows."""
    judgements, truth = simulate(1_500, 20, kept=(0.1, 0.5))
    assert 0.93 <= share_of(judgements, covers(truth)) <= 0.97


def test_the_interval_of_one_mean_holds_the_truth_in_95_percent():
    rng = np.random.default_rng(2)
    held = 0
    for seed in range(1_000):
        base, *_ = drawn_scores(rng, 100, (0.6, 0.6), (6, 6))
        interval = mean_interval(base, draws=1_000, seed=seed)
        held += interval.low <= 4 / 6 * 0.6 * 2 / 8 <= interval.high
    assert held / 1_000 == IN_FIVE_PERCENT


def test_a_detectable_difference_of_scores_is_found_in_80_percent(unchanged):
    detectable = np.mean([judgement.detectable for judgement in unchanged])
    judgements, _ = simulate(500, 100, shift=detectable)
    found = share_of(judgements, lambda judgement: judgement.outcome == "better")
    assert found == pytest.approx(0.8, abs=0.05)  # standard error 0.018
