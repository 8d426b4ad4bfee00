"""Starting, cancelling, re-attaching and deleting runs. One at a time on a device; more wait in their folders.

Jobs (`jobs`) wait in the same queue, and are always carried out on this machine. They take minutes, and somebody
looks at a page meanwhile: so they go before the runs that wait, in the order in which they were asked for.

Where a run runs, its launcher knows (`launchers`): it starts what carries the run out, says whether that is there
still, ends it by force and brings what it wrote elsewhere. What runs elsewhere waits for nobody here. Who may start
a run is decided under a lock of the operating system on the runs folder. The worker takes the run itself, under
the run's lock, and only one can: where a launcher dies between starting a worker and saying so, the next launcher
starts another, and whichever comes second finds the run taken and leaves.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from finetuning.launchers import here, launcher
from finetuning.launchers.here import ROOT as ROOT
from finetuning.launchers.here import worker_environment as worker_environment
from finetuning.launchers.launcher import Launcher
from finetuning.processes import end_by_force
from finetuning.recipe import Recipe, with_overrides
from finetuning.runs.beginning import Beginning, note_submitted, with_whole_paths
from finetuning.runs.folder import (
    ACTIVE,
    RESUMABLE,
    WORKING,
    Run,
    Status,
    create_run,
    is_id,
    list_queue,
    runs_folder,
)
from finetuning.runs.journal import TAKE_LESS
from finetuning.runs.locks import locked, writing
from plumbing import doors
from plumbing.errors import RunError, UserError
from plumbing.reading import read_text

CANCEL_S = 10.0
"""A worker that was asked to stop has this long after the end of its step; then it is ended by force."""
STOP_S = 1.0
"""A job has this long, wherever it is: nothing of it counts before it is whole."""
TRASH = ".trash"
TRASH_DAYS = 7.0
_NO_JOB: Mapping[str, Any] = {"pid": None, "pid_started": None, "job": ""}
"""Of a run that waits to be started."""


def submit(recipe: Recipe, folder: Path | None = None, *, owner: str = "") -> Run:
    """Make a run of `recipe` and start it, or leave it queued behind the one that is running.

    Files and folders that the recipe names are those that it names here, wherever the worker runs.

    Raises:
        RecipeError: it cannot be carried out where it says.
        RunError: the runs folder cannot be written to, or there is no space left.
    """
    launcher.require(recipe)
    recipe = with_whole_paths(recipe)
    run = create_run(recipe, folder, owner=owner)
    with writing(run.folder):
        note_submitted(run, recipe)
    reconcile(folder)
    return run


def place_in_queue(run: Run) -> int:
    """How many that are queued go before `run`; 0 where it is next, or not queued.

    A run that is to run elsewhere waits for none of this machine's, nor these for it.
    """
    if not _waits_its_turn(run):
        return 0
    others = list_queue(run.folder.parent)
    return sum(_turn(other) < _turn(run) and _waits_its_turn(other) for other in others)


def _turn(run: Run) -> tuple[bool, str]:
    """What the queue is sorted by."""
    return not run.is_job, run.number


def _waits_its_turn(run: Run) -> bool:
    return run.state() == "queued" and place_of(run).takes_turns


def cancel(run: Run) -> None:
    """Ask the run to stop; one that has not begun is cancelled at once, and one that has ended stays as it is.

    The worker ends after its step. Where it does not, `reconcile` ends it, whoever calls that.
    """
    with writing(run.folder), locked(run.folder.parent):
        status = run.status()
        if status.state in ACTIVE:
            run.request_cancel()
        if status.state == "queued":
            if status.job:  # it waits elsewhere
                place_of(run).cancel(run.folder, status)
            with contextlib.suppress(RunError):  # a worker has just taken it, and will see the request
                run.update(state="cancelled", ended=time.time())


def resume(run: Run, *, max_minutes: float | None = None, where: str | None = None) -> None:
    """Put a run that ended early back into the queue; it goes on from its last whole checkpoint.

    Args:
        run: the run.
        max_minutes: replaces the recipe's `training.max_minutes`.
        where: replaces the recipe's `where`.

    Raises:
        RecipeError: that is no limit, or no place that it can be carried out in.
        RunError: the run is still being worked on, has finished, has used up its `training.max_minutes`, or its
            settings are not those of its checkpoint. Of its rows and its base the worker says the same.
    """
    with writing(run.folder), locked(run.folder.parent):
        status = run.status()
        if status.state not in RESUMABLE:
            what = "has finished" if status.state == "finished" else "is not over yet"
            raise RunError(
                f"Only a run that ended early can go on, and this one {what}", got=f"{run.id}: {status.state}"
            )
        _change(run, {"training.max_minutes": max_minutes, "where": where})
        limit = run.recipe().training.max_minutes
        if limit is not None and status.seconds >= 60 * limit:
            raise RunError(
                "This run has used up the time it may take",
                got=f"{status.seconds / 60:.1f} of {limit:g} minutes",
                fix=(
                    f"Allow it more: python -m finetuning resume {run.id} --max-minutes {2 * limit:g}."
                    if doors.can_set("training.max_minutes")
                    else TAKE_LESS
                ),
            )
        if (beginning := Beginning.load(run)) is not None:
            beginning.check_settings(run, run.recipe())
        else:
            note_submitted(run, run.recipe())  # it begins anew: a file with a mistake may have been mended
        run.withdraw_cancel()
        again = {"state": "queued", "door": doors.current(), "phase": "", "error": None, "ended": None}
        run.update(**again, **_NO_JOB, done=0, total=0)
    reconcile(run.folder.parent)


def _change(run: Run, settings: dict[str, Any]) -> None:
    """Give the run's recipe those of `settings` that are not None, if its launcher takes it."""
    changes = {name: value for name, value in settings.items() if value is not None}
    recipe = with_overrides(run.recipe(), changes) if changes else run.recipe()
    launcher.require(recipe)
    if changes:
        run.replace_recipe(recipe)


