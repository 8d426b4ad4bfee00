"""All pairs with Holm's correction, and a leaderboard on which a tie is a tie."""

import itertools

import numpy as np
import pytest

from eval.lab.judging import holm
from eval.lab.schema import PairResult
from eval.metrics import metric_named
from eval.statistics import Interval, judge_labels
from eval.verdict.pairs import groups, judge_pairs, turned

ACCURACY = metric_named("accuracy")


def pair(one, other, outcome="no evidence"):
    return PairResult(
        one=one, other=other, difference=0.1, interval=Interval(low=0.0, high=0.2), p_value=0.01, corrected=0.02,
        outcome=outcome,
    )  # fmt: skip


def test_all_pairs_are_judged_once_and_corrected_together():
    rng = np.random.default_rng(0)
    shares = {"a": 0.5, "b": 0.55, "c": 0.8}
    scores = {key: (rng.random(200) < share).astype(float) for key, share in shares.items()}
    found, test = judge_pairs(scores, ACCURACY)
    assert [(each.one, each.other) for each in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    alone = [judge_labels(scores[each.one], scores[each.other]) for each in found]
    assert [each.p_value for each in found] == [one.p_value for one in alone]
    assert [each.corrected for each in found] == holm([one.p_value for one in alone])
    assert [each.outcome for each in found] == ["no evidence", "better", "better"]
    assert test == "exact McNemar test"


def test_a_pair_may_be_seen_from_either_side():
    there = pair("a", "b", "better").model_copy(update={"interval": Interval(low=0.05, high=0.2)})
    back = turned(there)
    assert (back.one, back.other, back.difference, back.outcome) == ("b", "a", -0.1, "worse")
    assert (back.interval.low, back.interval.high) == (-0.2, -0.05)
    assert turned(back) == there
    assert turned(pair("a", "b")).outcome == "no evidence"


def test_sides_that_are_not_told_apart_share_a_group():
    order = ["a", "b", "c", "d"]
    every = [(one, other) for place, one in enumerate(order) for other in order[place + 1 :]]

    def told(*apart):
        return [pair(one, other, "better" if (one, other) in apart else "no evidence") for one, other in every]

    assert groups(order, told()) == [["a", "b", "c", "d"]]
    assert groups(order, told(("a", "c"))) == [["a", "b", "d"], ["b", "c", "d"]]  # a ~ b ~ c is no order
    assert groups(order, told(*every)) == [["a"], ["b"], ["c"], ["d"]]
    split = told(("a", "c"), ("a", "d"), ("b", "c"), ("b", "d"))
    assert groups(order, split) == [["a", "b"], ["c", "d"]]


@pytest.mark.parametrize("seed", range(8))
def test_groups_are_the_largest_without_a_difference(seed):
    """Against all subsets: each is free of differences, none can take another side, and every largest is there."""
    rng = np.random.default_rng(seed)
    order = list("abcdef")
    every = [(one, other) for place, one in enumerate(order) for other in order[place + 1 :]]
    apart = {each for each in every if rng.random() < 0.4}
    judged = [pair(one, other, "worse" if (one, other) in apart else "no evidence") for one, other in every]

    def free(some):
        return not any((one, other) in apart for one in some for other in some)

    subsets = [set(itertools.compress(order, bits)) for bits in itertools.product((0, 1), repeat=6) if any(bits)]
    largest = [one for one in subsets if free(one) and not any(one < other and free(other) for other in subsets)]
    assert sorted(map(sorted, groups(order, judged))) == sorted(map(sorted, largest))
