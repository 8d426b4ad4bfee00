"""Real workers: the queue under two launchers, cancel in every phase, and what is left running (nothing)."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from finetuning.processes import RUN_VARIABLE
from finetuning.runs import launch
from finetuning.runs.folder import WORKING, checkpoint_step, create_run, open_run
from tests.standing_still import standing_still

ROOT = Path(__file__).resolve().parents[2]
HAMMER = """
import sys, time
from pathlib import Path
from finetuning.runs.launch import reconcile
from finetuning.runs.folder import ACTIVE, WORKING, list_runs
folder = Path(sys.argv[1])
most = 0
while True:
    reconcile(folder)
    states = [run.status().state for run in list_runs(folder)]
    most = max(most, sum(state in WORKING for state in states))
    if not any(state in ACTIVE for state in states):
        break
    time.sleep(0.002)  # or both cores would do nothing but look, and leave none for the run
print(most)
"""
STARTER = """
import sys, time
from pathlib import Path
from finetuning.runs import launch
from finetuning.recipe import load_recipe
for path in sys.argv[2:]:
    print(launch.submit(load_recipe(path), Path(sys.argv[1])).id, flush=True)
time.sleep(3600)
"""
LONG = "training.max_steps=100000"


def of_run(run):
    """Processes that carry the run's name in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(RUN_VARIABLE) == str(run.folder) and process.status() != "zombie":
                found.append(process)
        except psutil.Error:
            continue
    return found


def ended(run, wait_for):
    def look():
        launch.reconcile(run.folder.parent)
        return run.status().state not in launch.ACTIVE

    wait_for(look, poll_s=0.2)
    wait_for(lambda: not of_run(run))
    return run.status()


def test_two_launchers_start_every_run_once_one_at_a_time_and_in_order(tiny_recipe, tmp_path):
    runs = [create_run(tiny_recipe("data.source=file:nowhere.csv"), tmp_path) for _ in range(3)]
    command = [sys.executable, "-c", HAMMER, str(tmp_path)]
    hammers = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    seen = [int(hammer.communicate(timeout=600)[0]) for hammer in hammers]
    assert max(seen) == 1
    for run in runs:
        assert len(re.findall(r"^Process \d+ works on this run$", run.log_tail(), re.MULTILINE)) == 1
        assert run.status().state == "failed" and "nowhere.csv" in run.status().error
        assert "Traceback" not in run.log_tail()
    times = [(run.status().started, run.status().ended) for run in runs]
    assert [time for pair in times for time in pair] == sorted(time for pair in times for time in pair)


def test_a_run_outlives_the_process_that_started_it_and_then_the_next_one_starts(tiny_recipe, tmp_path, wait_for):
    recipes = tmp_path / "first.yaml", tmp_path / "second.yaml"
    recipes[0].write_text(tiny_recipe("training.max_steps=40").to_yaml())
    recipes[1].write_text(tiny_recipe("data.source=file:nowhere.csv").to_yaml())
    command = [sys.executable, "-c", STARTER, str(tmp_path / "runs"), *map(str, recipes)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as starter:
        first, second = (open_run(starter.stdout.readline().strip(), tmp_path / "runs") for _ in range(2))
        wait_for(lambda: first.metrics()[0])
        starter.kill()
    worker = first.status().pid
    assert first.process_alive()
    launch.reconcile(tmp_path / "runs")  # as an app does when it starts
    assert first.status().state in WORKING and first.status().pid == worker
    assert second.status().state == "queued"
    wait_for(lambda: second.status().state == "failed")  # from now on nobody is looking
    assert first.status().state == "finished"


@pytest.mark.parametrize("phase", ["Reading the data", "Comparing base and tuned"])
def test_cancel_ends_a_run_in_every_phase(phase, tiny_recipe, tmp_path, wait_for):
    """Of `Fine-tuning` the next test says the same."""
    run = launch.submit(tiny_recipe("training.max_steps=2", "evaluation.batch_size=1"), tmp_path)
    first = phase == "Reading the data"  # over so soon that the look at it may come late
    wait_for(lambda: run.status().phase if first else run.status().phase == phase)
    launch.cancel(run)
    assert ended(run, wait_for).state == "cancelled"


def test_a_run_is_cancelled_reaches_its_limit_and_goes_on_with_more_from_its_checkpoints(
    tiny_recipe, tmp_path, wait_for
):
    run = launch.submit(tiny_recipe(LONG), tmp_path)
    wait_for(lambda: len(run.metrics()[0]) > 3)
    launch.cancel(run)
    cancelled = ended(run, wait_for)
    assert cancelled.state == "cancelled"
    kept = run.checkpoint()
    assert kept is not None

    limit = round(3 * cancelled.seconds / 60, 2)  # most of that was its start; the next takes no longer
    launch.resume(run, max_minutes=limit)
    wait_for(lambda: run.status().done > checkpoint_step(kept))
    with standing_still(run):
        time.sleep(max(0.0, 60 * limit - run.status().seconds))
    status = ended(run, wait_for)
    assert status.state == "failed" and f"training.max_minutes = {limit:g}" in status.error
    assert status.seconds >= 60 * limit
    saved = run.checkpoint()
    assert saved is not None and checkpoint_step(saved) > checkpoint_step(kept)

    launch.resume(run, max_minutes=60)
    wait_for(lambda: run.status().done > checkpoint_step(saved))
    assert run.status().seconds > status.seconds
    launch.cancel(run)
    assert ended(run, wait_for).state == "cancelled"


def test_a_worker_that_stands_still_is_ended_by_force_with_its_children(
    tiny_recipe, tmp_path, wait_for, monkeypatch
):
    """Stopped by a signal it can do nothing; a child in a session of its own is found by its environment."""
    run = launch.submit(tiny_recipe(LONG), tmp_path)
    wait_for(lambda: run.metrics()[0])
    of_this_run = os.environ | {RUN_VARIABLE: str(run.folder)}
    stray = subprocess.Popen(["sleep", "3600"], env=of_this_run, start_new_session=True)
    os.kill(run.status().pid, signal.SIGSTOP)
    launch.cancel(run)
    # As after a restart of the app: only files are left.
    monkeypatch.setattr("finetuning.launchers.here._started_here", [])
    assert ended(run, wait_for).state == "cancelled"
    stray.wait()


def test_a_step_that_does_not_end_is_ended_by_the_worker_itself(tiny_recipe, long_reviews, tmp_path, wait_for):
    slow = ["training.batch_size=64", "training.gradient_accumulation=64", "training.max_tokens=1024"]
    run = launch.submit(tiny_recipe(f"data.source=file:{long_reviews}", *slow), tmp_path)
    wait_for(lambda: run.status().phase == "Fine-tuning")
    launch.cancel(run)
    wait_for(lambda: run.status().state == "cancelled")  # nobody reconciles
    wait_for(lambda: not of_run(run))
    assert run.metrics()[0] == []
