"""A run is a folder: its files and their formats, its states, reading and writing them. Starts nothing.

    recipe.yaml      the resolved recipe, written once by the launcher
    status.json      state, process, step, error; replaced atomically by the worker
    metrics.jsonl    a line a logged step
    worker.log       what the worker printed
    checkpoints/     a checkpoint counts once its DONE file, written last, is there
    adapter/         the tuned adapter, present only when it is whole
    eval/            report.json, report.md, rows.jsonl
    cancel           its presence asks the worker to stop after the step

States:  queued → running → evaluating → finished;  from any of the first three also cancelled, failed or
interrupted, and from these back to queued: it goes on from its last whole checkpoint. Nothing about a run is kept
anywhere else.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import psutil
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from data.errors import RunError
from data.writing import write_atomically
from finetuning.recipe import Recipe, parse_recipe

State = Literal["queued", "running", "evaluating", "finished", "cancelled", "failed", "interrupted"]
ACTIVE: frozenset[str] = frozenset({"queued", "running", "evaluating"})
RESUMABLE: frozenset[str] = frozenset({"cancelled", "failed", "interrupted"})
_ID = re.compile(r"^[a-z0-9][a-z0-9-]{1,63}-\d{8}-\d{6}-[0-9a-f]{4}$")


class Status(BaseModel):
    """What `status.json` holds."""

    model_config = ConfigDict(extra="forbid")

    state: State = "queued"
    phase: str = ""
    """In a few words, what is being done: "loading the base model"."""
    pid: int | None = None
    pid_started: float | None = None
    """Start time of that process, seconds since the epoch: a pid alone may have been given to another."""
    created: float
    """Seconds since the epoch, like every time here."""
    started: float | None = None
    ended: float | None = None
    heartbeat: float | None = None
    done: int = 0
    """Steps trained, or test rows evaluated."""
    total: int = 0
    training_seconds: float | None = None
    error: str | None = None
    """For `failed`: the sentence a person reads."""
    facts: dict[str, Any] = {}
    """Measured on the way: parameters, 4-bit share, memory, origin of the base."""


class Run:
    """One run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def adapter(self) -> Path:
        return self.folder / "adapter"

    @property
    def evaluation(self) -> Path:
        return self.folder / "eval"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def log_file(self) -> Path:
        return self.folder / "worker.log"

    def recipe(self) -> Recipe:
        """The recipe this run was started with; a `RunError` if the file is damaged."""
        path = self.folder / "recipe.yaml"
        try:
            return parse_recipe(yaml.safe_load(path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise RunError(f"The recipe of run {self.id} cannot be read: {error}") from None

    def status(self) -> Status:
        """What the run's files say now; a `RunError` if the file is damaged."""
        path = self.folder / "status.json"
        try:
            return Status.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, ValidationError) as error:
            first = str(error).splitlines()[0]
            raise RunError(f"The status of run {self.id} cannot be read: {first}") from None

    def write_status(self, status: Status) -> None:
        """Replace `status.json` in one rename, so that no reader ever sees half of it."""
        write_atomically(self.folder / "status.json", status.model_dump_json(indent=2))

    def update(self, **changes: Any) -> Status:
        """Change some fields of the status and return the whole."""
        status = self.status().model_copy(update=changes)
        self.write_status(status)
        return status

    def metrics(self, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
        """The metric lines after byte `offset`, and the offset to go on from. A line still being written waits."""
        path = self.folder / "metrics.jsonl"
        try:
            with path.open("rb") as handle:
                handle.seek(offset)
                data = handle.read()
        except FileNotFoundError:
            return [], offset
        whole = data[: data.rfind(b"\n") + 1]
        return [json.loads(line) for line in whole.splitlines()], offset + len(whole)

    def append_metrics(self, values: dict[str, Any]) -> None:
        with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(values) + "\n")

    def checkpoint(self) -> Path | None:
        """The newest whole checkpoint; one that a crash tore has no DONE file and does not count."""
        whole = [folder for folder in self.checkpoints.glob("checkpoint-*") if (folder / "DONE").is_file()]
        return max(whole, key=lambda folder: int(folder.name.rpartition("-")[2]), default=None)

    def cut_metrics(self, step: int) -> dict[str, Any]:
        """Forget the metric lines after `step`, whose steps come again; returns the last one kept, if any."""
        lines = [line for line in self.metrics()[0] if line["step"] <= step]
        write_atomically(self.folder / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
        return lines[-1] if lines else {}

    def log_tail(self, characters: int = 4000) -> str:
        """The end of what the worker printed."""
        try:
            with self.log_file.open("rb") as handle:
                handle.seek(max(0, self.log_file.stat().st_size - characters))
                return handle.read().decode("utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def request_cancel(self) -> None:
        """Ask the worker to finish the step it is in, and stop."""
        (self.folder / "cancel").touch()

    def withdraw_cancel(self) -> None:
        """Take the request back, for a run that is to go on."""
        (self.folder / "cancel").unlink(missing_ok=True)

    def cancel_requested(self) -> bool:
        return (self.folder / "cancel").exists()

    def process_alive(self) -> bool:
        """Whether the worker that this run names is still that process."""
        status = self.status()
        return status.pid is not None and process_started(status.pid) == status.pid_started


def runs_folder() -> Path:
    """Where runs are kept: `$BEFORE_AFTER_RUNS`, else `runs/` in the working folder."""
    return Path(os.environ.get("BEFORE_AFTER_RUNS", "runs"))


def create_run(recipe: Recipe, folder: Path | None = None) -> Run:
    """Make the folder of a new run in state `queued`. It appears under its name only when it is whole."""
    folder = folder or runs_folder()
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    run_id = f"{recipe.name}-{stamp}-{secrets.token_hex(2)}"
    folder.mkdir(parents=True, exist_ok=True)
    making = folder / f".making-{run_id}"
    making.mkdir()
    try:
        (making / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
        Run(making).write_status(Status(created=time.time()))
        making.rename(folder / run_id)
    except OSError:
        shutil.rmtree(making, ignore_errors=True)
        raise
    return Run(folder / run_id)


def open_run(run_id: str, folder: Path | None = None) -> Run:
    """The run called `run_id`, or the run in the folder of that path.

    Raises:
        RunError: there is none; an id is never taken for a path that leads out of the runs folder.
    """
    folder = folder or runs_folder()
    if not _ID.match(run_id) or not (folder / run_id / "status.json").is_file():
        known = [run.id for run in list_runs(folder)][:5]
        fix = f"The newest are: {', '.join(known)}." if known else f"There are no runs in {folder} yet."
        raise RunError("There is no such run", got=run_id, fix=fix)
    return Run(folder / run_id)


def list_runs(folder: Path | None = None) -> list[Run]:
    """All runs, newest first."""
    folder = folder or runs_folder()
    if not folder.is_dir():
        return []
    ids = [entry.name for entry in os.scandir(folder) if _ID.match(entry.name)]
    return [Run(folder / run_id) for run_id in sorted(ids, key=lambda name: name[-20:], reverse=True)]


def finished_runs(folder: Path | None = None) -> Iterator[Run]:
    """Runs whose adapter can be used, newest first."""
    for run in list_runs(folder):
        if run.adapter.is_dir():
            yield run


def process_started(pid: int) -> float | None:
    """When process `pid` started, seconds since the epoch; None if there is none (or only its remains)."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return float(process.create_time())
    except psutil.Error:
        return None
