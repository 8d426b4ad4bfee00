"""The run folder: whole or absent, readable while it is written, and never left through its name."""

import json
import os
import threading

import pytest

from data.errors import RunError
from finetuning.recipe import load_recipe
from finetuning.runs import create_run, finished_runs, list_runs, open_run, process_started


@pytest.fixture
def run(tmp_path):
    return create_run(load_recipe("sentiment-smollm2-lora"), tmp_path)


def test_a_new_run_is_queued_and_keeps_its_recipe(run, tmp_path):
    assert run.status().state == "queued"
    assert run.recipe() == load_recipe("sentiment-smollm2-lora")
    assert open_run(run.id, tmp_path).folder == run.folder


@pytest.mark.parametrize("name", ["../secret", "/etc", "", "a/b", "nothing-20260101-000000-abcd", "x\0y"])
def test_an_id_that_is_not_a_runs_is_refused(name, run, tmp_path):
    with pytest.raises(RunError, match="no such run"):
        open_run(name, tmp_path)


def test_runs_are_listed_newest_first(tmp_path):
    recipe = load_recipe("sentiment-smollm2-lora")
    ids = [create_run(recipe, tmp_path).id for _ in range(3)]
    (tmp_path / ids[0]).rename(tmp_path / (ids[0][:-20] + "20990101-000000-abcd"))
    (tmp_path / "notes.txt").touch()
    (tmp_path / ".making-x").mkdir()
    listed = [run.id for run in list_runs(tmp_path)]
    assert len(listed) == 3
    assert listed[0].endswith("20990101-000000-abcd")


def test_metrics_are_read_on_from_an_offset_and_a_torn_line_waits(run):
    run.append_metrics({"step": 1, "loss": 2.0})
    first, offset = run.metrics()
    assert [line["step"] for line in first] == [1]
    with (run.folder / "metrics.jsonl").open("a") as handle:
        handle.write('{"step": 2, "lo')
    assert run.metrics(offset) == ([], offset)
    with (run.folder / "metrics.jsonl").open("a") as handle:
        handle.write('ss": 1.0}\n')
    assert run.metrics(offset)[0] == [{"step": 2, "loss": 1.0}]


def test_a_damaged_status_is_an_error_that_names_the_run(run):
    (run.folder / "status.json").write_text('{"state": "run')
    with pytest.raises(RunError, match=run.id):
        run.status()


def test_a_reader_never_sees_half_a_status(run):
    stop = threading.Event()
    failures = []

    def read():
        while not stop.is_set():
            try:
                run.status()
            except RunError as error:
                failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for step in range(200):
        run.update(done=step, phase="x" * step)
    stop.set()
    reader.join()
    assert not failures
    assert run.status().done == 199


def test_only_a_run_with_an_adapter_can_be_used(run, tmp_path):
    assert list(finished_runs(tmp_path)) == []
    run.adapter.mkdir()
    assert [found.id for found in finished_runs(tmp_path)] == [run.id]


def test_a_process_is_known_by_its_start_time(run):
    own = process_started(os.getpid())
    run.update(pid=os.getpid(), pid_started=own)
    assert run.process_alive()
    run.update(pid_started=own - 100)
    assert not run.process_alive()


def test_the_status_file_is_json_that_others_can_read(run):
    status = json.loads((run.folder / "status.json").read_text())
    assert status["state"] == "queued"
