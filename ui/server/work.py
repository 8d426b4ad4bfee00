"""Comparisons that somebody waits for: one at a time, in a thread of its own, which ends when nobody listens."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Generator
from typing import NamedTuple

from plumbing.errors import UserError
from ui.server.models_in_use import Line
from ui.server.visitors import Visitor

TIMED_S = 3.0
"""So long a part has to have gone on before it is said how long the rest of it takes."""
LINE = Line()
"""Whose comparison is next."""


class State(NamedTuple):
    """How far a comparison is."""

    what: str
    done: int = 0
    total: int = 0
    """0 where it is not known."""


class _AbandonedError(Exception):
    """Whoever asked for the comparison has gone, or stopped it."""


class Work:
    """One comparison, which tells how far it is."""

    working = threading.Lock()
    """Held by the thread: one comparison at a time, whatever became of the page that asked for the one before."""

    def __init__(self, job: Callable[[Work], None], visitor: Visitor, *, begins: str) -> None:
        """
        Args:
            job: what is done; it calls `tell` as often as it can, which is where it ends.
            visitor: for whom.
            begins: what is said at first.
        """
        self.was_stopped = False
        self.abandoned = threading.Event()
        """Set once nobody waits for it any more."""
        self._job, self._visitor, self._begins = job, visitor, begins
        self._news: queue.Queue[State | Exception | None] = queue.Queue()
        self._ends = math.inf

    def states(self) -> Generator[State, None, None]:
        """How far it is until it is done or stopped; raises what the job raised."""
        threading.Thread(target=self._work, name="comparison", daemon=True).start()
        yield State(self._begins)
        try:
            while (news := self._news.get()) is not None:
                if isinstance(news, Exception):
                    raise news
                yield news
        finally:
            self.abandoned.set()

    def in_turn(self) -> Generator[State, None, None]:
        """The same, after those of earlier visitors."""
        limits = self._visitor.limits
        with LINE.place(limits.evaluations_waiting if limits else None) as place:
            for ahead in LINE.wait(place, self.abandoned):
                if ahead:
                    yield State(f"Waiting: {ahead} evaluation{'s' * (ahead != 1)} before yours")
            if self.abandoned.is_set():
                return
            for state in self.states():
                place.seen = time.monotonic()
                yield state

    def tell(self, what: str, done: int, total: int) -> None:
        """Say how far the job is; called by it."""
        if self.abandoned.is_set():
            raise _AbandonedError
        if time.monotonic() > self._ends:
            raise UserError("This evaluation takes longer than this public page allows", fix="Use fewer rows.")
        self._news.put(State(what, done, total))

    def stop(self) -> None:
        """End it: at once for who listens, and at the job's next step for this machine."""
        self.was_stopped = True
        self.abandoned.set()
        self._news.put(None)

    def _work(self) -> None:
        try:
            with self.working:
                if limits := self._visitor.limits:
                    self._ends = time.monotonic() + 60 * limits.evaluation_minutes
                self._job(self)
        except Exception as error:
            self._news.put(error)
        else:
            self._news.put(None)


class TimeLeft:
    """How long the part that is being worked on will still take, by how fast it has gone so far."""

    def __init__(self) -> None:
        self._what = ""
        self._begun = (0.0, 0)

    def said(self, what: str, done: int, total: int, now: float) -> str:
        """` · about 40 s left`, or nothing while that is not known.

        Args:
            what: is being done; of another thing nothing is known yet.
            done: of it.
            total: of it; 0 where it is not known.
            now: in seconds, from any start.
        """
        if what != self._what or done < self._begun[1]:
            self._what, self._begun = what, (now, done)
        begun, first = self._begun
        if total <= done or done <= first or now - begun < TIMED_S:
            return ""
        left = (total - done) * (now - begun) / (done - first)
        return f" · about {left:.0f} s left" if left < 90 else f" · about {left / 60:.0f} min left"
