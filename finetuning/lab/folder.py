"""A lab is a folder: its settings, which runs belong to it, and what was measured. Starts nothing.

    lab.yaml         its settings, written once
    plan.json        its cells with their recipes, written once, see `plan`
    limits.json      the limits of a public page that it was started on; absent on one's own machine
    owner            whose it is, as of a run
    status.json      state, process, what is being done; replaced atomically
    record.json      place → run, what was chosen, how many steps; replaced atomically
    measured/        a file for each option with each seed, once that was judged
    results.json     what came out, see `eval.lab.schema`; with report.html and report.md
    lab.log          what its process printed
    cancel           its presence asks it to stop

Labs lie beside the runs, in `labs/` of the runs folder. Any of these files may be damaged or missing: reading one
gives a value or a `RunError`.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from eval.lab.schema import LabResult
from finetuning.lab.lab import Lab, parse_lab
from finetuning.lab.measured import Measured
from finetuning.lab.plan import Plan
from finetuning.limits import Limits
from finetuning.overrides import read_yaml
from finetuning.processes import process_started
from finetuning.runs.folder import runs_folder
from finetuning.runs.locks import locked, writing
from plumbing.doors import Door
from plumbing.errors import RecipeError, RunError
from plumbing.reading import read_text
from plumbing.writing import write_atomically
from plumbing.yaml_text import to_yaml

LABS_FOLDER = "labs"
RESULTS_FILE, HTML_FILE, MARKDOWN_FILE = "results.json", "report.html", "report.md"
_ID = re.compile(r"[a-z0-9][a-z0-9-]{1,39}-\d{8}-\d{6}-[0-9a-f]{4}")
_MAX_BYTES = 2**24

_Model = TypeVar("_Model", bound=BaseModel)
State = Literal["waiting", "running", "finished", "cancelled", "failed", "interrupted"]
ACTIVE: frozenset[str] = frozenset({"waiting", "running"})
RESUMABLE: frozenset[str] = frozenset({"cancelled", "failed", "interrupted"})


class LabStatus(BaseModel):
    """What `status.json` holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    state: State = "waiting"
    phase: str = ""
    """In a few words, what is being done."""
    done: int = Field(default=0, ge=0)
    """Places of the plan that are done."""
    total: int = Field(default=0, ge=0)
    pid: int | None = None
    pid_started: float | str | None = None
    created: float = 0.0
    ended: float | None = None
    seconds: float = Field(default=0.0, ge=0)
    """How long it has been worked on, all attempts together."""
    error: str | None = None
    door: Door = "command"


class Tried(BaseModel):
    """How a trial did on the validation rows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: str
    value: float | None = None
    said: str = ""


class Record(BaseModel):
    """What `record.json` holds."""

    model_config = ConfigDict(extra="forbid")

    runs: dict[str, str] = Field(default_factory=dict)
    """Place of the plan → the run's id."""
    steps: dict[str, int] = Field(default_factory=dict)
    """Cell → how many steps fit into the budget's minutes."""
    tried: dict[str, list[Tried]] = Field(default_factory=dict)
    """Cell → its trials, once all have ended."""
    chosen: dict[str, int] = Field(default_factory=dict)
    """Cell → the place of the best in its trials."""
    failed: dict[str, str] = Field(default_factory=dict)
    """Cell → why it has no score, in a sentence."""
    files: dict[str, str | None] = Field(default_factory=dict)
    """File that rows come from → its SHA-256 when the lab began; None of what is no file."""


