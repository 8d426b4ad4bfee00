"""Labels of any number are read from the data: their spelling, their order, their limits."""

import json

import pyarrow as pa
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from data.columns import guess
from data.problems import ProblemsError
from data.sources import open_source, open_test
from data.tasks import DIALOGUE
from data.tasks.own import OwnTask
from plumbing.errors import DataError

OWN = OwnTask(kind="classification", name="desk").definition()
TEAMS = ("Billing", "delivery", "Returns", "shop floor")


def written(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return f"file:{path}"


def messages(labels, count=40, start=0):
    return [{"text": f"message number {n}", "label": labels[n % len(labels)]} for n in range(start, start + count)]


def opened(tmp_path, rows, task=OWN, **choices):
    return open_source(written(tmp_path / "a.jsonl", rows), task, **choices)


def test_words_are_labels_in_the_order_of_the_alphabet_as_they_are_spelt_first(tmp_path):
    rows = [
        *messages(TEAMS),
        {"text": "one more", "label": "BILLING "},
        {"text": "another", "label": "Shop Floor"},
    ]
    found = opened(tmp_path, rows)
    assert found.task.labels == ("Billing", "delivery", "Returns", "shop floor")
    assert "Which of these is it: Billing, delivery, Returns, shop floor?" in found.task.instruction
    assert {label for split in found.splits.values() for label in split["label"]} == set(TEAMS)
    assert "it has 4 labels: Billing, delivery, Returns, shop floor" in found.mapping.reason
    assert OWN.labels == ()


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([10, 9, 2], ("2", "9", "10")),
        ([1.0, 0.0, 2.0], ("0", "1", "2")),
        (["10.0", "9.0"], ("9", "10")),
        ([0.5, 0.25], ("0.25", "0.5")),
        ([True, False], ("false", "true")),
        (["yes", "no"], ("no", "yes")),
        (["5 stars", "1 star"], ("1 star", "5 stars")),
        (["b", "B", "a"], ("a", "b")),
        (["negative", "positive", "neutral"], ("negative", "neutral", "positive")),
    ],
)
def test_numbers_and_booleans_are_labels_too(tmp_path, values, labels):
    assert opened(tmp_path, messages(values)).task.labels == labels


def test_an_instruction_that_was_given_is_kept(tmp_path):
    task = OwnTask(kind="classification", instruction="Which team?").definition()
    assert opened(tmp_path, messages(TEAMS), task).task.instruction == "Which team?"


def test_names_that_a_file_brings_are_in_their_order(tmp_path):
    features = Features(
        {"text": Value("string"), "label": ClassLabel(names=["open", "closed", "waiting", "unused"])}
    )
    rows = [{"text": f"ticket {n}", "label": n % 3} for n in range(30)]
    Dataset.from_list(rows, features=features).to_parquet(tmp_path / "a.parquet")
    assert open_source(f"file:{tmp_path}/a.parquet", OWN).task.labels == ("open", "closed", "waiting")


def test_values_are_renamed_merged_and_skipped_by_hand(tmp_path):
    choices = {"a": "Team A", "b": "team a", "c": "skip", "D": "Other"}
    found = opened(tmp_path, messages(["a", "b", "c", "d", "e"]), labels=choices)
    assert found.task.labels == ("e", "Other", "Team A")
    assert sum(len(rows) for rows in found.splits.values()) == 32
    assert any("8 rows of a.jsonl left out" in note for note in found.notes)
    assert "as mapped by hand" in found.mapping.reason


def test_labels_of_a_task_refuse_all_others(tmp_path):
    task = OwnTask(kind="classification", labels=["red", "green"]).definition()
    rows = [*messages(["Green", "RED"]), {"text": "one more", "label": "blue"}]
    with pytest.raises(ProblemsError, match="not among those that are learned") as caught:
        opened(tmp_path, rows, task)
    assert [problem.row for problem in caught.value.problems] == [41]
    assert "--set data.labels.blue=… with red, green or skip" in caught.value.problems[0].fix
    found = opened(tmp_path, rows, task, labels={"blue": "green"})
    assert found.task.labels == ("red", "green")
    with pytest.raises(DataError, match="not a label of the task"):
        opened(tmp_path, rows, task, labels={"blue": "violet"})


def test_a_label_that_training_never_saw_is_a_problem_of_the_test_file(tmp_path):
    test = written(tmp_path / "t.jsonl", messages([*TEAMS, "legal"], 10, start=100))
    with pytest.raises(ProblemsError, match=r"t\.jsonl") as caught:
        opened(tmp_path, messages(TEAMS), test=test)
    assert [problem.row for problem in caught.value.problems] == [5, 10]
    assert "'legal' is not among those that are learned (known: 'billing'" in caught.value.problems[0].what
    known = opened(tmp_path, messages(TEAMS))
    with pytest.raises(ProblemsError, match="'legal'"):
        open_test(test, known.task, trained_on=known)


def test_a_label_of_another_split_that_training_never_saw_is_a_problem(tmp_path):
    splits = {"train": messages(TEAMS), "test": messages(["billing", "legal"], 4, start=50)}
    (tmp_path / "a.json").write_text(json.dumps(splits), encoding="utf-8")
    with pytest.raises(ProblemsError, match="'legal' is not among those that are learned") as caught:
        open_source(f"file:{tmp_path}/a.json", OWN)
    assert [problem.row for problem in caught.value.problems] == [2, 4]


def test_a_test_file_is_read_with_the_labels_that_were_trained_on(tmp_path):
    trained = opened(tmp_path, messages(["a", "b", "c"]), labels={"a": "first", "c": "first"})
    test = written(tmp_path / "t.jsonl", messages(["c", "B", "first"], 6, start=99))
    found = open_test(test, trained.task, trained_on=trained)
    assert found.rows["label"] == ["first", "b", "first"] * 2
    same = opened(tmp_path, messages(["a", "b", "c"]), labels={"a": "first", "c": "first"}, test=test)
    assert same.splits["test"]["label"] == ["first", "b", "first"] * 2


