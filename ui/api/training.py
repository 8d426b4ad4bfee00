"""What a training takes, starting one, how far it is, and ending it."""

from __future__ import annotations

from typing import Any

import gradio as gr

from eval.report.headline import headline
from finetuning.runs.folder import Run, is_job_id
from finetuning.runs.jobs import about
from plumbing.errors import RunError, UserError
from ui.api.recipes import asked_for, kept, source_for
from ui.drawing.reports import report_of
from ui.server.choices import of_run
from ui.server.visitors import Visitor, visitor_of
from ui.tabs.run_view import queue_place

NEWEST = "last"
"""Stands for the caller's newest run."""


def estimate(
    request: gr.Request,
    recipe: str = "",
    source: str = "",
    file: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """What a training would take on this machine: parameters, memory and time. Nothing is started.

    Args:
        recipe: one of list_models, by its name; empty for what suits the file.
        source: rows in place of the recipe's: corpus:NAME, hub:OWNER/NAME or, on a page of your own, file:PATH.
        file: an upload in place of a source, by handle_file of gradio_client.
        settings: changes to the recipe by dotted names, such as training.epochs, strategy.rank, data.test_rows.

    Returns:
        the recipe, its rows, what there is to know of them, and the estimate, also as a sentence.
    """
    visitor = visitor_of(request)
    made, opened = asked_for(visitor, recipe, source_for(visitor, source, file), settings)
    from finetuning.estimates.estimate import estimate as estimated
    from finetuning.preparation import how_read, sampled

    rows = sampled(opened, made)
    found = estimated(made, splits=rows.splits, task=opened.task)
    return {
        "recipe": made.name,
        "title": made.title,
        "base": made.model.base,
        "rows": {name: len(split) for name, split in rows.splits.items()},
        "notes": [visitor.shown(note) for note in [*opened.notes, *how_read(opened)]],
        "trainable": found.trainable,
        "total": found.total,
        "memory_mb": round(found.memory_mb),
        "seconds": round(found.seconds),
        "sentence": found.sentence(),
    }


def start_run(
    request: gr.Request,
    recipe: str = "",
    source: str = "",
    file: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Train, and then compare base with tuned: the run goes on whether or not anybody waits for it.

    Args:
        recipe: one of list_models, by its name; empty for what suits the file.
        source: rows in place of the recipe's: corpus:NAME, hub:OWNER/NAME or, on a page of your own, file:PATH.
        file: an upload in place of a source, by handle_file of gradio_client.
        settings: changes to the recipe by dotted names, such as training.epochs, strategy.rank, data.test_rows.

    Returns:
        the run, as run_status says it.
    """
    visitor = visitor_of(request)
    require_known(visitor, request)
    made, opened = asked_for(visitor, recipe, source_for(visitor, source, file), settings)
    with visitor.starting():
        made = kept(made, visitor)
        run = visitor.started(made) or visitor.submit(made, opened)
    return _told(run, visitor)


def run_status(request: gr.Request, run: str = NEWEST) -> dict[str, Any]:
    """How far a run of yours is; once it has finished, the verdict and the name of its model.

    Args:
        run: its id, as start_run gave it; last for your newest. That of an evaluation will do as well.

    Returns:
        state, what is being done, done of total, seconds, loss, error, and the verdict.
    """
    visitor = visitor_of(request)
    return _told(_run(run, visitor), visitor)


def cancel_run(request: gr.Request, run: str) -> dict[str, Any]:
    """End a run of yours after its step; what it has learned is kept, and the page can let it go on.

    Args:
        run: its id, as start_run gave it; last for your newest.

    Returns:
        the run, as run_status says it.
    """
    from finetuning.runs.launch import cancel

    visitor = visitor_of(request)
    found = _run(run, visitor)
    cancel(found)
    return _told(found, visitor)


def _run(name: str, visitor: Visitor) -> Run:
    if name != NEWEST:
        return visitor.job(name) if is_job_id(name) else visitor.run(name)
    newest = next(iter(visitor.runs()), None)
    if newest is None:
        raise RunError("You have no run yet", fix="Start one with start_run.")
    return newest


def _told(run: Run, visitor: Visitor) -> dict[str, Any]:
    """A run as its folder has it now."""
    status = run.status()
    lines, _ = run.metrics()
    told: dict[str, Any] = {
        "run": run.id,
        "title": about(run).title if run.is_job else run.recipe().title,
        "state": status.state,
        "doing": queue_place(run) if status.state == "queued" else status.phase,
        "done": status.done,
        "total": status.total,
        "seconds": round(status.seconds),
        "loss": lines[-1]["loss"] if lines else None,
        "cancelling": run.cancel_requested() and status.state != "cancelled",
        "error": visitor.shown(status.error) if status.error else None,
    }
    if (choice := of_run(run)) is not None:
        told["model"] = choice.key
    if (report := report_of(run.evaluation)) is not None:
        told["verdict"] = headline(report)
    return told


def require_known(visitor: Visitor, request: gr.Request) -> None:
    """Refuse to start what nobody could find again.

    Raises:
        UserError: a stranger over MCP, who has no session, and sends no cookie.
    """
    if visitor.is_stranger and not (visitor.has_cookie or request.session_hash or request.username):
        raise UserError(
            "This public page does not know who you are, so nobody could ask for your run",
            fix="Send the cookie that docs/api.md describes.",
        )
