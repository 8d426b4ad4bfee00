"""A model that is being opened, in a thread of its own, for as long as somebody waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeAlias

from models import libraries
from ui.drawing import text
from ui.drawing.markup import counted
from ui.server.two_models import Sides

if TYPE_CHECKING:
    from models.pair import Pair
    from models.resolved import Progress

Opened: TypeAlias = "Pair | Sides"
"""What was tuned and its base, or any two models."""

PATIENCE_S = 10.0
"""What is being fetched goes on for so long after the last who waited has left: mostly to ask for it again."""


@dataclass(frozen=True)
class Opening:
    """How far the opening of a model is."""

    what: str
    done: int
    total: int
    """0 where it is not known."""
    seconds: float = 0.0
    """How long it has taken so far."""
    usual_s: float | None = None
    """How long it took the last time; None where that is not known."""

    @property
    def said(self) -> str:
        """What is done, how much of it, and for how long: `Loading SmolLM2-135M … · 3 s, usually 5 s`."""
        usual = f", usually {self.usual_s:.0f} s" if self.usual_s else ""
        return f"{counted(self.what, self.done, self.total)} · {self.seconds:.0f} s{usual}"


class Wanted(Protocol):
    """What may be open: a `Choice`, or a `Two`."""

    @property
    def key(self) -> str: ...
    @property
    def base(self) -> str:
        """What is loaded, in words."""

    @property
    def models_held(self) -> int:
        """How many models it holds in memory."""

    def open(self, progress: Progress) -> Opened:
        """Load it, and tell `progress` of what has to be fetched."""


class GivenUpError(Exception):
    """Nobody waits for it any more."""


class OpeningWork:
    """One opening, which any number of visitors may wait for."""

    def __init__(
        self, wanted: Wanted, keep: Callable[[Wanted, OpeningWork], Opened], usual_s: float | None
    ) -> None:
        """
        Args:
            wanted: what is opened.
            keep: opens it in the thread; it calls `begin` before anything is loaded.
            usual_s: how long it took the last time; None where that is not known.
        """
        self.opened: Opened | None = None
        self.error: Exception | None = None
        self._wanted, self._keep, self._usual_s = wanted, keep, usual_s
        self._loading = Opening(f"Loading {short_name(wanted.base)} …", 0, 0)
        self._state = self._loading if libraries.are_ready() else Opening(text.IMPORTING, 0, 0)
        self._began = self._left = time.monotonic()
        self.was_fetched = False
        """Whether something had to come from elsewhere."""
        self._waiting = 0
        self._lock = threading.Lock()
        self._is_over = False
        self.thread = threading.Thread(target=self._work, name="open-pair", daemon=True)

    def join(self) -> bool:
        """Wait for it, too; False where it has ended or was given up."""
        with self._lock:
            if self._is_over:
                return False
            self._waiting += 1
        if not self.thread.ident:
            self.thread.start()
        return True

    def leave(self) -> None:
        """Wait no more."""
        with self._lock:
            self._waiting -= 1
            self._left = time.monotonic()

    @property
    def state(self) -> Opening:
        """How far it is now."""
        return replace(self._state, seconds=time.monotonic() - self._began, usual_s=self._usual_s)

    def begin(self) -> None:
        """The libraries are there, and it is this one's turn.

        Raises:
            GivenUpError: nobody waits any more, so nothing is loaded.
        """
        self._state = self._loading
        with self._lock:
            if not self._waiting:
                self._is_over = True
                raise GivenUpError

    def progress(self, what: str, done: int, total: int) -> None:
        """Take note of what is fetched.

        Raises:
            GivenUpError: nobody has waited for some time.
        """
        with self._lock:
            if not self._waiting and time.monotonic() - self._left > PATIENCE_S:
                self._is_over = True
                raise GivenUpError
        self.was_fetched = True
        # Once everything is here, what follows is loading.
        self._state = self._loading if total and done >= total else Opening(what, done, total)

    def _work(self) -> None:
        try:
            self.opened = self._keep(self._wanted, self)
        except Exception as error:
            self.error = error
        finally:
            with self._lock:
                self._is_over = True


def short_name(base: str) -> str:
    """`SmolLM2-135M` for `HuggingFaceTB/SmolLM2-135M-Instruct`."""
    return base.rstrip("/").rsplit("/", 1)[-1].removesuffix("-Instruct")
