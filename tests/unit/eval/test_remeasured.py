"""What the gate asks is what a comparison measures, but for the base's other rows, which decide nothing."""

import pytest
from datasets import Dataset

from data.sources import open_source
from data.tasks import DIALOGUE, SENTIMENT
from eval import remeasured as module
from eval.compare import compare
from eval.gate import ALL, check, measured
from eval.remeasured import remeasured


@pytest.fixture(scope="module")
def reviews(tiny_pair):
    rows = open_source("corpus:reviews", SENTIMENT).splits["test"].select(range(45))
    return tiny_pair, rows, measured("tiny", compare(tiny_pair, rows))


@pytest.fixture(scope="module")
def dialogues(tiny_dialogue_pair):
    rows = open_source("corpus:dialogues", DIALOGUE).splits["test"]
    short = [row for row in rows if len(row["dialogue"]) < 420][:12]  # a letter is a token of the tiny model
    rows = Dataset.from_list(short)
    return tiny_dialogue_pair, rows, measured("tiny", compare(tiny_dialogue_pair, rows))


@pytest.fixture
def asked(monkeypatch):
    """(whether it is tuned, how many rows) of each time that one side is asked alone; "both" where both are."""
    found = []

    def noting(name):
        ask = getattr(module, name)

        def noted(pair, rows, **how):
            found.append((how["tuned"], len(rows)) if "tuned" in how else "both")
            return ask(pair, rows, **how)

        monkeypatch.setattr(module, name, noted)

    for name in ("score_side_labels", "answer_side_batch", "compare"):
        noting(name)
    return found


@pytest.mark.parametrize("which", ["reviews", "dialogues"])
def test_with_a_baseline_tuned_answers_every_row_and_the_base_every_tenth(which, request, asked):
    pair, rows, then = request.getfixturevalue(which)
    now, some = remeasured("tiny", pair, rows, then)
    assert now.model_copy(update={"created": then.created, "base": then.base}) == then
    assert now.base == then.base[some] and asked == [(False, len(now.base)), (True, len(rows))]
    assert len(now.base) == len(range(0, len(rows), 10))


def test_what_is_shown_says_of_how_many_rows_and_decides_as_before(reviews):
    pair, rows, then = reviews
    now, some = remeasured("tiny", pair, rows, then)
    better = then.model_copy(update={"tuned": [1.0] * len(rows)})
    worse = now.model_copy(update={"tuned": [0.0] * len(rows)})
    outcome = check(worse, better, base_on=some)
    assert "base → tuned" not in outcome.table  # so few rows say little of that
    assert "base, then → now (5 rows)" in outcome.table
    whole = check(then.model_copy(update={"tuned": worse.tuned}), better)
    assert outcome.failures == whole.failures and any("got worse" in failure for failure in outcome.failures)
    rows_of_tuned = [[line for line in each.table.splitlines() if "| tuned" in line] for each in (outcome, whole)]
    assert rows_of_tuned[0] == rows_of_tuned[1] != []


def test_without_a_baseline_both_sides_answer_every_row(reviews, asked):
    pair, rows, then = reviews
    now, some = remeasured("tiny", pair, rows, None)
    assert asked == ["both"] and some == ALL and now.base == then.base
