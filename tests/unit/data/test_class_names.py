"""What class ids mean is read from the file that says so, never guessed over it."""

import json

import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from data.readers.files import read_table
from data.readers.folders import read_folder
from data.sources import open_source
from data.tasks import SENTIMENT
from plumbing.errors import DataError


def labelled(names, ids):
    features = Features({"text": Value("string"), "label": ClassLabel(names=names)})
    rows = [{"text": f"remark {n}", "label": label} for n, label in enumerate(ids)]
    return Dataset.from_list(rows, features=features)


def labels_by_text(opened):
    return {row["text"]: row["label"] for rows in opened.splits.values() for row in rows}


def test_ids_in_a_parquet_file_have_the_names_of_its_schema(tmp_path):
    labelled(["positive", "negative"], [0, 1] * 10).to_parquet(tmp_path / "a.parquet")
    opened = open_source(f"file:{tmp_path}/a.parquet", SENTIMENT)
    assert labels_by_text(opened) == {f"remark {n}": ("positive", "negative")[n % 2] for n in range(20)}
    assert "The file names the classes of 'label': 0 = positive, 1 = negative." in opened.notes


def test_three_named_classes_are_read_without_a_question(tmp_path):
    labelled(["neg", "neutral", "pos"], [0, 1, 2] * 6).to_parquet(tmp_path / "a.parquet")
    opened = open_source(f"file:{tmp_path}/a.parquet", SENTIMENT)
    assert opened.mapping.labels == {"neg": "negative", "neutral": None, "pos": "positive"}


def test_an_id_without_a_name_is_an_empty_label(tmp_path):
    labelled(["positive", "negative"], [0, 1, -1]).to_parquet(tmp_path / "a.parquet")
    assert [row["label"] for _, row in read_table(tmp_path / "a.parquet").rows] == ["positive", "negative", None]


def test_class_names_that_are_no_words_for_the_labels_are_asked_for_by_name(tmp_path):
    labelled(["fresh", "rotten"], [0, 1] * 10).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match="not clear what the values") as caught:
        open_source(f"file:{tmp_path}/a.parquet", SENTIMENT)
    assert caught.value.got == ["fresh", "rotten"]


STARS = ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize("ids", [[0, 1, 2, 3, 4], [1, 2, 3, 4], [4, 1]])
def test_ids_are_not_taken_for_names_that_are_numbers(tmp_path, ids):
    """Not even where each of them is a name, too: 1 is the second name, which is 2."""
    labelled(STARS, ids).to_parquet(tmp_path / "a.parquet")
    labelled(STARS, ids).save_to_disk(tmp_path / "saved")
    for table in (read_table(tmp_path / "a.parquet"), read_folder(tmp_path / "saved")["train"]):
        assert [row["label"] for _, row in table.rows] == [STARS[number] for number in ids]


@pytest.mark.parametrize(("said", "noted"), [(["1", "2", "4"], True), (["1 star", "2 stars"], False)])
def test_names_that_are_numbers_are_not_taken_for_ids(tmp_path, said, noted):
    names = STARS if noted else ["1 star", "2 stars", "3 stars"]
    described = {"features": {"label": {"names": names, "_type": "ClassLabel"}}}
    (tmp_path / "dataset_info.json").write_text(json.dumps(described), encoding="utf-8")
    pd.DataFrame({"text": said, "label": said}).to_parquet(tmp_path / "a.parquet")
    table = read_table(tmp_path / "a.parquet")
    assert [row["label"] for _, row in table.rows] == said
    note = "The values of 'label' are read as names of its classes, not as their ids."
    assert (note in table.notes) == noted


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_a_description_beside_the_file_names_its_classes(tmp_path, name):
    rows = pd.DataFrame({"text": [f"remark {n}" for n in range(20)], "label": [n % 2 for n in range(20)]})
    if name == "a.csv":
        rows.to_csv(tmp_path / name, index=False)
    elif name == "a.jsonl":
        rows.to_json(tmp_path / name, orient="records", lines=True)
    else:
        rows.to_parquet(tmp_path / name)
    feature = {"names": ["positive", "negative"], "_type": "ClassLabel"}
    described = {"features": {"label": feature, "text": {"dtype": "string", "_type": "Value"}}}
    (tmp_path / "dataset_info.json").write_text(json.dumps(described), encoding="utf-8")
    opened = open_source(f"file:{tmp_path}/{name}", SENTIMENT)
    assert labels_by_text(opened) == {f"remark {n}": ("positive", "negative")[n % 2] for n in range(20)}


@pytest.mark.parametrize(
    "described",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        b"[1]",
        b'{"features": [1]}',
        b'{"features": {"label": {"_type": "ClassLabel", "names": [1, 2]}}}',
        b'{"features": {"label": {"_type": "ClassLabel", "names": []}}}',
        b'{"features": {"label": {"_type": "Value", "names": ["positive", "negative"]}}}',
    ],
)
def test_a_description_that_describes_nothing_changes_nothing(tmp_path, described):
    (tmp_path / "dataset_info.json").write_bytes(described)
    (tmp_path / "a.csv").write_text("text,label\nfine,1\nbad,0\n", encoding="utf-8")
    assert [row["label"] for _, row in read_table(tmp_path / "a.csv").rows] == ["1", "0"]
