"""The states of a run, the arrows between them, and what `status.json` holds. Touches no file.

| from | to | who, and when |
|---|---|---|
| queued | running | launcher or worker: the worker takes the run |
| queued | cancelled | launcher: cancel was asked before it began |
| queued | failed | launcher: its worker cannot be started, or was lost elsewhere before it began |
| running | evaluating | worker: the adapter is whole |
| running | finished | worker: what was tuned is whole, and the recipe asks for no evaluation |
| evaluating | finished | worker: the report is whole |
| finished | queued | launcher: it was not evaluated, and is to be |
| running, evaluating | cancelled | worker: it was asked to stop; launcher: it was, and had to be ended by force |
| running, evaluating | failed | worker: an error, with the sentence in `error` |
| running, evaluating | interrupted | launcher: the worker's process is gone |
| cancelled, failed, interrupted | queued | launcher: it is to go on from its last whole checkpoint |

There is no other: `check_arrow` refuses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from plumbing.doors import Door
from plumbing.errors import RunError

State = Literal["queued", "running", "evaluating", "finished", "cancelled", "failed", "interrupted"]
WORKING: frozenset[str] = frozenset({"running", "evaluating"})
"""A worker is at it."""
ACTIVE: frozenset[str] = WORKING | {"queued"}
RESUMABLE: frozenset[str] = frozenset({"cancelled", "failed", "interrupted"})
ARROWS: Mapping[str, frozenset[str]] = {
    "queued": frozenset({"running", "cancelled", "failed"}),
    "running": frozenset({"evaluating", "finished", "cancelled", "failed", "interrupted"}),
    "evaluating": frozenset({"finished", "cancelled", "failed", "interrupted"}),
    "finished": frozenset({"queued"}),
    "cancelled": frozenset({"queued"}),
    "failed": frozenset({"queued"}),
    "interrupted": frozenset({"queued"}),
}

Time = Annotated[float, Field(ge=0, le=253_402_214_400)]
"""Seconds since the epoch, until the year 9999. For a person to read: no decision rests on it, for clocks move."""


class Status(BaseModel):
    """What `status.json` holds."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    state: State = "queued"
    phase: str = ""
    """In a few words, what is being done: "loading the base model"."""
    pid: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    pid_started: float | str | None = None
    """What tells that process from a later one of the same number; see `processes.process_started`."""
    job: str = ""
    """What its launcher knows it by, where it is carried out elsewhere; it may still wait there."""
    created: Time
    started: Time | None = None
    """When the worker took the run, the last time it did."""
    ended: Time | None = None
    heartbeat: Time | None = None
    done: Annotated[int, Field(ge=0)] = 0
    """Steps trained, test rows evaluated, or whatever else the phase counts."""
    total: Annotated[int, Field(ge=0)] = 0
    left_s: Annotated[float, Field(ge=0)] | None = None
    """How long the rest of the phase takes, by how fast it has gone so far; None while that is not known."""
    seconds: Annotated[float, Field(ge=0)] = 0.0
    """How long workers have been at it, all attempts together, by a clock that does not move."""
    longest_step_s: Annotated[float, Field(ge=0)] = 0.0
    """The longest that this worker took between two moments at which it looked for a cancel, while training."""
    training_seconds: Annotated[float, Field(ge=0)] | None = None
    error: str | None = None
    """For `failed` and `interrupted`: the sentence a person reads."""
    door: Door = "command"
    """Where the run was submitted, or resumed last: hints in its errors are in that door's syntax."""
    facts: dict[str, str | int | float] = {}
    """Measured on the way: parameters, 4-bit share, memory, origin of the base."""


def check_arrow(before: Status, after: Status) -> None:
    """Refuse a change of state that is no arrow, and one by a process that is not the run's worker.

    Raises:
        RunError: the change is refused; nothing was written.
    """
    if before.state != after.state and after.state not in ARROWS[before.state]:
        raise RunError("A run's state cannot change like this", got=f"{before.state} → {after.state}")
    if before.state in WORKING and before.pid != after.pid:
        raise RunError("Another process is working on this run", got=f"process {before.pid}, not {after.pid}")
