"""Who may start what: reconciling states with processes, without starting a real worker."""

import os
import time

import pytest

from finetuning import launch
from finetuning.recipe import load_recipe
from finetuning.runs import create_run, process_started

RECIPE = load_recipe("sentiment-smollm2-lora")


@pytest.fixture
def started(monkeypatch):
    """Collects the runs that would be started; starting a process is the integration tests' work."""
    runs = []

    def note(run):
        run.update(state="running", pid=os.getpid(), pid_started=process_started(os.getpid()))
        runs.append(run.id)

    monkeypatch.setattr(launch, "_start", note)
    return runs


def test_a_second_run_waits_for_the_first(started, tmp_path):
    first = launch.submit(RECIPE, tmp_path)
    second = launch.submit(RECIPE, tmp_path)
    assert started == [first.id]
    assert second.status().state == "queued"
    first.update(state="finished")
    launch.reconcile(tmp_path)
    assert started == [first.id, second.id]


def test_a_run_whose_process_is_gone_is_interrupted(started, tmp_path):
    run = create_run(RECIPE, tmp_path)
    run.update(state="running", pid=2**22 - 1, pid_started=1.0)
    launch.reconcile(tmp_path)
    assert run.status().state == "interrupted"


def test_a_worker_that_never_reported_is_given_up_after_a_while(started, tmp_path):
    run = create_run(RECIPE, tmp_path)
    run.update(state="running", started=time.time())
    launch.reconcile(tmp_path)
    assert run.status().state == "running"
    run.update(started=time.time() - 3600)
    launch.reconcile(tmp_path)
    assert run.status().state == "interrupted"


def test_a_queued_run_is_cancelled_at_once(started, tmp_path):
    launch.submit(RECIPE, tmp_path)
    waiting = launch.submit(RECIPE, tmp_path)
    launch.cancel(waiting)
    assert waiting.status().state == "cancelled"
    assert len(started) == 1


def test_a_damaged_run_does_not_stop_the_others(started, tmp_path):
    damaged = create_run(RECIPE, tmp_path)
    (damaged.folder / "status.json").write_text("{")
    run = launch.submit(RECIPE, tmp_path)
    assert started == [run.id]
