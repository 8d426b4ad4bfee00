"""Rows to look at: planted wrong references are found, and what only one side doubts is not."""

import random

import pytest

from eval.verdict.schema import Answer, VerdictRow
from eval.verdict.suspects import MOST, find_suspects


def labelled(right, *positives):
    """A row with each side's probability of positive."""

    def answer(positive):
        text = "positive" if positive > 0.5 else "negative"
        shares = {"negative": 1 - positive, "positive": positive}
        return Answer(text=text, scores={"accuracy": float(text == right)}, probabilities=shares)

    keys = ("base", "tuned", "tuned-2")
    answers = {key: answer(positive) for key, positive in zip(keys, positives, strict=False)}
    return VerdictRow(input="A review.", references=[right], answers=answers)


def text(*likelihoods):
    answers = {
        key: Answer(text="x", scores={"rougeL": 0.5}, log_likelihood=value)
        for key, value in zip(("base", "tuned"), likelihoods, strict=True)
    }
    return VerdictRow(input="A letter.", references=["An answer."], answers=answers)


@pytest.fixture
def usual():
    """100 rows that both sides answer right, more or less surely."""
    generator = random.Random(0)
    rows = []
    for number in range(100):
        right = ("positive", "negative")[number % 2]
        of_right = [generator.uniform(0.6, 0.95) for _ in range(2)]
        rows.append(labelled(right, *(share if right == "positive" else 1 - share for share in of_right)))
    return rows


def test_a_reference_that_all_sides_are_sure_is_wrong_is_found(usual):
    rows = [*usual, labelled("negative", 0.97, 0.99)]
    (found,), said = find_suspects(rows)
    assert (found.row, found.reference, found.instead) == (101, "negative", "positive")
    assert 3 < found.loss < 5 and not said


@pytest.mark.parametrize("sides", [(0.97, 0.2), (0.55, 0.99), (0.55, 0.55)])
def test_a_doubt_of_one_side_or_an_unsure_one_is_none(usual, sides):
    assert find_suspects([*usual, labelled("negative", *sides)]) == ([], [])


def test_sides_that_always_say_the_same_accuse_nobody():
    """A base that calls everything positive is as sure of it where it is right as where it is not."""
    rows = [
        labelled(("positive", "negative")[n % 2], 0.9 if n % 2 else 0.95, 0.9 if n % 2 else 0.95) for n in range(60)
    ]
    assert find_suspects(rows) == ([], [])


def test_the_most_improbable_stand_first_and_there_are_not_too_many(usual):
    wrong = [labelled("negative", 0.95 + n / 1000, 0.95 + n / 1000) for n in range(MOST + 5)]
    found, said = find_suspects([*usual, *usual, *wrong])
    assert len(found) == MOST and [one.loss for one in found] == sorted((one.loss for one in found), reverse=True)
    assert found[0].row == 200 + MOST + 5
    assert said == [f"Of {MOST + 5} rows to look at the {MOST} most improbable are listed."]


def test_of_texts_it_is_the_loss_of_a_token_far_beyond_the_others():
    generator = random.Random(1)
    rows = [text(generator.gauss(-1.5, 0.2), generator.gauss(-0.8, 0.1)) for _ in range(80)]
    rows[7], rows[9] = text(-6.0, -5.0), text(-6.0, -0.8)
    (found,), _ = find_suspects(rows)
    assert (found.row, found.instead, found.loss) == (8, "", 5.5)


def test_where_a_side_says_nothing_of_it_none_is_looked_for_and_that_is_said(scored_rows):
    found, said = find_suspects(scored_rows([1] * 30, [0] * 30))
    assert found == [] and "not looked for" in said[0]


def test_of_few_rows_nothing_is_unusual(usual):
    assert find_suspects([*usual[:15], labelled("negative", 0.97, 0.99)]) == ([], [])
