"""How a run is drawn: its state, progress, loss and log. Reads the run's folder and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable

import gradio as gr

from finetuning.recipe import Recipe
from finetuning.runs.folder import ACTIVE, Run, Status, active_states
from finetuning.runs.launch import place_in_queue
from plumbing.errors import RunError, UserError
from ui.drawing.loss import loss_so_far
from ui.drawing.markup import Markup, counted, join, progress, tag
from ui.server.toast import toasts
from ui.server.visitors import Visitor, visitor_of

LOG_CHARACTERS = 4000


def state_chip(state: str) -> Markup:
    return tag("span", state, class_=f"ba-state ba-state-{state}")


def state_line(run: Run, visitor: Visitor, *, with_id: bool = True) -> Markup:
    """What the run is doing, with a bar while it is being worked on."""
    try:
        status = run.status()
    except RunError as error:
        return tag("div", state_chip("damaged"), " ", visitor.shown(str(error)), class_="ba-note")
    parts = [tag("div", state_chip(status.state), "  ", _doing(run, status, with_id), class_="ba-note")]
    if status.state == "queued":
        parts.append(progress(queue_place(run), 0, 1))
    elif status.state in ACTIVE:
        unit = "steps" if status.phase == "Fine-tuning" else ""
        what = counted(status.phase or "Working", status.done, status.total, unit)
        parts.append(progress(what + time_left(status), status.done, status.total))
    if (amiss := status.facts.get("loss")) and status.state != "finished":  # then the report says it
        parts.append(tag("div", str(amiss), class_="ba-note"))
    if status.error:
        said = visitor.shown(status.error)
        parts.append(tag("div", tag("div", said, class_="ba-strong"), class_="ba-problems"))
    return join(parts)


@toasts
def cancel(run_id: str | None, request: gr.Request) -> None:
    """Ask the run to stop after this step."""
    from finetuning.runs.launch import cancel as cancel_run

    if run_id:
        cancel_run(visitor_of(request).run(run_id))


@toasts
def resume(run_id: str | None, request: gr.Request) -> None:
    """Let a run that ended early go on from its last checkpoint."""
    if run_id:
        visitor = visitor_of(request)
        visitor.resume(visitor.run(run_id))


def loss(run: Run) -> Markup:
    """The loss curve so far."""
    try:
        status = run.status()
    except RunError:
        return tag("div", "The metrics of this run cannot be read.", class_="ba-empty-chart")
    going_on = status.state == "running"
    total = status.total if going_on else 0
    try:
        recipe = run.recipe()
    except UserError:
        return loss_so_far(run.folder / "metrics.jsonl", total=total)
    # The step with the lowest validation loss, where that is the one that a run ends with.
    kept = ("best so far" if going_on else "kept") if recipe.training.keep == "best" else ""
    way, file = recipe.way, run.folder / "metrics.jsonl"
    return loss_so_far(file, total=total, kept=kept, more=way.curves, falls=way.loss_tells, unit=way.loss_unit)


def log(run: Run, visitor: Visitor) -> Markup:
    """The end of what the worker printed."""
    try:
        tail = run.log_tail(LOG_CHARACTERS).replace("\r", "\n").strip()
    except OSError as error:
        tail = f"The log cannot be read: {error.strerror}"
    return tag("pre", visitor.shown(tail) or "Nothing yet.", class_="ba-log")


def fingerprint(run: Run) -> str:
    """Changes whenever something that is drawn has changed."""
    names = ("status.json", "metrics.jsonl", "worker.log", "eval/report.json", "eval/verdict.json", "cancel")
    sizes = []
    for name in names:
        try:
            found = (run.folder / name).stat()
        except OSError:
            continue
        sizes.append(f"{found.st_mtime_ns}.{found.st_size}")
    return f"{run.id} {' '.join(sizes)}"


def newest(visitor: Visitor, belongs: Callable[[Recipe], bool], *, active: bool) -> Run | None:
    """The visitor's newest run whose recipe `belongs`, or the one of these that is being worked on."""
    for run in visitor.runs():
        try:
            if (not active or run.state() in ACTIVE) and belongs(run.recipe()):
                return run
        except UserError:
            continue
    return None


def id_box(elem_id: str) -> gr.Textbox:
    """Which run a page shows. The page holds it, so that it survives a restart of the app, which forgets states."""
    return gr.Textbox("", visible="hidden", show_label=False, container=False, elem_id=elem_id)


def time_left(status: Status) -> str:
    """` · about 40 s left`, or nothing while that is not known."""
    if (left := status.left_s) is None:
        return ""
    return f" · about {left:.0f} s left" if left < 90 else f" · about {left / 60:.0f} min left"


def minutes(status: Status) -> str:
    """How long the run took, or has been taking."""
    if status.started is None:
        return ""
    seconds = (status.ended or time.time()) - status.started
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"


def _doing(run: Run, status: Status, with_id: bool) -> str:
    said = [run.id] if with_id else []
    if status.state in ACTIVE and run.cancel_requested():
        said.append("stopping" if run.is_job else "cancelling after this step")
    if status.started:
        said.append(minutes(status))
    return " · ".join(said)


def queue_place(run: Run) -> str:
    """What a queued run waits for."""
    if ahead := place_in_queue(run):
        return f"Queued: {ahead} before this one"
    busy = any(state != "queued" for state in active_states())
    return "Queued: next, when what is going on ends" if busy else "Queued: starts in a moment"
