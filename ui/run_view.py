"""How a run is drawn: its state, progress, loss and log. Reads the run's folder and nothing else."""

from __future__ import annotations

import time
from typing import Any

from data.errors import RunError, UserError
from finetuning.runs import ACTIVE, Run, Status, list_runs, open_run
from ui import charts
from ui.markup import Markup, counted, join, progress, tag
from ui.toast import toasts

LOG_CHARACTERS = 4000


def state_chip(state: str) -> Markup:
    return tag("span", state, class_=f"ba-state ba-state-{state}")


def state_line(run: Run, *, with_id: bool = True) -> Markup:
    """What the run is doing, with a bar while it is being worked on."""
    try:
        status = run.status()
    except RunError as error:
        return tag("div", state_chip("damaged"), " ", str(error), class_="ba-note")
    parts = [tag("div", state_chip(status.state), "  ", _doing(run, status, with_id), class_="ba-note")]
    if status.state == "queued":
        parts.append(progress(_queue_place(run), 0, 1))
    elif status.state in ACTIVE:
        unit = "steps" if status.state == "running" else ""
        what = counted(status.phase or "Working", status.done, status.total, unit)
        parts.append(progress(what, status.done, status.total))
    if status.error:
        parts.append(tag("div", tag("div", status.error, class_="ba-strong"), class_="ba-problems"))
    return join(parts)


def state_of(run: Run) -> str:
    """The run's state; a damaged run has failed."""
    try:
        return run.status().state
    except RunError:
        return "failed"


@toasts
def cancel(run_id: str | None) -> None:
    """Ask the run to stop after this step."""
    from finetuning.launch import cancel as cancel_run

    if run_id:
        cancel_run(open_run(run_id))


@toasts
def resume(run_id: str | None) -> None:
    """Let a run that ended early go on from its last checkpoint."""
    from finetuning.launch import resume as resume_run

    if run_id:
        resume_run(open_run(run_id))


def loss(run: Run) -> Markup:
    """The loss curve so far."""
    try:
        lines, _ = run.metrics()
        total = run.status().total if run.status().state == "running" else 0
    except (ValueError, RunError):
        return tag("div", "The metrics of this run cannot be read.", class_="ba-empty-chart")
    points = _points(lines, "loss")
    return charts.loss_curve(points, _points(lines, "eval_loss"), total=total if points else 0)


def log(run: Run) -> Markup:
    """The end of what the worker printed."""
    tail = run.log_tail(LOG_CHARACTERS).replace("\r", "\n").strip()
    return tag("pre", tail or "Nothing yet.", class_="ba-log")


def fingerprint(run: Run) -> str:
    """Changes whenever something that is drawn has changed."""
    names = ("status.json", "metrics.jsonl", "worker.log", "eval/report.json")
    sizes = []
    for name in names:
        try:
            found = (run.folder / name).stat()
        except OSError:
            continue
        sizes.append(f"{found.st_mtime_ns}.{found.st_size}")
    return f"{run.id} {' '.join(sizes)}"


def newest(task: str, *, active: bool) -> Run | None:
    """The newest run of `task`, or the one that is being worked on."""
    for run in list_runs():
        try:
            if run.recipe().task == task and (not active or run.status().state in ACTIVE):
                return run
        except UserError:
            continue
    return None


def minutes(status: Status) -> str:
    """How long the run took, or has been taking."""
    if status.started is None:
        return ""
    seconds = (status.ended or time.time()) - status.started
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"


def _doing(run: Run, status: Status, with_id: bool) -> str:
    said = [run.id] if with_id else []
    if status.state in ACTIVE and status.phase:
        said.append(status.phase)
    if status.state in ACTIVE and run.cancel_requested():
        said.append("cancelling after this step")
    if status.started:
        said.append(minutes(status))
    return " · ".join(said)


def _queue_place(run: Run) -> str:
    ahead = 0
    for other in list_runs():
        try:
            ahead += other.id != run.id and other.status().state in ACTIVE and other.id[-20:] < run.id[-20:]
        except RunError:
            continue
    return f"Queued: {ahead} run{'s' * (ahead != 1)} before this one" if ahead else "Queued: starts in a moment"


def _points(lines: list[dict[str, Any]], key: str) -> list[tuple[float, float]]:
    return [(float(line["step"]), float(line[key])) for line in lines if key in line and "step" in line]
