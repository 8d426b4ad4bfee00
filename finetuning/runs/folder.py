"""A run is a folder: its files and their formats, reading and writing them. Starts nothing.

    recipe.yaml      the resolved recipe, written once by the launcher; of a job job.json, see `jobs`
    owner            whose run it is, written once; absent where a run is nobody's in particular
    called           what a person has named it, if anybody has
    submitted.json   hashes of the files that its rows come from
    began.json       the settings, rows and base weights of its first attempt; see `beginning`
    trained-rows.json  salted keys of the rows it trains on; never leaves the folder, see `trained_rows`
    continues.json   the adapter that it went on with, if it did
    status.json      state, process, step, error; replaced atomically by the worker
    metrics.jsonl    a line a trained step, and one each time that the validation loss was measured
    worker.log       what the worker printed
    checkpoints/     a checkpoint counts once its DONE file, written last, is there; best-STEP is no checkpoint, but
                     the weights of the step whose validation loss is the lowest so far
    adapter/         the tuned adapter, or model/, a whole tuned model; present only when it is whole
    eval/            report.json, report.md, rows.jsonl
    cancel           its presence asks the worker to stop after the step; holds when that was
    .lock            locked by whoever writes the status

The states and the arrows between them are in `states`. Nothing about a run is kept anywhere else. Any of these
files may be damaged, missing, or something else altogether: reading one gives a value or a `RunError`.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from finetuning.processes import boot_id, process_started, worker_pid
from finetuning.recipe import Recipe, parse_recipe, read_yaml
from finetuning.runs.locks import locked, writing
from finetuning.runs.metrics import append_metrics, read_metrics, write_metrics
from finetuning.runs.states import ACTIVE, RESUMABLE, WORKING, State, Status, check_arrow
from plumbing import doors
from plumbing.errors import RecipeError, RunError
from plumbing.printable import one_line
from plumbing.reading import read_file, read_text
from plumbing.remembered import Remembered
from plumbing.writing import write_atomically

__all__ = ["ACTIVE", "RESUMABLE", "WORKING", "Run", "State", "Status", "create_run", "finished_runs", "list_runs"]
__all__ += ["list_queue", "make_folder", "open_run", "process_started", "runs_folder"]

_NUMBER = r"\d{8}-\d{6}-[0-9a-f]{4}"
_ID = re.compile(rf"[a-z0-9][a-z0-9-]{{1,63}}-{_NUMBER}")
_JOB_ID = re.compile(rf"[a-z]{{2,20}}\.{_NUMBER}")
"""A kind of job, and a dot, which no recipe's name holds."""
_CHECKPOINT = re.compile(r"checkpoint-(\d{1,9})")
_MAX_BYTES = 2**20
"""Of a recipe or a status; a larger file is damaged."""
MOST_NAMED = 80
"""Characters of a name that a person gives."""


