"""A run on the command line: what it does until it has ended, and what came out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from plumbing.errors import RunError
from plumbing.terminal import console as console
from plumbing.terminal import progress as progress
from plumbing.terminal import show as show

if TYPE_CHECKING:
    from finetuning.runs.folder import Run

_LOSSES = (("loss", "loss"), ("reward", "reward"), ("eval_loss", "validation"), ("eval_metric", "metric"))
"""What of a metric line is shown while a run trains."""


def follow_to_its_end(run: Run) -> None:
    """The same as `follow`; Ctrl+C cancels the run."""
    from finetuning.runs import launch

    until_its_end(lambda: follow(run), cancel=lambda: launch.cancel(run))


def until_its_end(follow: Callable[[], None], *, cancel: Callable[[], object]) -> None:
    """Follow something that is worked on; Ctrl+C cancels it, and its end is waited for."""
    try:
        follow()
    except KeyboardInterrupt:
        cancel()
        console.print("Stopping after this step. Press Ctrl+C again to leave it to itself.")
        follow()


def follow(run: Run, said: str = "") -> None:
    """Show the run's progress until it has ended, and what there is to say of its rows before it trains on them."""
    from finetuning.runs.launch import wait
    from finetuning.runs.metrics import MetricsReader

    metrics, losses = MetricsReader(run.folder / "metrics.jsonl"), dict[str, str]()
    with progress() as bar:
        task = bar.add_task("Waiting", total=None)
        for _ in wait(run):
            status = run.status()
            if (about := said_of_rows(run)) != said:
                bar.console.print(about, highlight=False, markup=False)
                said = about
            what = status.phase or status.state.capitalize()
            if what == "Fine-tuning":
                for _anew, lines in metrics.new_lines():
                    for line in lines:
                        losses |= {name: f" · {said} {line[name]:.3f}" for name, said in _LOSSES if line.get(name)}
                what += "".join(losses.get(name, "") for name, _ in _LOSSES)
            show(bar, task, what, status.done, status.total)


def print_outcome(run: Run) -> None:
    """The report of a run that has finished.

    Raises:
        RunError: it has not.
    """
    status = run.status()
    if status.state != "finished" and status.facts.get("loss"):
        console.print(str(status.facts["loss"]), highlight=False, markup=False)
    if status.state == "failed":
        raise RunError(f"The run failed: {(status.error or '').rstrip('.')}", fix=f"The log is {run.log_file}.")
    if status.state != "finished":
        why = f": {status.error.rstrip('.')}" if status.error else ""
        raise RunError(f"The run was {status.state}{why}", fix=f"The log is {run.log_file}.")
    from eval.report.folder import load
    from finetuning.printing import print_report
    from models.kinds import answers

    if run.recipe().evaluation.skip:
        console.print(f"Trained, and not evaluated (evaluation.skip): python -m finetuning evaluate {run.id}")
        return
    report, _rows = load(run.evaluation)
    print_report(console, report)
    for fact in ("continues", "kept"):
        if said := status.facts.get(fact):
            console.print(str(said), highlight=False, markup=False)
    took = minutes(status.seconds)
    console.print(
        f"Training {status.training_seconds:.0f} s, in all {took} min. Report: {run.evaluation / 'report.md'}"
    )
    if answers(report.kind):
        console.print(f"Talk to it: python -m finetuning chat {run.id}")


def minutes(seconds: float) -> str:
    """`8:05`."""
    return f"{seconds // 60:.0f}:{seconds % 60:02.0f}"


def said_of_rows(run: Run) -> str:
    """What the worker has noted of the run's rows, if it has read them."""
    return str(run.status().facts.get("data", ""))
