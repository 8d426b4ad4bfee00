"""Tables in the shapes that tools write come out as the task's columns, and each change is said."""

import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.forms import form_of
from data.problems import ProblemsError
from data.readers.files import read_table
from data.sources import open_source, open_test
from data.tasks import DIALOGUE, SENTIMENT
from data.tasks.own import OwnTask
from plumbing.errors import DataError

COUNT = 12


def opened(tmp_path, rows, task=DIALOGUE, name="a.jsonl", **choices):
    path = tmp_path / name
    if name.endswith(".jsonl"):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        path.write_text(json.dumps(rows), encoding="utf-8")
    return open_source(f"file:{path}", task, **choices)


def in_order(found):
    return sorted((row for rows in found.splits.values() for row in rows), key=lambda row: row["row"])


# ---- references --------------------------------------------------------------------------------------------


def test_numbered_columns_are_several_references(tmp_path):
    rows = [
        {"fname": f"t{n}", "dialogue": f"Ann: {n}", "summary2": f"B {n}", "topic1": "x", "summary1": f"A {n}"}
        for n in range(COUNT)
    ]
    rows[3] |= {"summary2": " "}
    found = opened(tmp_path, rows)
    assert [row["summary"] for row in in_order(found)[2:4]] == [["A 2", "B 2"], ["A 3"]]
    assert any("several references of one summary: summary1, summary2" in note for note in found.notes)
    assert set(rows[0]) < set(found.columns)
    one = opened(tmp_path, rows, columns={"summary": "summary1"})
    assert in_order(one)[0]["summary"] == "A 0"


def test_numbered_columns_beside_the_column_itself_stay_what_they_are(tmp_path):
    rows = [{"dialogue": f"Ann: {n}", "summary": f"S {n}", "summary1": "x", "summary2": "y"} for n in range(COUNT)]
    assert in_order(opened(tmp_path, rows))[0]["summary"] == "S 0"


# ---- conversations -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "turns",
    [
        lambda n: ["Ann: Hi", f"Bo: {n}"],
        lambda n: [{"speaker": "Ann", "text": "Hi"}, {"speaker": "Bo", "text": str(n)}],
        lambda n: [{"from": "Ann", "value": "Hi"}, {"from": "Bo", "value": str(n)}],
    ],
)
def test_a_list_of_turns_is_read_as_lines(tmp_path, turns):
    rows = [{"dialogue": turns(n), "summary": f"Bo says {n}."} for n in range(COUNT)]
    found = in_order(opened(tmp_path, rows))
    assert found[4]["dialogue"] == "Ann: Hi\nBo: 4"
    assert found[4]["summary"] == "Bo says 4."


def messages(n, *earlier, roles=("user", "assistant")):
    return [
        {"role": "system", "content": "Be brief."},
        *earlier,
        {"role": roles[0], "content": f"Ann: {n}"},
        {"role": roles[1], "content": ("positive", "negative")[n % 2]},
    ]


