"""python -m benchmarks.kill_runs: kills real runs at random moments, resumes them, and compares their ends.

Every run is a short one of SmolLM2 in float32, with dropout. Its worker, or of several processes (`--where here:2`)
any one of them, is killed with SIGKILL at a random moment between its start and the time at which an undisturbed
run ends; nothing of it may be left running then. The run is resumed, once, as one click in the page does. It has
recovered if it finishes. Prints how many did, and the largest differences to the undisturbed run.
A kept folder (`--folder`) is gone on with: runs that have finished in it count and are not made again.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import tempfile
import time
from pathlib import Path

import psutil

from eval.report.folder import load as load_report
from finetuning.processes import RUN_VARIABLE
from finetuning.recipe import Recipe, load_recipe
from finetuning.runs import launch
from finetuning.runs.folder import WORKING, Run, list_runs

SMALL = (
    "model.precision=float32",
    "strategy.dropout=0.05",
    "data.train_rows=16",
    "data.test_rows=4",
    "training.batch_size=2",
    "training.epochs=1.5",
    "evaluation.few_shot=0",
    "evaluation.forgetting=false",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--recipe", default="sentiment-smollm2-lora")
    parser.add_argument("--where", default="here", help="here, or here:N for N processes")
    parser.add_argument("--minutes", type=float, help="begin no more runs after this long")
    parser.add_argument("--folder", type=Path, help="keep the runs here; default: a folder that is removed")
    options = parser.parse_args()
    recipe = load_recipe(options.recipe, [*SMALL, f"where={options.where}"])
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        kill_runs(recipe, folder, options.runs, options.minutes)


def kill_runs(recipe: Recipe, folder: Path, runs: int, minutes: float | None = None) -> None:
    """Kill and resume `runs` runs of `recipe`, and print what became of them."""
    ends = time.monotonic() + 60 * minutes if minutes else float("inf")
    whole = next(iter(reversed(list_runs(folder / "undisturbed"))), None)
    if whole is None or whole.status().state != "finished":
        whole = launch.submit(recipe, folder / "undisturbed")
        _finish(whole)
    while len(_over(folder / "killed")) < runs and time.monotonic() < ends:
        run = launch.submit(recipe, folder / "killed")
        after_s = random.uniform(0, whole.status().seconds)
        killed = _kill_after(run, after_s)
        if not killed:
            launch.trash(run)  # it was quicker than the kill: not a run that was killed
            continue
        where = f"{run.status().state} at step {len(run.metrics()[0])} of {len(whole.metrics()[0])}"
        launch.resume(run)
        _finish(run)
        print(f"{run.id}: killed after {after_s:.1f} s, {where}; then {run.status().state}", flush=True)
    over = _over(folder / "killed")
    recovered = [run for run in over if run.status().state == "finished"]
    print(f"{len(recovered)} of {len(over)} killed runs recovered")
    if recovered:
        print(f"largest difference of a step's loss  {max(_loss_difference(run, whole) for run in recovered):.3g}")
        print(
            f"largest difference of a metric       {max(_metric_difference(run, whole) for run in recovered):.3g}"
        )


def _over(folder: Path) -> list[Run]:
    return [run for run in list_runs(folder) if run.status().state in {"finished", "failed"}]


def _finish(run: Run) -> None:
    for _ in launch.wait(run, poll_s=0.1):
        pass


def _kill_after(run: Run, after_s: float) -> bool:
    """Kill the worker `after_s` seconds from now; False if the run has ended before."""
    time.sleep(after_s)
    status = run.status()
    if status.state not in WORKING or status.pid is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(random.choice(_processes(run) or [status.pid]), signal.SIGKILL)
    _finish(run)
    ends = time.monotonic() + 60
    while _processes(run):
        assert time.monotonic() < ends, f"{run.id}: {_processes(run)} are left running"
        time.sleep(0.1)
    return run.status().state == "interrupted"


def _processes(run: Run) -> list[int]:
    """The numbers of all processes that carry the run's name in their environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(RUN_VARIABLE) == str(run.folder) and process.status() != "zombie":
                found.append(process.pid)
    return found


def _loss_difference(run: Run, whole: Run) -> float:
    """Over all steps; infinite where there are not the same ones."""
    mine, theirs = ({line["step"]: line["loss"] for line in each.metrics()[0]} for each in (run, whole))
    if mine.keys() != theirs.keys():
        return float("inf")
    return float(max(abs(mine[step] - theirs[step]) for step in mine))


def _metric_difference(run: Run, whole: Run) -> float:
    mine, theirs = (
        {metric.name: metric.tuned for metric in load_report(each.evaluation)[0].metrics} for each in (run, whole)
    )
    return max(abs(mine[name] - theirs[name]) for name in theirs)


if __name__ == "__main__":
    main()
