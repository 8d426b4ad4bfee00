"""The run folder: whole or absent, readable while it is written, and never left through its name."""

import json
import os
import threading
from datetime import datetime
from typing import get_args

import pytest

from finetuning.recipe import load_recipe
from finetuning.runs.folder import Status, create_run, finished_runs, list_runs, open_run, process_started
from finetuning.runs.states import ARROWS, State
from plumbing.errors import RunError


@pytest.fixture
def run(tmp_path):
    return create_run(load_recipe("sentiment-smollm2-lora"), tmp_path)


def test_a_new_run_is_queued_and_keeps_its_recipe(run, tmp_path):
    assert run.status().state == "queued"
    assert run.recipe() == load_recipe("sentiment-smollm2-lora")
    assert open_run(run.id, tmp_path).folder == run.folder


def test_a_run_belongs_to_its_owner_alone(run, tmp_path):
    theirs = create_run(load_recipe("sentiment-smollm2-lora"), tmp_path, owner="visitor:abc")
    assert (run.owner, theirs.owner) == ("", "visitor:abc")
    assert [found.id for found in list_runs(tmp_path)] == [theirs.id, run.id]
    assert [found.id for found in list_runs(tmp_path, owner="visitor:abc")] == [theirs.id]
    assert list_runs(tmp_path, owner="visitor:ab") == []
    assert open_run(theirs.id, tmp_path, owner="visitor:abc").id == theirs.id
    with pytest.raises(RunError, match="no such run") as caught:
        open_run(run.id, tmp_path, owner="visitor:abc")
    assert caught.value.fix == f"The newest are: {theirs.id}."
    (theirs.folder / "owner").unlink()
    (theirs.folder / "owner").mkdir()
    assert list_runs(tmp_path, owner="") == [run]


@pytest.mark.parametrize(("state", "arrows"), [(state, ARROWS[state]) for state in get_args(State)])
def test_states_change_along_the_arrows_only(state, arrows, run):
    for target in get_args(State):
        (run.folder / "status.json").write_text(Status(state=state, created=1.0).model_dump_json())
        if target == state or target in arrows:
            assert run.update(state=target).state == target
        else:
            with pytest.raises(RunError, match=f"{state} → {target}"):
                run.update(state=target)
            assert run.status().state == state


def test_only_one_process_takes_a_run_and_nobody_else_writes_its_status(run):
    run.claim()
    run.claim()  # the same process may say so twice
    taken = run.status()
    other = taken.model_copy(update={"pid": 1})
    with pytest.raises(RunError, match="Another process"):
        run.write_status(other)
    (run.folder / "status.json").write_text(other.model_dump_json())
    with pytest.raises(RunError, match="not waiting"):
        run.claim()


def test_ids_sort_in_the_order_of_creation_whatever_the_clock_says(tmp_path, monkeypatch):
    recipe = load_recipe("sentiment-smollm2-lora")
    clock = iter(["20260101-120000", "20260101-120000", "20200101-000000", "20260101-120001"])

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.strptime(next(clock), "%Y%m%d-%H%M%S").replace(tzinfo=tz)

    monkeypatch.setattr("finetuning.runs.folder.datetime", Clock)
    made = [create_run(recipe, tmp_path) for _ in range(4)]
    assert [run.id for run in list_runs(tmp_path)] == [run.id for run in reversed(made)]
    last = made[-1].id[-20:]
    full = made[-1].folder.rename(tmp_path / f"{made[-1].id[:-4]}ffff")
    monkeypatch.undo()
    clock = iter([last[:15]])
    monkeypatch.setattr("finetuning.runs.folder.datetime", Clock)
    assert create_run(recipe, tmp_path).id > full.name


@pytest.mark.parametrize(
    "name", ["../secret", "/etc", "", "a/b", "nothing-20260101-000000-abcd", "x\0y", "a-20260101-000000-abcd\n"]
)
def test_an_id_that_is_not_a_runs_is_refused(name, run, tmp_path):
    with pytest.raises(RunError, match="no such run"):
        open_run(name, tmp_path)


def test_runs_are_listed_newest_first(run, tmp_path):
    later = create_run(load_recipe("dialogue-smollm2-qlora"), tmp_path)
    (tmp_path / "notes.txt").touch()
    (tmp_path / run.id.replace("sentiment", "file")).touch()
    (tmp_path / ".making-x").mkdir()
    assert [found.id for found in list_runs(tmp_path)] == [later.id, run.id]


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
    run.tuned.mkdir()
    assert [found.id for found in finished_runs(tmp_path)] == [run.id]


def test_a_process_is_known_by_its_start_time(run):
    own = process_started(os.getpid())
    run.update(pid=os.getpid(), pid_started=own)
    assert run.process_alive()
    run.update(pid_started=f"{own}0")
    assert not run.process_alive()


def test_the_status_file_is_json_that_others_can_read(run):
    status = json.loads((run.folder / "status.json").read_text())
    assert status["state"] == "queued"