@pytest.mark.parametrize("task", [SENTIMENT, DIALOGUE])
def test_of_messages_the_last_answer_is_the_target(tmp_path, task):
    rows = [{"messages": messages(n)} for n in range(COUNT)]
    rows[2] = {"messages": messages(2, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hi!"})}
    found = opened(tmp_path, rows, task)
    first, target = in_order(found)[2][task.input_column], in_order(found)[2][task.target_column]
    assert (first, target) == ("Ann: 2", "positive")
    assert any("1 of the conversations begin earlier" in note for note in found.notes)


def test_sharegpt_and_messages_in_parquet_are_read_alike(tmp_path):
    rows = [
        {"conversations": [{"from": "human", "value": f"Ann: {n}"}, {"from": "gpt", "value": f"It is {n}."}]}
        for n in range(COUNT)
    ]
    expected = in_order(opened(tmp_path, rows, name="a.json"))
    assert expected[1]["summary"] == "It is 1."
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert in_order(open_source(f"file:{tmp_path}/a.parquet", DIALOGUE)) == expected


def test_messages_that_answer_nobody_are_refused_in_one_sentence(tmp_path):
    rows = [{"messages": messages(n, roles=("assistant", "user"))} for n in range(COUNT)]
    for choices in ({}, {"columns": {"dialogue": "messages"}}, {"columns": {"summary": "messages"}}):
        with pytest.raises(DataError, match="needs two columns") as caught:
            opened(tmp_path, rows, **choices)
        assert "no assistant answers a user" in str(caught.value)


def test_an_object_that_is_no_turn_is_no_text(tmp_path):
    rows = [{"dialogue": [{"a": 1}, {"b": 2}], "summary": "Some."} for n in range(COUNT)]
    with pytest.raises(ProblemsError, match="not text"):
        opened(tmp_path, rows)


# ---- instructions ------------------------------------------------------------------------------------------


def test_where_the_input_is_empty_the_instruction_is_read(tmp_path):
    rows = [
        {"instruction": f"Is it good? {n}", "input": "", "output": ("positive", "negative")[n % 2]}
        for n in range(COUNT)
    ]
    rows[1]["input"] = "The soup was cold."
    found = opened(tmp_path, rows, SENTIMENT, name="a.json")
    assert [row["text"] for row in in_order(found)[:2]] == ["Is it good? 0", "Is it good? 1\nThe soup was cold."]
    assert any("each instruction stands before its input" in note for note in found.notes)


def alpaca(count, *, empty, start=0):
    """Every other row has an empty input, or none has."""
    return [
        {
            "instruction": f"Is it good? {n}",
            "input": "" if empty and n % 2 else f"soup {n}",
            "output": ["good", "bad"][n % 2],
        }
        for n in range(start, start + count)
    ]


@pytest.mark.parametrize("of_train", [True, False])
def test_all_splits_of_a_source_have_the_same_kind_of_prompt(tmp_path, of_train):
    """Whether instructions are read was asked of each split by itself."""
    splits = {
        "train": alpaca(20, empty=of_train),
        "validation": alpaca(4, empty=True, start=20),
        "test": alpaca(6, empty=not of_train, start=30),
    }
    found = opened(tmp_path, splits, SENTIMENT, name="a.json")
    assert all(row["text"].startswith("Is it good?") for row in in_order(found))
    assert sum("each instruction stands before its input" in note for note in found.notes) == 1
    by_itself = open_test(f"file:{tmp_path}/a.json", SENTIMENT)
    assert by_itself.rows["text"] == found.splits["test"]["text"]


def test_another_test_source_has_the_prompts_that_were_trained_on(tmp_path):
    (tmp_path / "test.json").write_text(json.dumps(alpaca(6, empty=False, start=50)), encoding="utf-8")
    test = f"file:{tmp_path}/test.json"
    expected = [f"Is it good? {n}\nsoup {n}" for n in range(50, 56)]
    note = "As in the rows that are trained on, each instruction stands before its input."
    trained = opened(tmp_path, alpaca(20, empty=True), SENTIMENT, name="a.json", test=test)
    assert trained.splits["test"]["text"] == expected and note in trained.notes
    later = open_test(test, SENTIMENT, trained_on=trained)
    assert later.rows["text"] == expected and note in later.notes
    assert open_test(test, SENTIMENT).rows["text"] == [f"soup {n}" for n in range(50, 56)]


def test_an_instruction_beside_an_input_that_is_never_empty_is_left_out(tmp_path):
    rows = [{"instruction": "Summarise.", "input": f"Ann: {n}", "output": f"S {n}"} for n in range(COUNT)]
    assert in_order(opened(tmp_path, rows))[0]["dialogue"] == "Ann: 0"


# ---- JSON as pandas and others write it --------------------------------------------------------------------

FRAME = pd.DataFrame({"text": [f"remark {n}" for n in range(COUNT)], "label": [n % 2 for n in range(COUNT)]})
ROWS = FRAME.to_dict(orient="records")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", FRAME.to_json()),
        ("a.json", FRAME.to_json(orient="index")),
        ("a.json", FRAME.to_json(orient="split")),
        ("a.json", FRAME.to_json(orient="table")),
        ("a.json", json.dumps(FRAME.to_dict(orient="list"))),
        ("a.jsonl", json.dumps(ROWS)),
        ("a.jsonl", "\ufeff" + json.dumps(ROWS, indent=1)),
        ("a.jsonl", "\n".join(json.dumps(row, indent=1) for row in ROWS)),
        ("a.ndjson", "".join(json.dumps(row, indent=2) for row in ROWS)),
    ],
)
def test_json_of_any_shape_gives_the_same_rows(tmp_path, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8")
    found = in_order(open_source(f"file:{tmp_path / name}", SENTIMENT))
    assert [row["text"] for row in found] == list(FRAME["text"])
    assert [row["label"] for row in found] == ["negative", "positive"] * (COUNT // 2)


def test_splits_in_one_file_are_its_splits(tmp_path):
    more = [{"text": f"other {n}", "label": n % 2} for n in range(4)]
    found = opened(tmp_path, {"train": ROWS, "test": more}, SENTIMENT, name="a.json")
    assert found.splits["test"]["text"] == [row["text"] for row in more]
    own = [{"text": f"own {n}", "label": n % 2} for n in range(COUNT)]
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in own), encoding="utf-8")
    as_test = open_source(f"file:{path}", SENTIMENT, test=f"file:{tmp_path}/a.json")
    assert as_test.splits["test"]["text"] == [row["text"] for row in more]


