"""The win rate against closed forms, and what is said of it."""

from itertools import product

import pytest

from eval.votes import counts, headline, win_rate


def of(tuned=0, base=0, ties=0, both_bad=0):
    return win_rate(["tuned"] * tuned + ["base"] * base + ["tie"] * ties + ["both bad"] * both_bad)


def test_ties_count_half_and_both_bad_is_apart():
    found = of(tuned=3, base=1, ties=2, both_bad=5)
    assert found.rate == pytest.approx((3 + 2 / 2) / 6)
    assert (found.votes, found.both_bad) == (6, 5)
    assert of(tuned=3, base=1, ties=2) == found.model_copy(update={"both_bad": 0})
    assert of(ties=4).rate == 0.5 and of(ties=4).p_value == 1


@pytest.mark.parametrize(("tuned", "base", "p_value"), [(5, 0, 2 / 2**5), (6, 0, 2 / 2**6), (9, 1, 22 / 2**10)])
def test_the_sign_test_is_the_binomial_tail_twice(tuned, base, p_value):
    assert of(tuned, base).p_value == pytest.approx(p_value)
    assert of(tuned, base, ties=7).p_value == pytest.approx(p_value), "ties say nothing"
    assert of(base, tuned).p_value == pytest.approx(p_value)


def test_the_interval_holds_a_half_exactly_where_the_sign_test_shows_nothing():
    for tuned, base, ties in product(range(0, 14, 2), range(0, 14, 3), (0, 1, 8)):
        found, mirrored = of(tuned, base, ties), of(base, tuned, ties)
        if not found.votes:
            continue
        within = found.interval.low <= 0.5 <= found.interval.high
        assert within == (found.p_value > 0.05) == (found.outcome == "no evidence")
        assert 0 <= found.interval.low <= found.rate <= found.interval.high <= 1
        assert mirrored.interval.low == pytest.approx(1 - found.interval.high)
        assert {found.outcome, mirrored.outcome} in ({"better", "worse"}, {"no evidence"})


def test_no_votes_have_no_rate_and_few_say_how_many_are_needed():
    assert of(both_bad=2).rate is None and of().interval is None
    assert headline(of(both_bad=2)) == "There are no votes for a side yet."
    assert counts(of(tuned=2, base=1, ties=4)).endswith("3 more votes for a side before they can show anything.")
    assert "before" not in counts(of(tuned=4, base=2))


def test_the_sentence_names_rate_interval_and_test():
    assert headline(of(tuned=12, base=2, ties=2)).startswith(
        "Preferred: the tuned model won 0.81 of 16 votes (95 % interval 0.5"
    )
    assert headline(of(tuned=12, base=2, ties=2)).endswith("), sign test p = 0.013.")
    assert headline(of(base=20)).startswith("Not preferred: ") and headline(of(base=20)).endswith("p < 0.001.")
    assert headline(of(tuned=1)).startswith("No evidence of a preference: the tuned model won 1.00 of 1 vote (")


def test_how_ties_and_both_bad_count_is_said():
    said = "4 for tuned, 2 for base; 1 tie, which counts as half a vote for either and is left out of the test; "
    assert counts(of(tuned=4, base=2, ties=1, both_bad=3)) == f"{said}both bad: 3, not counted."
    assert "2 ties, each of which counts" in counts(of(tuned=4, base=2, ties=2))
    assert counts(of(tuned=4, base=2)) == "4 for tuned, 2 for base."
