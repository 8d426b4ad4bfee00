"""Data sets on the Hub: which names are asked for, how much is downloaded, and that no code comes along."""

import json

import datasets
import pytest

from data import limits
from data.readers import hub
from plumbing.errors import DataError


@pytest.mark.parametrize(
    "name",
    [
        "", "/", "csv", "webdataset", "../x", "/etc/passwd", "~/x", "a/b/c", "owner/..", "owner/a..b", ".hidden/x",
        "owner/name;rm", "owner/na me", "owner/name\n", "owner\\name", "https://example.invalid/x",
        "a/" + "b" * 200,
        "owner/name:../x", "owner/name:a/b", "owner/name:a b", "ówner/name",
        "owner/\u202ename",
    ],
)  # fmt: skip
def test_a_name_that_is_none_of_the_hub_is_not_asked_for(name, monkeypatch):
    monkeypatch.setattr(hub, "hub_reachable", lambda: pytest.fail("the Hub was asked"))
    with pytest.raises(DataError, match="not the name of a data set") as caught:
        hub.load(name)
    assert "OWNER/NAME" in caught.value.fix


def test_a_folder_of_that_name_is_not_read_in_its_place(tmp_path, monkeypatch):
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="folder here"):
        hub.load("owner/name")


@pytest.fixture
def data_set(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    rows = [{"text": f"fine {n}", "label": n % 2, "nested": {"a": n}} for n in range(30)]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def test_the_size_of_the_files_is_bounded_before_they_are_fetched(data_set, tmp_path, monkeypatch):
    builder = datasets.load_dataset_builder(str(data_set), cache_dir=str(tmp_path / "cache"))
    hub._check_size(builder, "owner/name")
    with (data_set / "train.jsonl").open("r+b") as file:
        file.truncate(3_000_000_000)
    with pytest.raises(DataError, match="more than 2 GB"):
        hub._check_size(builder, "owner/name")


def test_a_script_of_a_data_set_is_never_run(data_set, tmp_path):
    marker = tmp_path / "it ran"
    (data_set / "train.jsonl").unlink()
    (data_set / "set.py").write_text(f"open({str(marker)!r}, 'w').close()\n", encoding="utf-8")
    with pytest.raises(RuntimeError, match="scripts are no longer supported"):
        datasets.load_dataset_builder(str(data_set), cache_dir=str(tmp_path / "cache"))
    assert not marker.exists()


def test_only_columns_that_a_task_could_use_are_read():
    rows = datasets.Dataset.from_list(
        [{"text": "a", "several": ["a", "b"], "nested": {"a": 1}, "numbers": [1]}] * 3
    )
    table = hub._table(rows)
    assert table.columns == ("text", "several")
    assert table.rows[0] == (1, {"text": "a", "several": ["a", "b"]})


def test_of_long_texts_a_sample_is_read_and_not_the_first_rows(monkeypatch):
    monkeypatch.setattr(hub, "MAX_FILE_BYTES", 1000)
    rows = [{"text": f"{n:010}", "label": int(n >= 200)} for n in range(400)]  # sorted by label
    table = hub._table(datasets.Dataset.from_list(rows))
    assert 25 <= len(table.rows) <= 100
    of_the_second_label = sum(values["label"] for _, values in table.rows) / len(table.rows)
    assert 0.3 < of_the_second_label < 0.7
    assert [number for number, _ in table.rows] == sorted(number for number, _ in table.rows)
    assert f"of 400 rows a fixed sample of {len(table.rows)} is used" in table.notes[0]
    assert hub._table(datasets.Dataset.from_list(rows)).rows == table.rows


def test_rows_of_the_hub_are_as_many_as_those_of_a_file(monkeypatch):
    assert hub.MAX_ROWS == limits.MAX_ROWS
    monkeypatch.setattr(hub, "MAX_CELLS", 40)
    table = hub._table(datasets.Dataset.from_list([{"text": str(n), "label": 1} for n in range(60)]))
    assert len(table.rows) == 20 and "Of 60 rows a fixed sample of 20" in table.notes[0]