@pytest.mark.parametrize(
    "value", [{"name": "x"}, {"text": ["a", "b"], "label": [1]}, {"a": {"x": 1}, "b": {"y": 2}}, {"train": []}, 7]
)
def test_json_without_rows_names_the_remedy(tmp_path, value):
    with pytest.raises(DataError, match="does not hold a list of rows") as caught:
        opened(tmp_path, value, SENTIMENT, name="a.json")
    assert 'orient="records"' in caught.value.fix


# ---- empty rows and fields ---------------------------------------------------------------------------------


def test_blank_rows_are_left_out_and_counted(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "".join(f"t{n},{n % 2}\n" for n in range(COUNT)) + ",\n , \n,,,\n")
    found = open_source(f"file:{path}", SENTIMENT)
    assert len(in_order(found)) == COUNT
    assert "3 blank rows of a.csv left out." in found.notes


@pytest.mark.parametrize("value", ["", None, float("nan")])
def test_rows_with_an_empty_field_are_refused_with_the_setting_that_leaves_them_out(tmp_path, value):
    rows = [*ROWS, {"text": "unlabelled", "label": value}, {"text": value, "label": 1}]
    with pytest.raises(ProblemsError) as caught:
        opened(tmp_path, rows, SENTIMENT)
    assert [problem.row for problem in caught.value.problems] == [COUNT + 1, COUNT + 2]
    assert all("add --set data.skip_empty=true to leave such rows out" in p.fix for p in caught.value.problems)
    found = opened(tmp_path, rows, SENTIMENT, skip_empty=True)
    assert len(in_order(found)) == COUNT
    assert "2 rows of a.jsonl left out: a field that is needed is empty." in found.notes


# ---- forms that are told by their keys ---------------------------------------------------------------------

WRITE = OwnTask(kind="generation").definition()
TOLD = {
    "table": [{"told": f"Ann: {n}", "team": "ab"[n % 2]} for n in range(COUNT)],
    "messages": [{"messages": messages(n)} for n in range(COUNT)],
    "ShareGPT": [{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}] * COUNT,
    "Alpaca": [{"instruction": f"Say {n}", "output": f"It is {n}."} for n in range(COUNT)],
    "prompt and completion": [{"prompt": f"Say {n}", "completion": f"It is {n}."} for n in range(COUNT)],
    "pairs": [{"prompt": f"Say {n}", "chosen": f"It is {n}.", "rejected": "No."} for n in range(COUNT)],
    "thumbs": [{"prompt": f"Say {n}", "completion": f"It is {n}.", "label": n > 2} for n in range(COUNT)],
    "question and passage": [
        {"question": f"Which {n}?", "context": f"It is {n}.", "answers": {"text": [str(n), str(n)]}}
        for n in range(COUNT)
    ],
    "several references": [{"dialogue": "Ann: Hi", "summary1": "A", "summary_2": "B"}] * COUNT,
    "raw text": [{"text": f"Paragraph {n}."} for n in range(COUNT)],
}