@dataclass(frozen=True)
class Run:
    """One run folder."""

    folder: Path

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def number(self) -> str:
        """When it was made, in an order that all in one folder have."""
        return self.id[-20:]

    @property
    def is_job(self) -> bool:
        """Whether it waits in the queue of runs and trains nothing; see `jobs`."""
        return is_job_id(self.id)

    @property
    def tuned(self) -> Path:
        """What was tuned, once it is there: a whole model's folder, or an adapter's."""
        whole = self.tuned_as(whole=True)
        return whole if whole.is_dir() else self.tuned_as(whole=False)

    def tuned_as(self, *, whole: bool) -> Path:
        """Where a whole model is saved, or an adapter."""
        return self.folder / ("model" if whole else "adapter")

    @property
    def evaluation(self) -> Path:
        return self.folder / "eval"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def log_file(self) -> Path:
        return self.folder / "worker.log"

    @property
    def owner(self) -> str:
        """Whose run it is; "" where it is nobody's in particular. Read again only if the file changed."""
        return _owners(f"{self.folder}/owner")

    @property
    def called(self) -> str:
        """What a person has named it; "" where nobody has. Read again only if the file changed."""
        return _names(f"{self.folder}/called")

    def rename(self, name: str) -> None:
        """Call it so; an empty name takes back what it was called.

        Raises:
            RunError: the folder cannot be written to.
        """
        said = one_line(name.strip(), longest=MOST_NAMED)
        with writing(self.folder):
            if said:
                write_atomically(self.folder / "called", said)
            else:
                (self.folder / "called").unlink(missing_ok=True)

    def recipe(self) -> Recipe:
        """The recipe this run was started with; a `RunError` if the file is damaged. Read again if it changed."""
        try:
            return _recipes(f"{self.folder}/recipe.yaml")
        except (OSError, ValueError, RecipeError) as error:
            raise self._damaged("recipe", error) from None

    def replace_recipe(self, recipe: Recipe) -> None:
        """Write another recipe, for a run that no process works on."""
        write_atomically(self.folder / "recipe.yaml", recipe.to_yaml())

    def status(self) -> Status:
        """What the run's files say now; a `RunError` if the file is damaged."""
        try:
            return Status.model_validate_json(read_text(self.folder / "status.json", limit=_MAX_BYTES))
        except (OSError, ValueError) as error:
            raise self._damaged("status", error) from None

    def state(self) -> State | Literal["damaged"]:
        """The status's state; `damaged` where it cannot be read. A file that did not change is not read again."""
        return _states(f"{self.folder}/status.json")

    def _damaged(self, what: str, error: Exception) -> RunError:
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            why = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}".removeprefix(": ")
        else:
            why = (str(getattr(error, "strerror", None) or error) or type(error).__name__).splitlines()[0]
        return RunError(f"The {what} of run {self.id} cannot be read: {why[:300]}")

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Hold the lock of this run's status."""
        return locked(self.folder)

    def write_status(self, status: Status) -> None:
        """Replace `status.json` in one rename, so that no reader ever sees half of it.

        Raises:
            RunError: it is no arrow of `states`, or another process is working on the run.
        """
        with self.locked():
            self._replace_status(status)

    def update(self, **changes: Any) -> Status:
        """Change some fields of the status and return the whole; errors as for `write_status`."""
        with self.locked():
            status = Status.model_validate(self.status().model_dump() | changes)
            self._replace_status(status)
        return status

    def claim(self) -> Status:
        """Take the run for this process, or those that it is one of, and return the new status.

        Raises:
            RunError: another process has it, or it is not waiting for one.
        """
        me = worker_pid()
        with self.locked():
            status = self.status()
            mine = status.pid == me and status.pid_started == process_started(me)
            if status.state != "queued" and not (status.state == "running" and mine):
                raise RunError("This run is not waiting for a worker", got=f"{self.id}: {status.state}")
            taken = {"state": "running", "pid": me, "pid_started": process_started(me), "started": time.time()}
            taken |= {"longest_step_s": 0.0}
            status = Status.model_validate(status.model_dump() | taken)
            self._replace_status(status)
        return status

    def _replace_status(self, status: Status) -> None:
        """With the lock held."""
        try:
            before = self.status()
        except RunError:
            before = status  # none yet, or a damaged one, which this mends
        check_arrow(before, status)
        write_atomically(self.folder / "status.json", status.model_dump_json(indent=2))

    def metrics(self, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
        """The lines of trained steps after byte `offset`, and the offset to go on from; see `read_metrics`."""
        lines, end = read_metrics(self.folder / "metrics.jsonl", offset)
        return [line for line in lines if line.get("loss") is not None], end

    def evaluations(self) -> list[dict[str, Any]]:
        """The lines that hold a validation loss."""
        return [
            line for line in read_metrics(self.folder / "metrics.jsonl")[0] if line.get("eval_loss") is not None
        ]

    def append_metrics(self, values: dict[str, Any]) -> None:
        append_metrics(self.folder / "metrics.jsonl", values)

    def cut_metrics(self, step: int) -> dict[str, Any]:
        """Forget the metric lines after `step`, which come again; returns that of the last step kept, if any."""
        lines = [line for line in read_metrics(self.folder / "metrics.jsonl")[0] if line["step"] <= step]
        write_metrics(self.folder / "metrics.jsonl", lines)
        return next((line for line in reversed(lines) if line.get("loss") is not None), {})

    def checkpoint(self) -> Path | None:
        """The newest whole checkpoint; one that a crash tore has no DONE file and does not count."""
        whole = [folder for folder in self._checkpoint_folders() if (folder / "DONE").is_file()]
        return max(whole, key=checkpoint_step, default=None)

    def remove_torn_checkpoints(self) -> None:
        """Remove what is left of checkpoints that were not finished, for a run that no process works on."""
        for folder in self._checkpoint_folders():
            if not (folder / "DONE").is_file():
                shutil.rmtree(folder, ignore_errors=True)

    def _checkpoint_folders(self) -> list[Path]:
        return [folder for folder in self.checkpoints.glob("checkpoint-*") if _CHECKPOINT.fullmatch(folder.name)]

    def log_tail(self, characters: int = 4000) -> str:
        """The end of what the worker printed."""
        try:
            offset = max(0, self.log_file.stat().st_size - characters)
            return read_file(self.log_file, limit=characters, offset=offset).decode("utf-8", errors="replace")
        except OSError:
            return ""

    def request_cancel(self) -> None:
        """Ask the worker to finish the step it is in, and stop."""
        if not self.cancel_requested():
            write_atomically(self.folder / "cancel", _stamp())

    def withdraw_cancel(self) -> None:
        """Take the request back, for a run that is to go on."""
        (self.folder / "cancel").unlink(missing_ok=True)

    def cancel_requested(self) -> bool:
        return (self.folder / "cancel").exists()

    def cancel_age_s(self) -> float:
        """Seconds since cancel was asked for, by a clock that does not move.

        A file that does not say when counts from now on, for anyone may ask with an empty one.
        """
        try:
            boot, _, at = read_text(self.folder / "cancel", limit=256).partition(" ")
            if boot == _stamp().partition(" ")[0] and (age := time.monotonic() - float(at)) >= 0:
                return age
        except (OSError, ValueError):
            pass
        write_atomically(self.folder / "cancel", _stamp())
        return 0.0

    def is_mine(self) -> bool:
        """Whether this process works on the run, or is one of several that do."""
        status, me = self.status(), worker_pid()
        return status.state in WORKING and status.pid == me and status.pid_started == process_started(me)

    def process_alive(self) -> bool:
        """Whether the worker that this run names is still that process."""
        status = self.status()
        return status.pid is not None and process_started(status.pid) == status.pid_started


def _read_state(path: str) -> State | Literal["damaged"]:
    try:
        return Run(Path(path).parent).status().state
    except RunError:
        return "damaged"


def _read_owner(path: str) -> str:
    try:
        return read_file(Path(path), limit=1024).decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    except OSError:
        return "?"  # damaged: nobody's who asks by name


def _read_name(path: str) -> str:
    try:
        return one_line(read_file(Path(path), limit=1024).decode("utf-8", errors="replace"), longest=MOST_NAMED)
    except OSError:
        return ""


def _read_recipe(path: str) -> Recipe:
    return parse_recipe(read_yaml(read_text(Path(path), limit=_MAX_BYTES)))


_states = Remembered(_read_state, most=2**15)
_owners = Remembered(_read_owner, most=2**15)
_names = Remembered(_read_name, most=2**12)
_recipes = Remembered(_read_recipe, most=2**9)


def checkpoint_step(checkpoint: Path) -> int:
    """The step after which `checkpoint` was saved."""
    return int(checkpoint.name.rpartition("-")[2])


def _stamp() -> str:
    """This boot, and the seconds that the monotonic clock shows, which all processes share."""
    return f"{boot_id()} {time.monotonic():.3f}"


def runs_folder() -> Path:
    """Where runs are kept: `$BEFORE_AFTER_RUNS`, else `runs/` in the working folder."""
    return Path(os.environ.get("BEFORE_AFTER_RUNS", "runs"))


def create_run(recipe: Recipe, folder: Path | None = None, *, owner: str = "") -> Run:
    """Make the folder of a new run in state `queued`. It appears under its name only when it is whole.

    Ids sort in the order in which runs were made, also within a second and where the clock was set back.

    Raises:
        RunError: the folder cannot be written to, or there is no space left.
    """
    return make_folder(f"{recipe.name}-", "recipe.yaml", recipe.to_yaml(), folder, owner=owner)


def make_folder(begins: str, file: str, content: str, folder: Path | None = None, *, owner: str = "") -> Run:
    """Make the folder of a new run or job in state `queued`, whole or not at all.

    Args:
        begins: what its id begins with.
        file: the name of the file that says what is to be done.
        content: of that file.
        folder: of all runs.
        owner: whose it is.

    Raises:
        RunError: as `create_run`.
    """
    folder = folder or runs_folder()
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            made_id = f"{begins}{_next_number(folder)}"
            making = folder / f".making-{made_id}"
            making.mkdir()
            try:
                (making / file).write_text(content, encoding="utf-8")
                if owner:
                    (making / "owner").write_text(owner, encoding="utf-8")
                Run(making).write_status(Status(created=time.time(), door=doors.current()))
                making.rename(folder / made_id)
            except OSError:
                shutil.rmtree(making, ignore_errors=True)
                raise
    return Run(folder / made_id)


def _next_number(folder: Path) -> str:
    """The end of a new id: the time, and four digits; after all that are there, whatever the clock says."""
    stamp, digits = datetime.now(UTC).strftime("%Y%m%d-%H%M%S"), secrets.randbelow(2**12)
    last = max((run.number for run in list_queue(folder)), default="")
    if stamp > last[:15]:
        return f"{stamp}-{digits:04x}"
    if (digits := int(last[16:], 16) + 1) < 2**16:
        return f"{last[:15]}-{digits:04x}"
    with contextlib.suppress(ValueError, OverflowError):  # not a date: somebody made that name
        later = datetime.strptime(last[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC) + timedelta(seconds=1)
        return f"{later.strftime('%Y%m%d-%H%M%S')}-0000"
    return f"{stamp}-{secrets.randbelow(2**16):04x}"


def open_run(run_id: str, folder: Path | None = None, *, owner: str | None = None) -> Run:
    """The run called `run_id`; with `owner` given, only if it is theirs.

    Raises:
        RunError: there is none; an id is never taken for a path that leads out of the runs folder.
    """
    folder = folder or runs_folder()
    run = Run(folder / run_id) if _ID.fullmatch(run_id) else None
    if run is None or not run.folder.is_dir() or (owner is not None and run.owner != owner):
        known = [run.id for run in list_runs(folder, owner=owner)][:5]
        fix = f"The newest are: {', '.join(known)}." if known else "There are no runs yet."
        raise RunError("There is no such run", got=run_id, fix=fix)
    return run


def list_runs(folder: Path | None = None, *, owner: str | None = None) -> list[Run]:
    """All runs, or those of `owner`, newest first."""
    return [run for run in list_queue(folder, owner=owner) if not run.is_job]


def list_queue(folder: Path | None = None, *, owner: str | None = None) -> list[Run]:
    """All runs and jobs, or those of `owner`, newest first: whatever waits, is worked on, or is over."""
    folder = folder or runs_folder()
    try:
        ids = [entry.name for entry in os.scandir(folder) if is_id(entry.name) and entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    runs = [Run(folder / run_id) for run_id in sorted(ids, key=lambda name: name[-20:], reverse=True)]
    return [run for run in runs if owner is None or run.owner == owner]


def is_id(name: str) -> bool:
    """Whether it can be the id of a run or a job; no path is one."""
    return _ID.fullmatch(name) is not None or is_job_id(name)


def is_job_id(name: str) -> bool:
    """Whether it can be the id of a job; no path is one."""
    return _JOB_ID.fullmatch(name) is not None


def finished_runs(folder: Path | None = None) -> Iterator[Run]:
    """Runs whose adapter can be used, newest first."""
    for run in list_runs(folder):
        if run.tuned.is_dir():
            yield run


def active_states() -> list[str]:
    """The states of everybody's runs and jobs that are waiting or being worked on."""
    return [state for run in list_queue() if (state := run.state()) in ACTIVE]