def test_rare_labels_are_said_and_all_of_them_are_trained_on(tmp_path):
    rows = [*messages(TEAMS), {"text": "the one", "label": "legal"}]
    rows += [{"text": f"of two {n}", "label": "press"} for n in range(2)]
    found = opened(tmp_path, rows)
    assert "2 labels have fewer than 3 rows, too few to be learned and tested: legal (1), press (2)." in found.notes
    assert {"legal", "press"} <= set(found.splits["train"]["label"])
    assert not {"legal", "press"} & set(found.splits["test"]["label"])


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"text": f"t {n}", "label": f"value {n // 2}"} for n in range(500)], "250 different values"),
        ([{"text": f"t {n}", "label": f"value {n}"} for n in range(40)], "a different value in each row"),
        ([{"text": f"t {n}", "label": "so " * 30 + str(n % 2)} for n in range(40)], "long values"),
    ],
)
def test_texts_are_no_labels(tmp_path, rows, said):
    with pytest.raises(DataError, match="not clear what the values of the column 'label' mean") as caught:
        opened(tmp_path, rows)
    assert f"These are {said}" in caught.value.fix and "not labels" in caught.value.fix
    assert "a task of kind generation" in caught.value.fix


def test_5000_values_are_refused_at_once():
    rows = [{"text": f"t {n}", "label": f"value {n % 5000}"} for n in range(20_000)]
    with pytest.raises(DataError) as caught:
        guess(["text", "label"], rows, OWN)
    assert "These are 5,000 different values (and 200 is the most), not labels." in caught.value.fix
    assert len(str(caught.value)) < 800


def test_one_label_is_none(tmp_path):
    with pytest.raises(DataError, match="holds one label only") as caught:
        opened(tmp_path, messages(["same"]))
    assert "Add rows with another label" in caught.value.fix


def test_200_labels_are_read_and_more_are_not(tmp_path):
    found = opened(tmp_path, messages([f"intent {n:03}" for n in range(200)], 1_000))
    assert len(found.task.labels) == 200
    assert found.task.instruction == "Which label does this text have? Answer with the label alone."
    with pytest.raises(DataError, match="not clear what the values"):
        opened(tmp_path, messages([f"intent {n:03}" for n in range(201)], 1_005))


def test_a_column_without_a_known_name_is_a_label_if_few_short_values_repeat():
    rows = [
        {"id": n, "told": f"some words about number {n}", "team": TEAMS[n % 4], "when": f"2024-01-{n:02}"}
        for n in range(24)
    ]
    mapping = guess(list(rows[0]), rows, OWN)
    assert (mapping.input, mapping.target) == ("told", "team")
    assert "the only column whose values read as labels" in mapping.reason
    rows = [{**row, "shift": "ab"[n % 2]} for n, row in enumerate(rows)]
    with pytest.raises(DataError, match="not clear which column is the label") as caught:
        guess(list(rows[0]), rows, OWN)
    assert "--set data.columns.label=team or --set data.columns.label=shift" in caught.value.fix


def test_several_columns_are_one_input(tmp_path):
    task = OwnTask(kind="generation", inputs=["passage", "question"], target="answer").definition()
    rows = [
        {"Question": f"What is {n}?", "context": f"About {n}: it is a number.", "answer": "a number", "id": n}
        for n in range(12)
    ]
    found = opened(tmp_path, rows, task)
    row = min(found.splits["train"], key=lambda row: row["row"])
    assert row["input"] == f"About {row['row'] - 1}: it is a number.\n\nWhat is {row['row'] - 1}?"
    assert found.mapping.inputs == ("context", "Question")
    other = opened(tmp_path, rows, task, columns={"passage": "Question", "question": "context"})
    assert other.splits["train"][0]["input"].startswith("What is")
    with pytest.raises(DataError, match="It is not clear which column is the passage") as caught:
        guess(["a", "question", "answer"], [{"a": "b c", "question": "d?", "answer": "e"}], task)
    assert "--set data.columns.passage=a" in caught.value.fix
    with pytest.raises(DataError, match="needs three columns, and there are only 2"):
        guess(["question", "answer"], [{"question": "d?", "answer": "e"}], task)
    empty = [*rows, {"Question": "So?", "context": " ", "answer": "no"}]
    with pytest.raises(ProblemsError, match="column context: The text is empty"):
        opened(tmp_path, empty, task)
    assert len(opened(tmp_path, empty, task, skip_empty=True).columns) == 4


def test_what_hygiene_says_fits_any_number_of_labels(tmp_path):
    from data.hygiene import inspect

    many = opened(tmp_path, messages([f"label {n:02}" for n in range(20)], 400))
    said = inspect(many.splits, many.task).sentences()
    assert any("The 20 training labels are balanced: " in sentence for sentence in said)
    few = opened(tmp_path, [*messages(TEAMS), *messages(["Billing"], 100, start=40)])
    said = inspect(few.splits, few.task).sentences()
    assert any("% Billing (" in sentence for sentence in said)
    rare = opened(tmp_path, [*messages(TEAMS), {"text": "the one", "label": "legal"}])
    assert "No test row has the label legal." in inspect(rare.splits, rare.task).sentences()


def test_a_task_that_is_no_classification_keeps_its_rows():
    rows = pa.table({"dialogue": ["Ann: Hi, Bo"] * 3, "summary": ["Ann greets Bo."] * 3}).to_pylist()
    assert guess(["dialogue", "summary"], rows, DIALOGUE).labels is None