def judge(run: Run) -> None:
    """Put a run that ended without an evaluation back into the queue, to be evaluated; it learns nothing more.

    Raises:
        RunError: it has not finished, has a report, or nothing that was tuned.
    """
    with writing(run.folder), locked(run.folder.parent):
        status = run.status()
        if status.state != "finished" or not run.tuned.is_dir() or (run.evaluation / "report.json").is_file():
            raise RunError(
                "Only a run that finished without an evaluation can be judged", got=f"{run.id}: {status.state}"
            )
        run.replace_recipe(with_overrides(run.recipe(), {"evaluation.skip": False}))
        run.withdraw_cancel()
        again = {"state": "queued", "door": doors.current(), "phase": "", "error": None, "ended": None}
        run.update(**again, **_NO_JOB, done=0, total=0)
    reconcile(run.folder.parent)


def trash(run: Run) -> None:
    """Move the run to the trash, from which `reconcile` removes it after a week.

    Raises:
        RunError: it is being worked on, or the folder cannot be written to.
    """
    folder = run.folder.parent
    with writing(folder), locked(folder):
        try:
            working = run.status().state in WORKING
        except RunError:
            working = False  # a damaged one can go
        if working:
            raise RunError("This run is being worked on", got=run.id, fix="Cancel it first.")
        end_by_force(run.folder)  # what a worker that is gone may have left on this machine
        place = folder / TRASH / run.id
        place.parent.mkdir(exist_ok=True)
        (run.folder / "trashed").write_text(f"{time.time()}", encoding="utf-8")
        if place.exists():
            shutil.rmtree(place)
        run.folder.rename(place)


def restore(run_id: str, folder: Path | None = None, *, owner: str | None = None) -> Run:
    """Take a run or job out of the trash again; with `owner` given, only one of theirs.

    Raises:
        RunError: it is not there, there is another in its place, or the folder cannot be written to.
    """
    folder = folder or runs_folder()
    thrown = Run(folder / TRASH / run_id)
    if not is_id(run_id) or not thrown.folder.is_dir() or (owner is not None and thrown.owner != owner):
        raise RunError("This is not in the trash any more", got=run_id)
    with writing(folder), locked(folder):
        back = Run(folder / run_id)
        if back.folder.exists():
            raise RunError("There is another in its place", got=run_id)
        thrown.folder.rename(back.folder)
        (back.folder / "trashed").unlink(missing_ok=True)
    return back


def empty_trash(folder: Path, older_than_days: float = TRASH_DAYS) -> None:
    """Remove for good what has been in the trash of `folder` for so long."""
    for place in (folder / TRASH).glob("*"):
        try:
            age_s = time.time() - float(read_text(place / "trashed", limit=64))
        except (OSError, ValueError):
            with contextlib.suppress(OSError):
                (place / "trashed").write_text(f"{time.time()}", encoding="utf-8")
            continue
        if age_s >= older_than_days * 86_400:
            shutil.rmtree(place, ignore_errors=True)


