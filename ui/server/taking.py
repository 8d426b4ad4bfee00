"""What a visitor takes home of a tuned model: in which forms it can be had, what was made, and asking for more.

What is made lies in the run's folder, or, of what ships, beside the runs, where it is everybody's.
"""

from __future__ import annotations

from pathlib import Path

from finetuning.export.forms import FORMS, WRITTEN, Options
from finetuning.export.made import Made, What, find_made, made_of
from finetuning.export.tuned import Tuned
from finetuning.jobs.export import Export, ask, asked_for, jobs_for, sweep
from finetuning.runs import launch
from finetuning.runs.folder import ACTIVE, Run, active_states
from finetuning.runs.jobs import asked_of
from plumbing.errors import RunError, UserError
from ui.drawing.take import ALONE, Offered, Taken
from ui.server.choices import Choice
from ui.server.visitors import Visitor


def offered(choice: Choice, visitor: Visitor, *, pushes: bool) -> list[Offered]:
    """Every form with why it cannot be had; `pushes` says whether this page pushes to the Hub at all."""
    try:
        tuned = Tuned.of(choice.folder)
    except UserError as error:
        return [Offered(name, visitor.shown(str(error))) for name in WRITTEN]
    found = []
    for form in FORMS.values():
        if form.local or pushes:
            try:
                form.require(tuned, Options())
            except UserError as error:
                found.append(Offered(form.name, visitor.shown(str(error))))
            else:
                found.append(Offered(form.name))
    return found


def start(choice: Choice, visitor: Visitor, form: str, *, packing: str = "", check: bool = False) -> What:
    """Ask for an export, unless it is there or on its way.

    Args:
        choice: of which model.
        visitor: for whom.
        form: by its name.
        packing: of a GGUF file; empty for the usual, and `ALONE` for the adapter by itself.
        check: ask it test rows, too.

    Returns:
        What was asked for.

    Raises:
        UserError: it cannot be had, or is beyond the limits of this page.
    """
    asked = asked_for(Tuned.of(choice.folder), form, options(form, packing), check=check)
    ask(asked, visitor.limits, owner=visitor.owner)
    return asked.what


def options(form: str, packing: str) -> Options:
    """What was chosen of a form by one word; see `start`."""
    if packing == ALONE and form == "gguf":
        return Options(adapter_alone=True)
    return Options(packing=packing or Options.packing)


def again(choice: Choice, visitor: Visitor, job_id: str) -> None:
    """Ask for what a job was to make that did not end well."""
    asked = asked_of(_job(choice, job_id), Export).model_copy(update={"max_minutes": None})
    ask(asked, visitor.limits, owner=visitor.owner)


def cancel(choice: Choice, visitor: Visitor, job_id: str) -> None:
    """Stop an export.

    Raises:
        RunError: there is none, or another visitor has asked for it.
    """
    job = _job(choice, job_id)
    if not _may_cancel(job, visitor):
        raise RunError("Another visitor has asked for this", fix="Wait for it: it is for you as well.")
    launch.cancel(job)


def taken(choice: Choice, visitor: Visitor) -> list[Taken]:
    """What is made of a model and what is to be, the newest first, for this visitor; nothing that is damaged."""
    sweep()
    made = [_made(one, file, visitor) for one, file in made_of(choice.folder)]
    there = {each.what for each in made}
    waiting, seen = [], set[What]()
    for job in jobs_for(choice.folder):
        shown = _job_as_taken(job, visitor)
        # What was made stays in sight while it is made anew, and of several tries the last counts.
        if shown and shown.what not in seen and (shown.goes_on or shown.what not in there):
            seen.add(shown.what)
            waiting.append(shown)
    return [*waiting, *made]


def one_taken(choice: Choice, visitor: Visitor, what: What) -> Taken | None:
    """The same of one file: the job that is to make it, else what was made."""
    for job in jobs_for(choice.folder, what):
        if (shown := _job_as_taken(job, visitor)) and (shown.goes_on or find_made(choice.folder, what) is None):
            return shown
    found = find_made(choice.folder, what)
    return _made(*found, visitor) if found else None


def _job(choice: Choice, job_id: str) -> Run:
    """The job of that id, among those of this model."""
    for job in jobs_for(choice.folder):
        if job.id == job_id:
            return job
    raise RunError("There is no such export", got=job_id[:100])


def _may_cancel(job: Run, visitor: Visitor) -> bool:
    """Of what ships, everybody sees what is made of it; only who has asked for it stops it."""
    return not visitor.is_stranger or job.owner == visitor.owner


def _made(made: Made, file: Path, visitor: Visitor) -> Taken:
    return Taken(
        made.what,
        file=made.file,
        address=visitor.link(file),
        bytes=made.bytes,
        place="" if visitor.is_stranger else str(file),
        notes=[visitor.shown(line) for line in made.notes],
        check=visitor.shown(made.check),
    )


def _job_as_taken(job: Run, visitor: Visitor) -> Taken | None:
    """None of one that has made what it was to make, or is damaged."""
    try:
        status, what = job.status(), asked_of(job, Export).what
    except UserError:
        return None
    if status.state == "finished" or what.form not in WRITTEN:
        return None
    return Taken(
        what,
        status.state,
        job=job.id,
        phase=_place(job) if status.state == "queued" else status.phase or "Starting",
        done=status.done,
        total=status.total,
        error=visitor.shown(status.error or ""),
        may_cancel=_may_cancel(job, visitor),
    )


def _place(job: Run) -> str:
    if ahead := launch.place_in_queue(job):
        return f"Queued: {ahead} before this one"
    busy = any(state in ACTIVE and state != "queued" for state in active_states())
    return "Queued: next, when what is going on ends" if busy else "Queued: starts in a moment"
