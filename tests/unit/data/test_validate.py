"""Every problem in somebody's rows is found, placed, and comes with a remedy."""

import pytest

from data import validate
from data.columns import ColumnMapping
from data.problems import Problem, ProblemsError
from data.tasks import DIALOGUE, SENTIMENT
from plumbing.errors import DataError

REVIEWS = ColumnMapping(("review",), "mood", {"good": "positive", "bad": "negative", "meh": None}, "chosen")
DIALOGUES = ColumnMapping(("dialogue",), "summary", None, "chosen")
GOOD = {"review": "Warm bread.", "mood": "good"}
BAD = {"review": "Cold soup.", "mood": "bad"}


def check(*rows, task=SENTIMENT, mapping=REVIEWS, **settings):
    checked = validate.check(enumerate(rows, start=1), task, mapping, **settings)
    return checked.rows, checked.problems


def test_good_rows_come_out_with_the_tasks_columns_and_their_number():
    clean, problems = check({"review": " Warm bread.\r\nTwice! ", "mood": "GOOD", "id": 7}, BAD)
    assert problems == []
    assert clean == [
        {"text": "Warm bread.\nTwice!", "label": "positive", "row": 1},
        {"text": "Cold soup.", "label": "negative", "row": 2},
    ]


def test_rows_whose_label_is_left_out_are_neither_clean_nor_a_problem():
    clean, problems = check(GOOD, {"review": "", "mood": "meh"}, BAD)
    assert [row["row"] for row in clean] == [1, 3]
    assert problems == []


@pytest.mark.parametrize(
    ("row", "column", "what"),
    [
        ({"mood": "good"}, "review", "missing"),
        ({"review": "Fine."}, "mood", "missing"),
        ({"review": "  ", "mood": "good"}, "review", "empty"),
        ({"review": None, "mood": "good"}, "review", "empty"),
        ({"review": float("nan"), "mood": "good"}, "review", "empty"),
        ({"review": 12, "mood": "good"}, "review", "not text but int"),
        ({"review": ["a", "b"], "mood": "good"}, "review", "not text but list"),
        ({"review": "Fine.", "mood": ""}, "mood", "empty"),
        ({"review": "Fine.", "mood": "great"}, "mood", "'great' is unknown (known: 'good', 'bad', 'meh')"),
    ],
)
def test_a_bad_row_is_reported_with_its_place_and_a_remedy(row, column, what):
    clean, problems = check(GOOD, BAD, row)
    assert len(clean) == 2
    (problem,) = problems
    assert (problem.row, problem.column) == (3, column)
    assert what in problem.what
    assert problem.fix
    assert str(problem).startswith(f"row 3, column {column}: ")


def test_a_row_with_two_problems_reports_both():
    _, problems = check(GOOD, BAD, {"review": "", "mood": "awful"})
    assert [problem.column for problem in problems] == ["review", "mood"]


def test_one_class_only_is_a_problem_of_the_whole():
    _, problems = check(GOOD, GOOD)
    (problem,) = problems
    assert problem.row is None
    assert "'positive'" in problem.what
    assert "'negative'" in problem.fix


def test_too_few_rows_is_a_problem_of_the_whole():
    _, problems = check(GOOD, BAD, minimum=8)
    assert "2 usable rows, and at least 8 are needed" in problems[-1].what


def test_a_dialogue_may_have_several_references():
    clean, problems = check(
        {"dialogue": "A: Hi", "summary": ["A greets.", " A says hi. "]},
        {"dialogue": "A: Hi", "summary": "A greets."},
        task=DIALOGUE,
        mapping=DIALOGUES,
    )
    assert problems == []
    assert DIALOGUE.references(clean[0]) == ["A greets.", "A says hi."]
    assert DIALOGUE.references(clean[1]) == ["A greets."]


@pytest.mark.parametrize("summary", [[], ["fine", ""], ["fine", 3]])
def test_a_list_of_references_must_hold_texts(summary):
    _, problems = check(
        {"dialogue": "A: Hi", "summary": "A greets."},
        {"dialogue": "A: Hi", "summary": summary},
        task=DIALOGUE,
        mapping=DIALOGUES,
    )
    assert [(problem.row, problem.column) for problem in problems] == [(2, "summary")]


def test_the_error_has_all_problems_and_shows_twenty():
    problems = [Problem("The text is empty", "Write one.", row, "text") for row in range(1, 24)]
    error = ProblemsError(problems, source="mine.csv")
    assert isinstance(error, DataError)
    assert error.problems == tuple(problems)
    lines = str(error).splitlines()
    assert lines[0] == "mine.csv cannot be used: 23 problems."
    assert lines[1] == "row 1, column text: The text is empty. Write one."
    assert len(lines) == 22
    assert lines[-1] == "and 3 more"
