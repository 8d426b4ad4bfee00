"""Carrying out a job, of whatever kind it is. A kind is added by its line in `KINDS`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from importlib import import_module

from finetuning.runs.folder import Run
from finetuning.runs.jobs import about, kind_of
from finetuning.runs.journal import Cancelled, Journal
from plumbing.errors import RunError

KINDS = {
    "evaluation": "finetuning.jobs.evaluation",
    "export": "finetuning.jobs.export",
    "verdict": "finetuning.jobs.verdict",
}
"""Kind → the module whose `carry_out(job, journal)` does it, and tells the journal often how far it is."""


def run_job(job: Run, should_stop: Callable[[], bool]) -> None:
    """Carry out `job` and leave it finished or cancelled.

    Args:
        job: a folder in state `queued` or `running`.
        should_stop: asked whenever the journal is told something.

    Raises:
        UserError: it cannot be done; the caller records it.
    """
    status = job.claim()
    limit = about(job).max_minutes
    journal = Journal(job, status, should_stop, max_minutes=limit, over=_takes_too_long)
    try:
        _carry_out(job, journal)
    except Cancelled:
        journal.write(state="cancelled", phase="", ended=time.time())
    except BaseException:
        with contextlib.suppress(RunError, OSError):  # a disk may be full
            journal.write()
        raise
    else:
        journal.write(state="finished", phase="", ended=time.time())


def _carry_out(job: Run, journal: Journal) -> None:
    module = KINDS.get(kind_of(job))
    if module is None:
        raise RunError("There is no such kind of job", got=kind_of(job), fix="Update this program.")
    journal.phase("Importing what it takes")
    import_module(module).carry_out(job, journal)


def _takes_too_long(minutes: float | None) -> RunError:
    return RunError(
        f"This takes longer than the {minutes or 0:g} minutes that this public page allows", fix="Use fewer rows."
    )
