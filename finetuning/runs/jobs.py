"""Jobs: what waits in the queue of runs and trains nothing, such as an evaluation.

A job is a folder among those of the runs, with the status, log, lock, owner and `cancel` of a run: so the queue, a
stop, a restart, the trash and the limits of a public page are the same for both. Its id begins with its kind, as
`evaluation.20260801-101530-0a1b`, and in place of a recipe it has

    job.json   what is to be done, written once: `Asked`, and what its kind adds

Jobs go before the runs that wait. What one makes lies in its own folder and counts once it is whole, so a job that
is asked to stop may be ended anywhere, and is, within a second or two. What each kind does is in `finetuning.jobs`.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from finetuning.runs import launch
from finetuning.runs.folder import Run, is_job_id, list_queue, make_folder, runs_folder
from plumbing.errors import RunError
from plumbing.reading import read_text

JOB_FILE = "job.json"
_MAX_BYTES = 2**20


class Asked(BaseModel):
    """What is to be done, as far as all kinds of job have it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    """What a person calls it."""
    max_minutes: Annotated[float, Field(gt=0)] | None = None
    """Longer it may not take; None for as long as it takes."""


class _OfAnyKind(Asked):
    model_config = ConfigDict(extra="ignore", frozen=True)


OfKind = TypeVar("OfKind", bound=Asked)


def submit(kind: str, asked: Asked, folder: Path | None = None, *, owner: str = "") -> Run:
    """Make a job and start it, or leave it queued behind what is being worked on.

    Raises:
        RunError: the runs folder cannot be written to, or there is no space left.
    """
    job = make_folder(f"{kind}.", JOB_FILE, asked.model_dump_json(indent=2), folder, owner=owner)
    launch.reconcile(folder)
    return job


def kind_of(job: Run) -> str:
    """The kind of a job."""
    return job.id.partition(".")[0]


def asked_of(job: Run, kind: type[OfKind]) -> OfKind:
    """What is to be done; a `RunError` if the file is damaged."""
    try:
        return kind.model_validate_json(read_text(job.folder / JOB_FILE, limit=_MAX_BYTES))
    except (OSError, ValidationError, UnicodeDecodeError):
        raise RunError(f"What the job {job.id} is to do cannot be read", fix="Ask for it again.") from None


def about(job: Run) -> Asked:
    """What all kinds of job have; errors as of `asked_of`."""
    return asked_of(job, _OfAnyKind)


def open_job(job_id: str, folder: Path | None = None, *, owner: str | None = None) -> Run:
    """The job called `job_id`; with `owner` given, only if it is theirs.

    Raises:
        RunError: there is none; an id is never taken for a path that leads out of the runs folder.
    """
    job = Run((folder or runs_folder()) / job_id) if is_job_id(job_id) else None
    if job is None or not job.folder.is_dir() or (owner is not None and job.owner != owner):
        raise RunError("There is no such job", got=job_id)
    return job


def list_jobs(
    kinds: Collection[str] | None = None, folder: Path | None = None, *, owner: str | None = None
) -> list[Run]:
    """The jobs, of these kinds or of any, or those of `owner`, newest first."""
    jobs = (run for run in list_queue(folder, owner=owner) if run.is_job)
    return [job for job in jobs if kinds is None or kind_of(job) in kinds]
