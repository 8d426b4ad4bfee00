"""What the gate asks again is what it would have measured, and a base that answers otherwise is asked every row."""

import pytest
from datasets import Dataset

from data.sources import open_source
from data.tasks import DIALOGUE, SENTIMENT
from eval import remeasured as module
from eval.compare import compare
from eval.gate import measured
from eval.remeasured import EVERY, remeasured


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
def test_where_nothing_has_changed_it_is_what_a_comparison_measures(which, request, asked):
    pair, rows, then = request.getfixturevalue(which)
    now, said = remeasured("tiny", pair, rows, then)
    assert now.model_copy(update={"created": then.created}) == then
    sample = len(range(0, len(rows), EVERY))
    assert asked == [(False, sample), (True, len(rows))] and f"asked {sample} of the {len(rows)} rows" in said


def test_a_tuned_model_that_got_worse_is_seen(reviews, asked):
    pair, rows, then = reviews
    before = then.model_copy(update={"tuned": [1 - score for score in then.tuned]})
    now, _ = remeasured("tiny", pair, rows, before)
    assert now.tuned == then.tuned != before.tuned


@pytest.mark.parametrize(
    "changed",
    [
        lambda then: {"base": [1 - then.base[0], *then.base[1:]]},
        lambda then: {"versions": then.versions | {"torch": "1.0"}},
        lambda then: {"base_weights_sha256": "0" * 64},
        lambda then: {"computed_in": "bfloat16"},
        lambda then: {"prompt_sha256": "0" * 64},
        lambda then: {"test_sha256": "0" * 64},
    ],
    ids=["an answer", "a library", "weights", "precision", "prompt", "rows"],
)
def test_where_something_has_changed_both_sides_answer_every_row(changed, reviews, asked):
    pair, rows, then = reviews
    before = then.model_copy(update=changed(then))
    now, said = remeasured("tiny", pair, rows, before)
    assert asked[-1] == "both" and said == "" and now.base == then.base


def test_without_a_baseline_both_sides_answer_every_row(reviews, asked):
    pair, rows, then = reviews
    now, said = remeasured("tiny", pair, rows, None)
    assert asked == ["both"] and said == "" and now.base == then.base
