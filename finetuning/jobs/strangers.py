"""The one way for a stranger's job into the queue: one at a time each, and not more waiting than a page allows."""

from __future__ import annotations

from finetuning.limits import Limits, admitting, make_room
from finetuning.runs.folder import ACTIVE, Run
from finetuning.runs.jobs import Asked, list_jobs, submit
from plumbing.errors import RunError


def submit_within(kind: str, asked: Asked, limits: Limits, *, owner: str) -> Run:
    """Queue a stranger's job; makes room on the disk first.

    Raises:
        RunError: this owner has one that is not over, or the queue is full.
    """
    with admitting():
        active = [job for job in list_jobs() if job.state() in ACTIVE]
        if any(job.owner == owner for job in active):
            raise RunError(
                "What you asked for before is not over, and each visitor may have one such job at a time",
                fix="Wait for it, or stop it.",
            )
        if len(active) > limits.evaluations_waiting:
            raise RunError(
                f"The queue is full: {len(active)} jobs like this are being worked on or waiting",
                fix="Try again in some minutes.",
            )
        make_room(limits)
        return submit(kind, asked, owner=owner)
