"""The worker as a real process on the real SmolLM2: a few steps, a cancel, a kill."""

import os
import signal
import time

import pytest

from eval.report import load as load_report
from finetuning import launch
from finetuning.recipe import load_recipe
from models.pair import open_pair

REAL_MODEL = True
SMALL = ["data.train_rows=32", "data.test_rows=8", "training.epochs=1", "training.batch_size=8"]


def wait_for(condition, timeout_s=600.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.3)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    run = launch.submit(load_recipe("sentiment-smollm2-lora", [*SMALL, "evaluation.forgetting=false"]), folder)
    for _ in launch.wait(run):
        pass
    assert run.status().state == "finished", run.log_tail()
    return run


def test_a_run_goes_from_recipe_to_report(finished):
    steps, _ = finished.metrics()
    assert [line["step"] for line in steps] == [1, 2, 3, 4]
    assert all(line["memory_mb"] > 100 for line in steps)
    report, rows = load_report(finished.evaluation)
    assert report.n == len(list(rows)) == 8
    assert report.base.origin in {"hub", "package mirror"}


def test_the_adapter_acts_on_the_real_base(finished):
    pair = open_pair(finished.adapter)
    assert pair.proof.same_weights
    assert pair.proof.largest_change > 0


def test_a_run_that_is_cancelled_stops_and_leaves_nothing_running(tmp_path):
    run = launch.submit(load_recipe("sentiment-smollm2-lora", ["data.train_rows=400"]), tmp_path)
    wait_for(lambda: run.status().done >= 1 and run.status().phase == "Fine-tuning")
    pid = run.status().pid
    launch.cancel(run)
    wait_for(lambda: run.status().state == "cancelled")
    wait_for(lambda: not run.process_alive())
    assert pid is not None
    assert not run.adapter.exists()
    assert any((folder / "DONE").exists() for folder in run.checkpoints.glob("checkpoint-*"))


def test_a_worker_that_is_killed_is_found_interrupted_and_goes_on(tmp_path):
    more = ["training.batch_size=4", "training.max_steps=5", "evaluation.few_shot=0", "evaluation.forgetting=false"]
    run = launch.submit(load_recipe("sentiment-smollm2-lora", [*SMALL, *more]), tmp_path)
    wait_for(lambda: run.status().done >= 2 and run.checkpoint() is not None)
    os.kill(run.status().pid, signal.SIGKILL)
    wait_for(lambda: not run.process_alive())
    launch.reconcile(tmp_path)
    assert run.status().state == "interrupted"
    launch.resume(run)
    for _ in launch.wait(run):
        pass
    assert run.status().state == "finished", run.log_tail()
    assert [line["step"] for line in run.metrics()[0]] == list(range(1, 6))


def test_a_mistake_in_the_data_fails_the_run_with_a_sentence(tmp_path):
    recipe = load_recipe("sentiment-smollm2-lora", ["data.source=file:nowhere.csv"])
    run = launch.submit(recipe, tmp_path)
    for _ in launch.wait(run):
        pass
    status = run.status()
    assert status.state == "failed"
    assert "nowhere.csv" in (status.error or "")
    assert "Traceback" not in run.log_tail()