@dataclass(frozen=True)
class LabFolder:
    """One lab's folder."""

    folder: Path

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def runs(self) -> Path:
        """Where its runs are."""
        return self.folder.parents[1]

    @property
    def log_file(self) -> Path:
        return self.folder / "lab.log"

    @property
    def owner(self) -> str:
        """Whose it is; "" where it is nobody's in particular."""
        try:
            return read_text(self.folder / "owner", limit=1024)
        except FileNotFoundError:
            return ""
        except (OSError, ValueError):
            return "?"

    def lab(self) -> Lab:
        """Its settings."""
        try:
            return parse_lab(read_yaml(read_text(self.folder / "lab.yaml", limit=_MAX_BYTES)))
        except (OSError, ValueError, RecipeError) as error:
            raise self._damaged("settings", error) from None

    def plan(self) -> Plan:
        """What it does."""
        return self._read("plan.json", Plan)

    def limits(self) -> Limits | None:
        """The limits that it keeps to; None on one's own machine."""
        return self._read("limits.json", Limits) if (self.folder / "limits.json").exists() else None

    def status(self) -> LabStatus:
        """What it is doing."""
        return self._read("status.json", LabStatus)

    def state(self) -> State | Literal["damaged"]:
        """The status's state; `damaged` where it cannot be read."""
        try:
            return self.status().state
        except RunError:
            return "damaged"

    def record(self) -> Record:
        """Which runs belong to it, and what was chosen; empty before the first."""
        return self._read("record.json", Record) if (self.folder / "record.json").exists() else Record()

    def keep(self, record: Record) -> None:
        """Replace the record."""
        write_atomically(self.folder / "record.json", record.model_dump_json(indent=1))

    def measured(self, place: str) -> Measured | None:
        """What was measured at a place of the plan; None where nothing was yet."""
        path = self._measured_file(place)
        return self._read(str(path.relative_to(self.folder)), Measured) if path.exists() else None

    def keep_measured(self, place: str, measured: Measured) -> None:
        """Write down what was measured."""
        path = self._measured_file(place)
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, measured.model_dump_json())

    def _measured_file(self, place: str) -> Path:
        return self.folder / "measured" / f"{place.replace('/', '-')}.json"

    def results(self) -> LabResult | None:
        """What came out; None before it has ended."""
        return self._read(RESULTS_FILE, LabResult) if (self.folder / RESULTS_FILE).exists() else None

    def update(self, **changes: Any) -> LabStatus:
        """Change some fields of the status, and return the whole."""
        with locked(self.folder):
            status = LabStatus.model_validate(self.status().model_dump() | changes)
            write_atomically(self.folder / "status.json", status.model_dump_json(indent=1))
        return status

    def claim(self) -> LabStatus:
        """Take the lab for this process.

        Raises:
            RunError: another process has it, or it has ended.
        """
        me = os.getpid()
        with locked(self.folder):
            status = self.status()
            mine = status.pid == me and status.pid_started == process_started(me)
            if status.state != "waiting" and not (status.state == "running" and mine):
                raise RunError("This lab is not waiting for a process", got=f"{self.id}: {status.state}")
            taken = {"state": "running", "pid": me, "pid_started": process_started(me)}
            status = status.model_copy(update=taken)
            write_atomically(self.folder / "status.json", status.model_dump_json(indent=1))
        return status

    def put_back(self, door: Door) -> None:
        """Let a lab that ended early, or with options that failed, wait for a process again: only one can do so.

        Raises:
            RunError: it is being worked on, or has nothing left to do.
        """
        with locked(self.folder):
            status = self.status()
            if status.state not in RESUMABLE and not (status.state == "finished" and self.record().failed):
                what = "has finished" if status.state == "finished" else "is not over yet"
                raise RunError(
                    f"Only a lab that ended early can go on, and this one {what}", got=f"{self.id}: {status.state}"
                )
            self.withdraw_cancel()
            again = {"state": "waiting", "pid": None, "pid_started": None, "error": None, "ended": None}
            status = status.model_copy(update=again | {"door": door})
            write_atomically(self.folder / "status.json", status.model_dump_json(indent=1))

    def note_started(self, pid: int) -> None:
        """Write down that `pid` is its process, unless that has taken the lab already."""
        with locked(self.folder):
            status = self.status()
            if status.state == "waiting":
                taken = {"state": "running", "pid": pid, "pid_started": process_started(pid)}
                status = status.model_copy(update=taken)
                write_atomically(self.folder / "status.json", status.model_dump_json(indent=1))

    def process_alive(self) -> bool:
        """Whether the process that it names is still that one."""
        status = self.status()
        return status.pid is not None and process_started(status.pid) == status.pid_started

    def request_cancel(self) -> None:
        """Ask it to stop."""
        write_atomically(self.folder / "cancel", "")

    def withdraw_cancel(self) -> None:
        """Take the request back."""
        (self.folder / "cancel").unlink(missing_ok=True)

    def cancel_requested(self) -> bool:
        return (self.folder / "cancel").exists()

    def _read(self, name: str, kind: type[_Model]) -> _Model:
        try:
            return kind.model_validate_json(read_text(self.folder / name, limit=_MAX_BYTES))
        except (OSError, ValueError) as error:
            raise self._damaged(name, error) from None

    def _damaged(self, what: str, error: Exception) -> RunError:
        first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error).splitlines()[0]
        return RunError(f"The {what} of lab {self.id} cannot be read: {first[:300]}")


def labs_folder() -> Path:
    """Where labs are kept."""
    return runs_folder() / LABS_FOLDER


def create_lab(lab: Lab, plan: Plan, *, owner: str = "", limits: Limits | None = None, door: Door) -> LabFolder:
    """Make the folder of a new lab. It appears under its name only when it is whole.

    Raises:
        RunError: the folder cannot be written to, or there is no space left.
    """
    place = labs_folder()
    with writing(place):
        place.mkdir(parents=True, exist_ok=True)
        now = datetime.now(UTC)  # ids sort in the order in which labs were made, also within a second
        lab_id = f"{lab.name}-{now:%Y%m%d-%H%M%S}-{now.microsecond // 16:04x}"
        making = place / f".making-{lab_id}"
        making.mkdir()
        written = to_yaml(lab.model_dump(exclude_unset=True))
        (making / "lab.yaml").write_text(written, encoding="utf-8")
        (making / "plan.json").write_text(plan.model_dump_json(indent=1), encoding="utf-8")
        if owner:
            (making / "owner").write_text(owner, encoding="utf-8")
        if limits is not None:
            (making / "limits.json").write_text(limits.model_dump_json(), encoding="utf-8")
        status = LabStatus(created=time.time(), total=len(plan.places()), door=door)
        (making / "status.json").write_text(status.model_dump_json(indent=1), encoding="utf-8")
        making.rename(place / lab_id)
    return LabFolder(place / lab_id)


def open_lab(lab_id: str, *, owner: str | None = None) -> LabFolder:
    """The lab of that id; with `owner` given, only if it is theirs.

    Raises:
        RunError: there is none.
    """
    found = LabFolder(labs_folder() / lab_id) if _ID.fullmatch(lab_id) else None
    if found is None or not found.folder.is_dir() or (owner is not None and found.owner != owner):
        raise RunError("There is no such lab", got=lab_id[:100])
    return found


def list_labs(*, owner: str | None = None) -> list[LabFolder]:
    """All labs, or those of `owner`, newest first."""
    try:
        ids = [entry.name for entry in os.scandir(labs_folder()) if _ID.fullmatch(entry.name) and entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = [LabFolder(labs_folder() / name) for name in sorted(ids, key=lambda one: one[-20:], reverse=True)]
    return [lab for lab in found if owner is None or lab.owner == owner]


def newest_of(lab: Lab, plan: Plan, *, owner: str | None = None) -> LabFolder | None:
    """The newest lab with just these settings and recipes."""
    for found in list_labs(owner=owner):
        with contextlib.suppress(RunError):
            if found.lab() == lab and found.plan() == plan:
                return found
    return None
