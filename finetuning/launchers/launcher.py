"""What a launcher is: the way to one kind of place where runs run, behind four verbs. Names in `where` become them.

The folder of the run stays the truth, wherever that is carried out: a launcher starts what writes into it, or
brings what was written elsewhere. It decides nothing about the run's state; the queue does (`runs.launch`).
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from plumbing.errors import RecipeError

if TYPE_CHECKING:
    from finetuning.recipe import Recipe

HERE = "here"
"""Where a run runs, if nobody says."""


class Begun(Protocol):
    """What a run's status says of what was started for it."""

    @property
    def pid(self) -> int | None:
        """Of the process that stands for it, on the machine that it runs on."""

    @property
    def pid_started(self) -> float | str | None:
        """What tells that process from a later one of the same number."""

    @property
    def job(self) -> str:
        """What its launcher knows it by."""


@dataclass(frozen=True)
class Job:
    """What was started; the same three as in `Begun`, which they are written to."""

    pid: int | None = None
    pid_started: float | str | None = None
    job: str = ""


class Launcher(Protocol):
    """One kind of place, with what a recipe's `where` says of it."""

    @property
    def takes_turns(self) -> bool:
        """Whether its runs wait for each other, one at a time: those of this machine do."""

    @property
    def processes(self) -> int:
        """How many carry out a run together, as far as that is known before it starts; else 1."""

    def require(self, recipe: Recipe) -> None:
        """Refuse a run that cannot be carried out there, before it is made.

        Raises:
            UserError: with what would do.
        """

    def start(self, folder: Path, log: Path) -> Job:
        """Start what carries out the run in `folder`; what it prints goes to `log`. It takes the run by itself.

        A job without a process of this machine may wait where it is: its run is queued until a worker takes it, is
        not started again meanwhile, and has failed if the job is gone before.

        Raises:
            OSError: that is impossible, with the reason.
        """

    def look(self, folder: Path, begun: Begun) -> bool:
        """Whether it is there still."""

    def cancel(self, folder: Path, begun: Begun) -> bool:
        """End it by force, with everything that it started; True once nothing of it is left.

        Called after the run was asked to stop and had its time for it, and to clear up after one that is gone.
        """

    def fetch(self, folder: Path, begun: Begun) -> None:
        """Bring what was written of the run elsewhere into `folder`; may take seconds, and raise OSError."""


@dataclass(frozen=True)
class Kind:
    """A kind of place, by what stands before the colon in `where`."""

    module: str
    """Where its `launcher(rest)` is, and its `places()`."""
    written: tuple[str, ...]
    """How it is written, for a person."""


KINDS: dict[str, Kind] = {
    HERE: Kind("finetuning.launchers.here", ("here", "here:N for N processes or GPUs of this machine")),
}
"""Every kind of place by its name. A module's `launcher(rest)` takes what follows the colon, "" for nothing, and
raises a ValueError where that is no such place; its `places()` gives those that there are, to choose from."""


def launcher_of(where: str) -> Launcher:
    """The launcher that a recipe's `where` names.

    Raises:
        ValueError: there is no such place, in a sentence.
    """
    name, _, rest = where.partition(":")
    if name not in KINDS:
        close = difflib.get_close_matches(name, KINDS, n=1)
        known = ", ".join(written for kind in KINDS.values() for written in kind.written)
        raise ValueError(
            f"there is no such place{f'; did you mean {close[0]}' if close else ''}; there are {known}"
        )
    make: Callable[[str], Launcher] = importlib.import_module(KINDS[name].module).launcher
    return make(rest)


def places() -> list[tuple[str, str]]:
    """(title, `where`) of the places that a run may be sent to from here, the usual one first. Loads nothing."""
    return [place for kind in KINDS.values() for place in importlib.import_module(kind.module).places()]


def require(recipe: Recipe) -> None:
    """Refuse a recipe that cannot be carried out where it says.

    Raises:
        UserError: with what would do.
    """
    try:
        launcher = launcher_of(recipe.where)
    except ValueError as error:
        raise RecipeError(f"where: {error}", got=recipe.where) from None
    launcher.require(recipe)
