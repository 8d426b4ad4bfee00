"""Faults that are really caused: kills, a full disk, short memory, a loss that is no number, a read-only folder."""

import contextlib
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from eval.report.folder import load as load_report
from finetuning.recipe import with_overrides
from finetuning.runs import launch
from finetuning.runs.beginning import BEGAN_FILE
from finetuning.runs.folder import checkpoint_step, create_run, list_runs
from plumbing.errors import RunError

ROOT = Path(__file__).resolve().parents[2]
MORE = ["training.gradient_accumulation=2", "training.max_steps=24"]


def finish(run, timeout_s=600):
    deadline = time.monotonic() + timeout_s
    for _ in launch.wait(run, poll_s=0.1):
        assert time.monotonic() < deadline, f"it took too long: {run.status()} {run.log_tail()}"
    return run.status()


def kill(run):
    os.kill(run.status().pid, signal.SIGKILL)
    status = finish(run)
    assert status.state == "interrupted"
    return status


def curve(run):
    return [(line["step"], line["loss"], line["grad_norm"], line["learning_rate"]) for line in run.metrics()[0]]


def scores(run):
    report, rows = load_report(run.evaluation)
    return [(metric.name, metric.tuned) for metric in report.metrics], [row.tuned.probabilities for row in rows]


@contextlib.contextmanager
def mounted(folder, *options):
    """A file system in memory on `folder`; False where that is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True) if os.geteuid() == 0 else None
    works = done is not None and done.returncode == 0
    try:
        yield works
    finally:
        if works:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_run_killed_at_random_steps_and_while_it_writes_a_checkpoint_ends_as_an_undisturbed_one(
    tiny_recipe, tmp_path, wait_for
):
    """In the middle of epochs, with dropout and gradient accumulation: equal to the last bit in float32."""
    undisturbed = launch.submit(tiny_recipe(*MORE), tmp_path / "whole")
    assert finish(undisturbed).state == "finished", undisturbed.log_tail()
    run = launch.submit(undisturbed.recipe(), tmp_path / "killed")
    step = 0
    for _ in range(2):
        step = random.randint(step + 1, step + 5)
        wait_for(lambda: run.status().done >= step, poll_s=0.002)  # noqa: B023
        assert "Resume goes on from" in kill(run).error
        launch.resume(run)

    def writing():
        """Stops the worker where a folder has no DONE yet, and lets it go on where it was quicker."""
        torn = [found for found in run.checkpoints.glob("checkpoint-*") if not (found / "DONE").exists()]
        if not torn or run.checkpoint() is None or run.status().phase != "Fine-tuning":
            return None  # none yet, or one that the last kill has torn
        os.kill(run.status().pid, signal.SIGSTOP)
        if (torn[0] / "DONE").exists():
            os.kill(run.status().pid, signal.SIGCONT)
            return None
        return torn[0]

    torn = wait_for(writing, poll_s=0.0005)
    kill(run)
    assert torn.exists() and not (torn / "DONE").exists()
    assert run.checkpoint() not in (None, torn)
    launch.resume(run)
    assert finish(run).state == "finished", run.log_tail()
    assert curve(run) == curve(undisturbed)
    assert scores(run) == scores(undisturbed)


def test_a_full_disk_fails_the_run_with_a_sentence_and_it_goes_on_after_space_is_made(
    tiny_recipe, tmp_path, wait_for
):
    """The limit for the size of a file; and a small file system that fills up, where one can be mounted."""
    with mounted(tmp_path / "disk", "size=8m") as works:
        folder = tmp_path / "disk"
        run = launch.submit(tiny_recipe(*MORE, "training.max_steps=400"), folder)
        wait_for(run.checkpoint)
        for how in ("limit", "disk") if works else ("limit",):
            filler = folder / "filler"
            if how == "disk":
                with filler.open("wb", buffering=0) as handle, contextlib.suppress(OSError):
                    while True:
                        handle.write(bytes(4096))
            else:
                resource.prlimit(run.status().pid, resource.RLIMIT_FSIZE, (20_000, 20_000))
            status = finish(run)
            assert status.state == "failed", run.log_tail()
            assert f"There is no space left in {run.folder}" in status.error
            assert "a checkpoint takes about" in status.error and "MB" in status.error
            kept = run.checkpoint()
            assert kept is not None and kept.name in status.error
            filler.unlink(missing_ok=True)
            launch.resume(run)
            wait_for(lambda: run.status().done > checkpoint_step(kept))  # noqa: B023
        launch.cancel(run)
        assert finish(run).state == "cancelled"
    if not works:
        pytest.skip("no file system can be mounted here; the limit was met")


def test_short_memory_names_the_settings_to_lower(tiny_recipe, long_reviews, tmp_path, wait_for):
    big = ["training.batch_size=256", "training.max_tokens=1024", "data.train_rows=640"]
    run = launch.submit(tiny_recipe(f"data.source=file:{long_reviews}", *big), tmp_path)
    wait_for(lambda: run.status().phase == "Fine-tuning")
    worker = psutil.Process(run.status().pid)
    limit = worker.memory_info().vms + 400 * 2**20  # for threads and their heaps; attention alone takes 700 MiB
    resource.prlimit(worker.pid, resource.RLIMIT_AS, (limit, limit))
    status = finish(run)
    assert status.state == "failed", run.log_tail()
    assert "not enough memory for training" in status.error
    assert "training.batch_size (now 256" in status.error and "training.max_tokens (now 1024" in status.error


def test_a_loss_that_is_no_number_stops_the_run_and_the_last_good_checkpoint_is_kept(
    tiny_recipe, tmp_path, wait_for
):
    """A run goes on with its update scaled so far up that it overflows in the next step."""
    run = launch.submit(tiny_recipe("training.max_steps=4000"), tmp_path)
    wait_for(lambda: len(run.metrics()[0]) > 2)
    launch.cancel(run)
    assert finish(run).state == "cancelled"
    good = run.checkpoint()
    (run.folder / BEGAN_FILE).unlink()  # else the changed setting is refused
    run.replace_recipe(with_overrides(run.recipe(), {"strategy.alpha": 1e30}))
    launch.resume(run)
    status = finish(run)
    assert status.state == "failed"
    assert f"The loss is no longer a number at step {checkpoint_step(good) + 1}" in status.error
    assert "training.learning_rate" in status.error and good.name in status.error
    assert run.checkpoint() == good
    assert run.metrics()[0][-1]["step"] == checkpoint_step(good)


def test_a_read_only_folder_is_one_clear_error_and_what_is_in_it_can_be_read(tiny_recipe, tmp_path):
    recipe = tiny_recipe()
    with mounted(tmp_path / "disk", "size=8m") as works:
        folder = tmp_path / "disk"
        run = create_run(recipe, folder)
        if works:
            subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        else:
            folder.chmod(0o555)
            run.folder.chmod(0o555)
            if os.geteuid() == 0:  # who ignores these bits
                os.seteuid(65534)
        try:
            for doing in (
                lambda: launch.submit(recipe, folder),
                lambda: launch.cancel(run),
                lambda: launch.trash(run),
            ):
                with pytest.raises(RunError, match="cannot be written to") as caught:
                    doing()
                assert "BEFORE_AFTER_RUNS" in str(caught.value)
            launch.reconcile(folder)
            assert list_runs(folder) == [run] and run.status().state == "queued"
            if works:
                environment = os.environ | {"BEFORE_AFTER_RUNS": str(folder)}
                command = [sys.executable, "-m", "finetuning", "runs"]
                done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
                assert done.returncode == 0 and "queued" in done.stdout
        finally:
            if os.geteuid() != os.getuid():
                os.seteuid(os.getuid())
            if not works:
                folder.chmod(0o755)
                run.folder.chmod(0o755)


def test_a_token_is_neither_logged_nor_stored(tiny_recipe, tmp_path, monkeypatch):
    token = "not-a-real-token-0123456789"
    monkeypatch.setenv("HF_TOKEN", token)
    run = launch.submit(tiny_recipe(f"data.source=file:{token}.csv"), tmp_path)
    assert finish(run).state == "failed"
    assert "[hidden].csv" in run.status().error and "[hidden].csv" in run.log_tail()
    for name in ("status.json", "worker.log"):
        assert token not in (run.folder / name).read_text()
