"""What came of a message in a sentence, where two answers differ, and what a tuned model is."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from data.tasks import DIALOGUE, SENTIMENT
from models.tuned import bundled_folder
from tests.unit.ui.report_samples import report
from ui.drawing import text
from ui.drawing.answers import Ballot, Side, Turn, panel, waiting_panel
from ui.drawing.differences import compared, marked
from ui.drawing.reports import report_of
from ui.drawing.story import MADE_FILE, sentence, story
from ui.drawing.told import sentence as told
from ui.server.recorded import recorded
from ui.tabs.examples import WANTED, examples

ROOT = Path(__file__).resolve().parents[3]


def turn(base: str, tuned: str, **more: Any) -> Turn:
    return Turn("Ana: Soup?", base=Side(base, tokens=3), tuned=Side(tuned, tokens=3), **more)


# ---- differences -----------------------------------------------------------------------------------------------


def test_only_what_one_of_them_says_is_marked_whatever_its_case_and_signs() -> None:
    found = compared("Leo will bring the soup, hot.", "leo brings the soup on  Friday")
    assert (found.common, found.most) == (3, 6) and found.are_alike
    drawn = marked("Leo will bring the soup, hot.", found.own[0])
    assert drawn.replace(' class="ba-differs"', "") == "Leo <mark>will bring</mark> the soup, <mark>hot.</mark>"
    assert marked("leo brings the soup on  Friday", found.own[1]).count("<mark") == 2


@pytest.mark.parametrize(("one", "other"), [("", ""), ("a b c", ""), ("", "a"), ("one two three", "four five six")])
def test_of_answers_that_have_little_in_common_nothing_is_marked(one: str, other: str) -> None:
    assert not compared(one, other).are_alike
    assert "<mark" not in panel("base", turn(one, other)) + panel("tuned", turn(one, other))


def test_markup_in_an_answer_is_text_also_where_it_is_marked() -> None:
    drawn = panel("tuned", turn("a b c d", "a b <img src=x> d"))
    assert "<mark" in drawn and "<img" not in drawn and "&lt;img" in drawn


def test_marks_come_with_the_whole_answer_and_not_before_a_vote() -> None:
    whole = turn("Leo brings soup.", "Leo brings bread.")
    assert "<mark" not in panel("base", whole, growing=True) and "<mark" in panel("base", whole)
    hidden = dataclasses.replace(whole, ballot=Ballot("0" * 32, "base"))
    assert "<mark" not in panel("base", hidden)


# ---- the sentence ----------------------------------------------------------------------------------------------


def labelled(base: float, tuned: float, *references: str) -> Turn:
    made = Turn("Fine soup.", list(references), SENTIMENT.labels)
    made.base.probabilities, made.tuned.probabilities = [1 - base, base], [1 - tuned, tuned]
    made.judge()
    return made


def test_the_sentence_says_who_is_right_and_who_is_not() -> None:
    said = told(labelled(0.2, 0.9, "positive"))
    assert said == "Before says negative, which is wrong; After says positive, which is right."
    assert told(labelled(0.8, 0.9, "positive")) == "Before and After both say positive, which is right."
    assert told(labelled(0.2, 0.9)) == "Before says negative; After says positive."


def test_of_answers_in_words_it_says_how_they_score_and_what_they_share() -> None:
    made = turn("Leo brings soup.", "Leo brings bread.")
    made.base.score, made.tuned.score = "ROUGE-L 0.10", "ROUGE-L 0.50"
    assert (
        told(made) == f"Before: ROUGE-L 0.10. After: ROUGE-L 0.50. Of up to 3 words they share 2. {text.UNDERLINED}"
    )
    named = dataclasses.replace(made, names=("one", "other"))
    assert told(named).startswith("Left: ROUGE-L 0.10. Right")
    assert text.UNLIKE in told(turn("One two.", "Three four five."))


def test_it_names_no_side_before_a_vote_and_says_that_an_answer_was_stopped() -> None:
    hidden = dataclasses.replace(labelled(0.2, 0.9, "positive"), ballot=Ballot("0" * 32, "tuned"))
    assert told(hidden) == text.BOTH_THERE
    stopped = turn("Leo", "")
    stopped.base.stopped = True
    assert told(stopped) == "Stopped."


# ---- what was recorded -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", [SENTIMENT, DIALOGUE], ids=lambda task: task.name)
def test_each_example_of_what_ships_is_recorded_and_stands_for_something_else(task: Any) -> None:
    known = recorded(bundled_folder() / task.recipe / "eval")
    assert known is not None
    shown = examples(task)
    outcomes = [known.outcome(example.turn()) for example in shown]
    assert (
        outcomes[0] == "win"
        and "loss" in outcomes
        and len(shown) >= 4
        and len({each.text for each in shown}) == len(shown)
    )
    assert [outcome for outcome in dict.fromkeys(outcomes) if outcome not in WANTED] == []
    for example in shown:
        made = known.turn(example.turn(), task, writes=True)
        assert made is not None and made.recorded_on == known.day and known.day in told(made)
        assert "recorded" in panel("base", made) and " s" not in str(made.base.seconds)
        assert bool(made.labels) == task.is_classification


def test_what_was_recorded_stays_until_there_is_an_answer() -> None:
    asked = turn("", "")
    asked.recorded = turn("Leo brings soup.", "Leo brings bread.", recorded_on="1 Jan 2026")
    drawn = waiting_panel("tuned", asked, "Loading", 0, 0)
    assert "ba-progress" in drawn and "recorded 1 Jan 2026" in drawn and "bread" in drawn
    asked.ballot = Ballot("0" * 32, "base")
    assert "bread" not in waiting_panel("tuned", asked, "Loading", 0, 0), "nobody is told before a vote"


def test_what_is_not_one_of_its_rows_was_not_recorded(tmp_path: Path) -> None:
    known = recorded(bundled_folder() / SENTIMENT.recipe / "eval")
    assert known is not None and known.turn(Turn("Nobody asked that."), SENTIMENT, writes=True) is None
    assert known.outcome(Turn("Nobody asked that.")) is None and recorded(tmp_path) is None
    (tmp_path / "rows.jsonl").write_text("{")
    (tmp_path / "report.json").write_text(report().model_dump_json())
    assert recorded(tmp_path) is None


# ---- what it is ------------------------------------------------------------------------------------------------


def test_a_tuned_model_is_said_in_its_own_measured_numbers() -> None:
    folder = bundled_folder() / SENTIMENT.recipe
    known = report_of(folder / "eval")
    assert known is not None
    accuracy = known.primary
    drawn = story(known, "SmolLM2-135M", folder)
    assert f"{100 * accuracy.base:g} % → {100 * accuracy.tuned:g} % right on {known.n:,} new ones" in drawn
    assert f"learned from {known.train_rows:,} reviews in " in drawn
    said = sentence(report("dialogue"), "Base")
    assert said == "Base learned from 8 dialogues: ROUGE-L 0.50 → 0.75 on 4 new ones."


def test_how_long_it_took_is_what_the_table_of_recipes_says() -> None:
    table = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    kept = sorted(bundled_folder().glob(f"*/{MADE_FILE}"))
    assert kept
    for file in kept:
        [row] = [line for line in table.splitlines() if line.startswith(f"| `{file.parent.name}` |")]
        assert f"| {json.loads(file.read_text())['minutes']} min |" in row


def test_where_nobody_wrote_that_down_it_is_not_said(tmp_path: Path) -> None:
    for content in ("", "{", "[]", '{"minutes": "long"}'):
        (tmp_path / MADE_FILE).write_text(content)
        assert "minutes" not in story(report(), "Base", tmp_path)
