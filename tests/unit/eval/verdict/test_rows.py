"""Which rows sides are compared on: read, one a text, new to all of them, and said where that is not known."""

import csv
import json
from pathlib import Path

import pytest

from data.tasks import SENTIMENT
from data.tasks.saved import save_task
from data.trained_rows import TrainedRows
from eval.report.folder import save
from eval.sides.side import Asked
from eval.verdict.rows import open_rows, with_metric
from plumbing.errors import DataError

ROOT = Path(__file__).resolve().parents[4]
BASE = Asked("small-model")
WORDS = ("soup", "laptop", "ticket", "garden", "letter", "window", "engine", "coffee", "paper", "river")


def message(number):
    """No two are near-duplicates."""
    return " ".join(WORDS[(number * step + number // 10) % 10] + str(number) for step in (1, 3, 7))


def written(path, rows, head=("body", "category", "region")):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *rows])
    return str(path)


def messages(count):
    return [
        (message(n), ("billing", "returns", "technical")[n % 3], ("north", "south")[n % 2]) for n in range(count)
    ]


def test_a_file_is_read_with_the_task_that_its_columns_propose(tmp_path):
    found = open_rows(written(tmp_path / "support.csv", messages(90)), [BASE, Asked("other")])
    assert (found.task.kind, found.task.name, len(found.inputs)) == ("classification", "support", 90)
    assert sorted(found.task.labels) == ["billing", "returns", "technical"]
    assert "Which of these is it" in found.task.instruction
    assert (found.inputs[0], found.references[0]) == (message(0), ["billing"])
    assert "'category' has 3 values that repeat" in found.why
    assert [one.known_by for one in found.known] == [None, None] == [one.trained_on for one in found.known]
    assert (found.data.spec, found.data.selection.trained_on) == ("file:support.csv", None)
    assert set(found.slices[0]) == {"label"}  # all have as many words
    assert with_metric(found, "macro_f1").task.metric == "macro_f1"


def test_columns_that_nobody_could_guess_are_chosen(tmp_path):
    path = written(tmp_path / "support.csv", messages(60), head=("body", "team", "region"))
    with pytest.raises(DataError, match="not clear what the task of this file is") as error:
        open_rows(path, [BASE, BASE])
    assert "--task classification" in str(error.value) and "--set data.columns.label=" in str(error.value)
    found = open_rows(path, [BASE, BASE], columns={"label": "team"})
    assert sorted(found.task.labels) == ["billing", "returns", "technical"]


def test_texts_are_proposed_as_texts_and_a_kind_may_be_asked_for(tmp_path):
    rows = [(message(n), f"The answer to that is number {n}, of {WORDS[n % 10]} and all.") for n in range(40)]
    path = written(tmp_path / "answers.csv", rows, head=("question", "answer"))
    assert open_rows(path, [BASE, BASE]).task.kind == "generation"
    assert open_rows(path, [BASE, BASE], kind="chat").task.kind == "chat"


def test_one_row_a_text_is_judged_and_contradictions_are_left_out(tmp_path):
    rows = [*messages(60), messages(60)[0], (message(1).upper(), "billing", "north")]
    found = open_rows(written(tmp_path / "s.csv", rows), [BASE, BASE])
    selection = found.data.selection
    assert (selection.given, selection.repeated, selection.contradictory, selection.eligible) == (62, 1, 2, 59)
    assert len(found.inputs) == 59 and message(1) not in found.inputs


def test_a_row_that_any_side_was_trained_on_is_left_out_for_all(tmp_path):
    path = written(tmp_path / "s.csv", messages(60))
    learned = written(tmp_path / "train.csv", [*messages(10), (message(99), "billing", "north")])
    other = written(tmp_path / "train2.csv", messages(15)[8:])
    asked = [BASE, Asked("a", trained_on=learned), Asked("b", trained_on=other)]
    found = open_rows(path, asked)
    assert [(one.known_by, one.trained_on) for one in found.known] == [(None, None), ("file", 10), ("file", 7)]
    assert len(found.inputs) == 45 and not {message(n) for n in range(15)} & set(found.inputs)
    selection = found.data.selection
    assert (selection.trained_on, selection.trained_kept, selection.known_by, selection.eligible) == (
        15, False, "file", 45,
    )  # fmt: skip
    assert found.data.findings is not None and found.data.findings.leaked == 0
    kept = open_rows(path, asked, keep_trained=True)
    assert len(kept.inputs) == 60 and kept.data.selection.trained_kept
    assert kept.data.findings.leaked == 15


def test_texts_count_as_trained_on_whatever_their_case_and_label(tmp_path):
    path = written(tmp_path / "s.csv", messages(60))
    learned = written(tmp_path / "train.csv", [(message(3).upper() + "!", "nobody knows", ""), ("", "billing", "")])
    found = open_rows(path, [BASE, Asked("a", trained_on=learned)], task=None)
    assert found.known[1].trained_on == 1 and message(3) not in found.inputs
    assert any("cannot be read" in note for note in found.data.selection.notes)


def test_rows_that_are_all_trained_on_show_nothing(tmp_path):
    path = written(tmp_path / "s.csv", messages(30))
    with pytest.raises(DataError, match="Every row was trained on"):
        open_rows(path, [BASE, Asked("a", trained_on=path)])
    with pytest.raises(DataError, match="no such file"):
        open_rows(path, [BASE, Asked("a", trained_on=str(tmp_path / "none.csv"))])


def test_a_run_keeps_its_own_record(tmp_path):
    run = tmp_path / "runs" / "support-20260101-000000-abcd"
    (run / "adapter").mkdir(parents=True)
    TrainedRows.of([message(n) for n in range(6)]).save(run)
    path = written(tmp_path / "s.csv", messages(60))
    for text in (str(run), str(run / "adapter")):
        found = open_rows(path, [BASE, Asked(text)])
        assert (found.known[1].known_by, found.known[1].trained_on, len(found.inputs)) == ("run", 6, 54)
    also = written(tmp_path / "more.csv", messages(8)[5:])
    both = open_rows(path, [BASE, Asked(str(run), trained_on=also)])
    assert (both.known[1].known_by, both.known[1].trained_on) == ("run", 8)


def test_a_recipe_in_a_card_that_names_a_corpus_says_what_was_trained_on():
    found = open_rows(
        "corpus:reviews", [BASE, Asked(str(ROOT / "models/bundled/sentiment-smollm2-lora"))], count=40
    )
    assert (found.known[1].known_by, found.known[1].trained_on) == ("recipe", 0)
    assert (found.task, len(found.inputs), found.data.selection.known_by) == (SENTIMENT, 40, "recipe")


def test_the_rows_of_a_run_are_those_of_its_report(tmp_path, make_report, flipped):
    run = tmp_path / "sentiment-20260101-000000-abcd"
    (run / "adapter").mkdir(parents=True)
    save_task(SENTIMENT, run / "adapter")
    rows = flipped(60, 5, 2)
    save(make_report("sentiment", rows), rows, run / "eval")
    TrainedRows.of(["Review 3.", "Something else."]).save(run)
    found = open_rows(None, [BASE, Asked(str(run))])
    assert (found.task, len(found.inputs), found.known[1].trained_on) == (SENTIMENT, 59, 1)
    assert found.inputs[:4] == ["Review 0.", "Review 1.", "Review 2.", "Review 4."]
    assert found.data.spec == "corpus:reviews" and set(found.slices[0]) == {"label"}
    with pytest.raises(DataError, match="no columns to divide them by"):
        open_rows(None, [BASE, Asked(str(run))], slices=["topic"])


def test_without_rows_and_without_a_run_it_is_said_what_to_give():
    with pytest.raises(DataError, match=r"not known which rows .*--data FILE"):
        open_rows(None, [BASE, Asked("other")])


def test_rows_are_divided_by_columns_of_the_file(tmp_path):
    path = written(tmp_path / "s.csv", messages(90))
    found = open_rows(path, [BASE, BASE], slices=["region", "label"])
    assert [row["region"] for row in found.slices] == ["north", "south"] * 45
    assert [row["label"] for row in found.slices] == [each[0] for each in found.references]
    with pytest.raises(DataError, match="no such column") as error:
        open_rows(path, [BASE, BASE], slices=["regoin"])
    assert "body, category, region" in str(error.value)


def test_a_column_to_divide_by_is_none_that_is_read_or_answered(tmp_path):
    path = written(tmp_path / "s.csv", messages(60), head=("body", "team", "region"))  # two could be the label
    found = open_rows(path, [BASE, BASE], slices=["region"])
    assert sorted(found.task.labels) == ["billing", "returns", "technical"]
    assert {row["region"] for row in found.slices} == {"north", "south"}
    with pytest.raises(DataError, match="no such column") as error:
        open_rows(path, [BASE, BASE], slices=["regoin"])
    assert "body, team, region" in str(error.value)


@pytest.mark.parametrize(
    ("labels", "said"),
    [(["billing"] * 9, "has the same label"), (["billing", "returns", "other"], "has its own value")],
)
def test_labels_that_tell_nothing_apart_are_not_taken_for_texts(labels, said, tmp_path):
    rows = [(message(number), label) for number, label in enumerate(labels)]
    path = written(tmp_path / "s.csv", rows, head=("text", "label"))
    with pytest.raises(DataError, match=said) as error:
        open_rows(path, [BASE, BASE])
    assert "--task classification, generation" in str(error.value)
    assert open_rows(path, [BASE, BASE], kind="generation").task.kind == "generation"


def test_texts_in_a_column_called_label_are_texts(tmp_path):
    rows = [(message(n), f"The answer to that is number {n}, of {WORDS[n % 10]} and all.") for n in range(9)]
    found = open_rows(written(tmp_path / "s.csv", rows, head=("text", "label")), [BASE, BASE])
    assert found.task.kind == "generation"


def test_where_every_text_has_several_labels_it_is_said(tmp_path):
    rows = [(message(n % 5), ("billing", "returns")[n // 5 % 2]) for n in range(20)]
    with pytest.raises(DataError, match="with different labels") as error:
        open_rows(written(tmp_path / "s.csv", rows, head=("text", "label")), [BASE, BASE])
    assert "Let each text have one label" in str(error.value)


def test_a_column_that_does_not_divide_is_said(tmp_path):
    rows = [(*row, f"id-{n}") for n, row in enumerate(messages(60))]
    path = written(tmp_path / "s.csv", rows, head=("body", "category", "region", "ticket"))
    found = open_rows(path, [BASE, BASE], slices=["ticket"])
    assert "ticket" not in found.slices[0]
    assert found.notes == ("The rows are not divided by ticket: too few rows share a value (20 do).",)


def test_numbers_of_a_column_with_mixed_values_come_along(tmp_path):
    path = tmp_path / "s.jsonl"
    rows = [{"text": message(n), "label": ("a", "b")[n % 2], "when": n % 2 or "never"} for n in range(60)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = open_rows(str(path), [BASE, BASE], slices=["when"])
    assert {row["when"] for row in found.slices} == {"never", "1"}


def test_a_sample_is_seeded_and_every_label_has_its_share(tmp_path):
    path = written(tmp_path / "s.csv", messages(90))
    one, again = (open_rows(path, [BASE, BASE], count=30) for _ in range(2))
    assert one.inputs == again.inputs and len(one.inputs) == 30
    assert {label: [each[0] for each in one.references].count(label) for label in one.task.labels} == {
        "billing": 10, "returns": 10, "technical": 10,
    }  # fmt: skip


def test_raw_texts_have_no_answers(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("\n\n".join(f"{message(n)}. {message(n + 50)}." for n in range(40)), encoding="utf-8")
    with pytest.raises(DataError, match="Raw texts have no answers"):
        open_rows(str(path), [BASE, BASE])


@pytest.mark.parametrize("source", ["corpus:nothing", "nothing at all"])
def test_a_source_that_is_none_is_refused(source):
    with pytest.raises(DataError):
        open_rows(source, [BASE, BASE])