@pytest.mark.parametrize("name", TOLD)
def test_a_form_is_told_by_its_keys(tmp_path, name):
    (tmp_path / "a.json").write_text(json.dumps(TOLD[name]), encoding="utf-8")
    form = form_of(read_table(tmp_path / "a.json"))
    assert form.name == name and form.said.endswith(".")


@pytest.mark.parametrize("name", ["Alpaca", "prompt and completion", "pairs", "thumbs"])
def test_what_is_asked_and_answered_is_read_in_every_form(tmp_path, name):
    found = in_order(opened(tmp_path, TOLD[name], WRITE))
    assert {(row["input"], row["output"]) for row in found} >= {("Say 4", "It is 4.")}
    assert len(found) == (COUNT - 3 if name == "thumbs" else COUNT)
    chats = in_order(opened(tmp_path, TOLD[name], OwnTask(kind="chat").definition()))
    assert [row["messages"][0]["content"] for row in chats] == [row["input"] for row in found]
    assert [row["answer"] for row in chats] == [row["output"] for row in found]


def test_questions_about_a_passage_have_several_references(tmp_path):
    rows = [
        {"id": n, "title": "T", "question": f"Which {n}?", "context": f"It is {n}.",
         "answers": {"text": [f"{n}", f"number {n}", f"{n}"], "answer_start": [0, 1, 0]}}
        for n in range(COUNT)
    ]  # fmt: skip
    row = in_order(opened(tmp_path, rows, WRITE))[3]
    assert (row["input"], row["output"]) == ("It is 3.\n\nWhich 3?", ["3", "number 3"])
    own = OwnTask(kind="generation", inputs=["context", "question"], target="answers").definition()
    row = in_order(opened(tmp_path, rows, own))[3]
    assert (row["input"], row["answers"]) == ("It is 3.\n\nWhich 3?", ["3", "number 3"])
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert in_order(open_source(f"file:{tmp_path}/a.parquet", own))[3] == row
    rows[2]["answers"] = {"text": [], "answer_start": []}
    with pytest.raises(ProblemsError, match="The text is empty") as caught:
        opened(tmp_path, rows, own)
    assert [problem.row for problem in caught.value.problems] == [3]


def test_for_a_task_without_an_instruction_each_row_brings_its_own(tmp_path):
    rows = [{"instruction": "Summarise.", "input": f"Ann: {n}", "output": f"S {n}"} for n in range(COUNT)]
    found = opened(tmp_path, rows, WRITE)
    assert in_order(found)[0]["input"] == "Summarise.\nAnn: 0"
    assert "Each instruction stands before its input." in found.notes
    told = OwnTask(kind="generation", instruction="Summarise it.").definition()
    assert in_order(opened(tmp_path, rows, told))[0]["input"] == "Ann: 0"
    rows[0]["history"] = [["Hi", "Hello"]]
    assert any("is not read" in note for note in opened(tmp_path, rows, WRITE).notes)


def test_where_no_answer_is_a_good_one_nothing_is_learned(tmp_path):
    rows = [{**row, "label": False} for row in TOLD["thumbs"]]
    with pytest.raises(DataError, match="No answer is marked as good in the column 'label'"):
        opened(tmp_path, rows, WRITE)


def test_thumbs_of_a_classification_are_labels(tmp_path):
    found = opened(tmp_path, TOLD["thumbs"], OwnTask(kind="classification").definition())
    assert found.task.labels == ("false", "true")
