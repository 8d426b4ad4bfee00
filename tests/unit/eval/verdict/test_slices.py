"""The verdict by slices: how rows are divided, and which part got worse though the whole did not."""

import numpy as np
import pytest

from eval.lab.judging import holm
from eval.metrics import metric_named
from eval.statistics import judge_labels
from eval.verdict.slices import FEWEST, MOST, by_length, by_name, by_range, by_value, judge_slices

ACCURACY = metric_named("accuracy")


def counts(sliced):
    return {value: sliced.values.count(value) for value in dict.fromkeys(sliced.values)}


def test_values_are_slices_and_rare_ones_are_put_together():
    sliced = by_value("topic", ["soup"] * 40 + ["film"] * 30 + [f"rare {n}" for n in range(25)])
    assert counts(sliced) == {"soup": 40, "film": 30, "others (25 values)": 25}
    assert sliced.notes == ["By topic, 25 values with few rows are judged together, 25 rows."]


def test_one_rare_value_keeps_its_name_and_few_rows_are_said():
    sliced = by_value("topic", ["soup"] * 40 + ["film"] * 3)
    assert counts(sliced) == {"soup": 40, "film": 3}
    assert sliced.notes == ["By topic, 1 value with 3 rows: fewer than 20, which show little."]


@pytest.mark.parametrize("values", [["same"] * 50, [f"id {n}" for n in range(50)], ["a"] * 10 + ["b"] * 10, []])
def test_what_divides_nothing_is_no_slice_and_is_said(values):
    sliced = by_value("id", values)
    assert sliced.values is None and len(sliced.notes) == 1 and "not divided by id" in sliced.notes[0]


def test_there_are_no_more_than_so_many_slices():
    sliced = by_value("topic", [f"topic {n % 30}" for n in range(30 * FEWEST)])
    assert len(counts(sliced)) == MOST + 1
    assert counts(sliced)["others (10 values)"] == 10 * FEWEST


def test_a_value_that_is_called_like_the_others_is_not_one_of_them():
    sliced = by_value("topic", ["others"] * 30 + [f"rare {n}" for n in range(25)])
    assert counts(sliced) == {"others": 30, "(others) (25 values)": 25}


def test_nothing_and_white_space_are_values():
    sliced = by_value("topic", [None] * 20 + [" two\n words "] * 20 + [True] * 20)
    assert list(counts(sliced)) == ["(empty)", "two words", "True"]


def test_many_numbers_are_cut_into_ranges_and_few_are_values():
    ranges = by_value("age", [str(n % 50) for n in range(200)])
    assert counts(ranges) == {"0 to 12": 52, "13 to 24": 48, "25 to 37": 52, "38 to 49": 48}
    stars = by_value("stars", [n % 5 for n in range(200)])
    assert counts(stars) == {"0": 40, "1": 40, "2": 40, "3": 40, "4": 40}


def test_labels_that_look_like_numbers_are_names():
    labels = [str(n % 12) for n in range(240)]
    assert len(counts(by_name("label", labels))) == 12 and len(counts(by_value("label", labels))) == 4


def test_ranges_of_large_numbers_are_not_called_alike():
    """By six digits all of them were 1e+09, and one slice."""
    sliced = by_range("time", [1_700_000_000.0 + n for n in range(100)])
    assert counts(sliced) == {f"17000000{n:02} to 17000000{n + 24}": 25 for n in (0, 25, 50, 75)}


def test_lengths_are_cut_into_parts_of_like_size():
    sliced = by_length(["word " * (1 + n % 40) for n in range(160)])
    assert counts(sliced) == {"1 to 10 words": 40, "11 to 20 words": 40, "21 to 30 words": 40, "31 to 40 words": 40}
    assert by_length(["one two"] * 100).values is None
    assert by_length(["one two"] * 10).values is None


@pytest.mark.parametrize("seed", range(10))
def test_every_range_has_rows_enough_and_equal_numbers_are_together(seed):
    rng = np.random.default_rng(seed)
    numbers = [float(n) for n in rng.poisson(rng.integers(1, 6), int(rng.integers(40, 300)))]
    sliced = by_range("words", numbers)
    if sliced.values is None:
        return
    assert min(counts(sliced).values()) >= FEWEST and len(counts(sliced)) > 1
    of = {}
    for number, value in zip(numbers, sliced.values, strict=True):
        assert of.setdefault(number, value) == value


def test_what_got_worse_though_the_whole_got_better(scored_rows):
    """200 short rows that tuning helps, 40 long ones that it breaks."""
    base = [0] * 100 + [1] * 100 + [1] * 40
    tuned = [1] * 180 + [0] * 20 + [0] * 25 + [1] * 15
    slices = [{"length": "short"}] * 200 + [{"length": "long"}] * 40
    rows = scored_rows(base, tuned, slices=slices)
    assert judge_labels(base, tuned).outcome == "better"
    found = judge_slices(rows, "base", ["tuned"], ACCURACY)["tuned"]
    assert [(one.value, one.n, one.outcome) for one in found] == [("long", 40, "worse"), ("short", 200, "better")]
    assert found[0].judgement == judge_labels(base[200:], tuned[200:])
    assert (found[0].base, found[0].tuned) == (1.0, 15 / 40)


def test_slices_are_corrected_for_their_number(scored_rows):
    """6 losses of 30 rows are a difference by themselves, and none among twenty slices."""
    base = [1] * 30 + [1] * 19 * 30
    tuned = [0] * 6 + [1] * 24 + [1] * 19 * 30
    slices = [{"topic": f"topic {place // 30}"} for place in range(600)]
    found = judge_slices(scored_rows(base, tuned, slices=slices), "base", ["tuned"], ACCURACY)["tuned"]
    worst = found[0]
    assert (worst.judgement.outcome, worst.outcome) == ("worse", "no evidence")
    corrected = holm([one.judgement.p_value for one in found])
    assert [one.corrected for one in found] == corrected and worst.corrected == pytest.approx(20 * 2 / 2**6)


def test_slices_of_all_tuned_sides_are_corrected_together(scored_rows):
    """8 losses of 30 rows are a difference among five slices, and none among the ten of two tuned sides."""
    base, tuned = [1] * 150, [0] * 8 + [1] * 142
    rows = scored_rows(base, tuned, base, slices=[{"topic": f"topic {place // 30}"} for place in range(150)])
    alone, both = (judge_slices(rows, "base", keys, ACCURACY) for keys in (["tuned"], ["tuned", "tuned-2"]))
    assert alone["tuned"][0].corrected == pytest.approx(5 * 2 / 2**8) and alone["tuned"][0].outcome == "worse"
    assert both["tuned"][0].corrected == pytest.approx(10 * 2 / 2**8) and both["tuned"][0].outcome == "no evidence"
    assert [one.n for one in both["tuned-2"]] == [30] * 5


def test_without_slices_there_is_nothing_to_judge(scored_rows):
    assert judge_slices(scored_rows([1, 0], [1, 1]), "base", ["tuned"], ACCURACY) == {"tuned": []}
