"""A file that did not change is not read again; one that did, by whatever way, is."""

import os
import time

import pytest

from finetuning.recipe import load_recipe
from finetuning.runs import folder as runs
from finetuning.runs import launch
from finetuning.runs.folder import Status, create_run
from plumbing import remembered
from plumbing.remembered import Remembered

RECIPE = load_recipe("sentiment-smollm2-lora")


@pytest.fixture
def later(monkeypatch):
    """Every file has been left alone for a while."""
    now = time.time
    monkeypatch.setattr(remembered.time, "time", lambda: now() + 60)


class Reader:
    def __init__(self):
        self.read = []

    def __call__(self, path):
        self.read.append(path)
        with open(path) as handle:  # noqa: PTH123
            return handle.read()


def test_a_file_is_read_once_until_it_changes(later, tmp_path):
    reader = Reader()
    contents = Remembered(reader, most=9)
    file, other = tmp_path / "a", tmp_path / "b"
    file.write_text("one")
    assert [contents(str(file)) for _ in range(3)] == ["one"] * 3 and len(reader.read) == 1
    file.write_text("two")
    stamp = file.stat().st_mtime_ns
    assert [contents(str(file)) for _ in range(2)] == ["two"] * 2 and len(reader.read) == 2
    other.write_text("six")  # replaced by one of the same size and time
    os.utime(other, ns=(stamp, stamp))
    other.replace(file)
    assert contents(str(file)) == "six"


def test_a_file_that_has_just_changed_is_not_kept(tmp_path):
    """Within a tick of the file system's clock, a second change leaves no trace in the file's times."""
    reader = Reader()
    contents = Remembered(reader, most=9)
    (tmp_path / "a").write_text("one")
    contents(str(tmp_path / "a"))
    contents(str(tmp_path / "a"))
    assert len(reader.read) == 2


def test_an_error_is_not_kept_and_the_oldest_is_forgotten(later, tmp_path):
    reader = Reader()
    contents = Remembered(reader, most=2)
    with pytest.raises(FileNotFoundError):
        contents(str(tmp_path / "a"))
    for name in "abc":
        (tmp_path / name).write_text(name)
        contents(str(tmp_path / name))
    contents(str(tmp_path / "c"))
    assert len(reader.read) == 4
    contents(str(tmp_path / "a"))
    assert len(reader.read) == 5


def test_a_poll_reads_the_status_of_no_run_that_is_over(later, tmp_path, monkeypatch):
    over = [create_run(RECIPE, tmp_path) for _ in range(5)]
    for run in over:
        (run.folder / "status.json").write_text(Status(state="finished", created=1.0).model_dump_json())
    (over[0].folder / "status.json").write_text("{")
    launch.reconcile(tmp_path)
    read = []
    whole = runs.read_text
    monkeypatch.setattr(runs, "read_text", lambda path, **limit: read.append(path) or whole(path, **limit))
    launch.reconcile(tmp_path)
    assert [run.state() for run in over] == ["damaged"] + ["finished"] * 4
    assert launch.place_in_queue(over[1]) == 0
    assert read == []
    (over[2].folder / "status.json").unlink()
    (over[3].folder / "status.json").write_text(Status(state="failed", created=1.0).model_dump_json())
    assert [run.state() for run in over[2:4]] == ["damaged", "failed"]


def test_a_recipe_that_is_replaced_is_read_again(later, tmp_path):
    run = create_run(RECIPE, tmp_path)
    assert run.recipe() == RECIPE and run.recipe() is run.recipe()
    other = load_recipe("sentiment-smollm2-lora", ["training.epochs=9"])
    run.replace_recipe(other)
    assert run.recipe() == other