def reconcile(folder: Path | None = None) -> None:
    """Bring the folder's states in line with the processes that exist, and start the next queued run.

    Ends by force what was asked to stop and does not, and empties the trash. In a folder that cannot be written to
    nothing can be started, so nothing is done.
    """
    folder = (folder or runs_folder()).resolve()
    if not folder.is_dir():
        return
    here.collect()
    _fetch(folder)
    with contextlib.suppress(OSError), locked(folder):
        queued, busy = [], False
        for run in list_queue(folder):
            if run.state() not in ACTIVE:
                continue  # over, or damaged, which must not stop the others
            try:
                status = run.status()
                goes_on = (status.state in WORKING or bool(status.job)) and not _settle(run, status)
            except (RunError, OSError):
                continue
            busy = busy or (goes_on and place_of(run).takes_turns)
            if status.state == "queued" and not status.job:
                queued.append(run)
        for run in sorted(queued, key=_turn):
            takes_turns = place_of(run).takes_turns
            if not (busy and takes_turns):
                busy = (_start(run) and takes_turns) or busy
        empty_trash(folder)


def place_of(run: Run) -> Launcher:
    """The launcher of where a run runs; this machine's for a job, and for a run whose recipe does not say."""
    if run.is_job:
        return here.Here()
    try:
        return launcher.launcher_of(run.recipe().where)
    except (RunError, ValueError):
        return here.Here()


def _fetch(folder: Path) -> None:
    """Bring what was written elsewhere of runs that are carried out there. Nobody is kept waiting for it."""
    for run in list_queue(folder):
        if run.state() in ACTIVE and not (place := place_of(run)).takes_turns:
            with contextlib.suppress(RunError, OSError):
                place.fetch(run.folder, run.status())


def wait(run: Run, poll_s: float = 0.5) -> Iterator[None]:
    """Yield every `poll_s` seconds until the run has ended; starts it when its turn comes."""
    while run.status().state in ACTIVE:
        yield
        time.sleep(poll_s)
        reconcile(run.folder.parent)


def cancel_is_overdue(run: Run, status: Status, *, late_s: float = 0.0) -> bool:
    """Whether the worker of a run that was asked to stop has had its time for that, and `late_s` besides."""
    return run.cancel_age_s() > (STOP_S if run.is_job else status.longest_step_s + CANCEL_S) + late_s


def _settle(run: Run, status: Status) -> bool:
    """Write down the end of a run whose worker is gone or does not stop when asked; False if it goes on."""
    place = place_of(run)
    alive = place.look(run.folder, status)
    asked = run.cancel_requested()
    if alive and not (asked and cancel_is_overdue(run, status)):
        return False
    if not place.cancel(run.folder, status) and alive:
        return False
    now = run.status().state  # read again: it may have ended meanwhile
    if now not in ACTIVE:
        return True
    if asked:
        run.update(state="cancelled", phase="", ended=time.time())
        return True
    if now == "queued":
        run.update(state="failed", phase="", ended=time.time(), error="It was lost before it began. Resume it.")
        return True
    run.update(state="interrupted", phase="", ended=time.time(), error=_interrupted(run))
    return True


def _interrupted(run: Run) -> str:
    why = "The worker's process was ended from outside: by someone, by a restart, or by the system because memory "
    if run.is_job:
        return f"{why}ran out. Ask for it again."
    checkpoint = run.checkpoint()
    return (
        f"{why}ran out. Resume goes on from {checkpoint.name if checkpoint else 'the beginning'}; if memory was "
        f"short, start again with a lower {doors.named(doors.BATCH_SIZE)}."
    )


def _start(run: Run) -> bool:
    """Start what carries out a queued run; False if that is impossible, which fails the run."""
    try:
        run.update(phase="Starting")  # before anything is started: with a full disk, nothing is
    except (RunError, OSError):
        return True
    try:
        job = place_of(run).start(run.folder, run.log_file)
    except (OSError, UserError) as error:
        run.update(state="failed", phase="", ended=time.time(), error=f"The worker cannot be started: {error}")
        return False
    with contextlib.suppress(RunError, OSError):  # it has taken the run already
        begun = {"state": "running", "started": time.time()} if job.pid is not None else {}
        run.update(**asdict(job), **begun)
    return True
