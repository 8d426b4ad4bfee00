"""Who may start what: reconciling states with processes, without starting a real worker; and its environment."""

import os
import platform
import subprocess
import sys
import time

import pytest

from finetuning.recipe import load_recipe
from finetuning.runs import launch
from finetuning.runs.folder import create_run, list_runs, process_started
from plumbing.errors import RunError

RECIPE = load_recipe("sentiment-smollm2-lora")


@pytest.fixture
def started(monkeypatch):
    """Collects the runs that would be started; starting a process is the integration tests' work."""
    runs = []

    def note(run):
        run.update(state="running", pid=os.getpid(), pid_started=process_started(os.getpid()))
        runs.append(run.id)
        return True

    monkeypatch.setattr(launch, "_start", note)
    return runs


def test_a_second_run_waits_for_the_first(started, tmp_path):
    first = launch.submit(RECIPE, tmp_path)
    second = launch.submit(RECIPE, tmp_path)
    assert started == [first.id]
    assert second.status().state == "queued"
    first.update(state="cancelled")
    launch.reconcile(tmp_path)
    assert started == [first.id, second.id]


def test_a_run_whose_process_is_gone_is_interrupted(started, tmp_path):
    run = create_run(RECIPE, tmp_path)
    run.update(state="running", pid=2**22 - 1, pid_started=1.0)
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


def test_the_order_is_that_of_creation_and_each_run_knows_its_place(started, tmp_path):
    runs = [launch.submit(RECIPE, tmp_path) for _ in range(4)]
    assert [launch.place_in_queue(run) for run in runs] == [0, 0, 1, 2]
    launch.cancel(runs[1])
    assert [launch.place_in_queue(run) for run in runs] == [0, 0, 0, 1]


def test_a_run_in_the_trash_is_gone_and_removed_for_good_after_a_week(started, tmp_path, monkeypatch):
    working = launch.submit(RECIPE, tmp_path)
    queued = launch.submit(RECIPE, tmp_path)
    with pytest.raises(RunError, match="being worked on"):
        launch.trash(working)
    launch.trash(queued)
    assert list_runs(tmp_path) == [working]
    place = tmp_path / launch.TRASH / queued.id
    launch.reconcile(tmp_path)
    assert (place / "recipe.yaml").is_file()
    (place / "trashed").write_text(f"{time.time() - 8 * 86_400}")
    launch.reconcile(tmp_path)
    assert not place.exists()


def test_a_damaged_run_can_be_thrown_away(started, tmp_path):
    damaged = create_run(RECIPE, tmp_path)
    (damaged.folder / "status.json").unlink()
    launch.trash(damaged)
    assert list_runs(tmp_path) == []


def test_a_run_that_used_up_its_time_does_not_go_on(started, tmp_path):
    run = launch.submit(load_recipe("sentiment-smollm2-lora", ["training.max_minutes=2"]), tmp_path)
    run.update(state="failed", seconds=119.0)
    launch.resume(run)
    run.update(state="failed", seconds=121.0)
    with pytest.raises(RunError, match=r"2\.0 of 2 minutes"):
        launch.resume(run)


def test_a_clock_that_moved_changes_nothing(started, tmp_path, monkeypatch):
    """By a year, back and forth: the worker is still known, and a cancel is as old as it is."""
    run, waiting = (launch.submit(RECIPE, tmp_path) for _ in range(2))
    launch.cancel(run)
    for moved_s in (-31_536_000, 31_536_000):
        now = time.time() + moved_s
        monkeypatch.setattr(time, "time", lambda now=now: now)
        launch.reconcile(tmp_path)
        assert run.status().state == "running" and run.process_alive()
        assert run.cancel_age_s() < 3600
        assert launch.place_in_queue(waiting) == 0 and waiting.status().state == "queued"


def test_an_empty_request_to_cancel_counts_from_when_it_is_seen_and_a_second_one_does_not_prolong(
    started, tmp_path
):
    run = launch.submit(RECIPE, tmp_path)
    (run.folder / "cancel").touch()
    assert run.cancel_age_s() == 0
    time.sleep(0.05)
    launch.cancel(run)
    assert 0.04 < run.cancel_age_s() < 600


def test_a_page_that_carries_out_a_run_itself_is_not_ended_by_force(started, tmp_path, monkeypatch):
    run = launch.submit(RECIPE, tmp_path)
    launch.cancel(run)
    monkeypatch.setattr(launch, "CANCEL_S", -1.0)
    launch.reconcile(tmp_path)
    assert run.status().state == "running"


def test_a_worker_that_cannot_be_started_fails_its_run_and_the_next_one_gets_its_turn(tmp_path, monkeypatch):
    run = create_run(RECIPE, tmp_path)
    run.log_file.mkdir()
    launch.reconcile(tmp_path)
    assert run.status().state == "failed" and "cannot be started" in run.status().error


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="how glibc's malloc is set")
def test_a_worker_keeps_the_memory_that_it_freed():
    script = """
import psutil, torch
before = psutil.Process().memory_info().rss
blocks = [torch.ones(20 * 2**20, dtype=torch.uint8) for _ in range(10)]
del blocks
print((psutil.Process().memory_info().rss - before) >> 20)
"""
    command = [sys.executable, "-c", script]
    kept = {
        name: int(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)
        for name, environment in (("worker", launch.worker_environment()), ("any", dict(os.environ)))
    }
    assert kept["any"] < 100 < kept["worker"]


@pytest.mark.parametrize(
    ("set_to", "seen"), [(None, "0"), ("3", "3"), ("2,0", "2"), ("GPU-8a1,GPU-77c", "GPU-8a1"), ("", "")]
)
def test_a_worker_sees_one_gpu_of_those_that_there_are(set_to, seen, monkeypatch):
    """Of two, `transformers` would make a `DataParallel`, which TRL refuses for a model in 4 bits."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if set_to is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", set_to)
    assert launch.worker_environment()["CUDA_VISIBLE_DEVICES"] == seen
