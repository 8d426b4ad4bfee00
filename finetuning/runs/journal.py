"""What a worker writes down while it works, and when it has to stop. Needs no torch, so it can speak at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from finetuning.processes import rank
from finetuning.runs.folder import Run, Status
from plumbing import doors
from plumbing.errors import RunError

TIMED_S = 3.0
"""So long a phase has to have gone on before it is said how long the rest of it takes."""
TAKE_LESS = "Start one that takes less, such as one with fewer rows or epochs."
"""To somebody who cannot give a run more time."""


class Cancelled(Exception):
    """The run was asked to stop."""


class TimeLeft:
    """How long the phase that is being worked on will still take, by how fast it has gone so far."""

    def __init__(self) -> None:
        self._what = ""
        self._begun = (0.0, 0)

    def seconds(self, what: str, done: int, total: int, now: float) -> float | None:
        """None while it is not known.

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
            return None
        return round((total - done) * (now - begun) / (done - first), 1)


class Journal:
    """Keeps the run's status while it is worked on; the only writer of `status.json` meanwhile.

    Of several processes that work on it, the first leads: the others write nothing, and are not asked to stop.

    Args:
        run: the run, taken by this process.
        status: its status.
        should_stop: asked after every step and batch.
        max_minutes: limit for all attempts together.
        over: gives the error for when that is reached; None for that of a run.
    """

    def __init__(
        self,
        run: Run,
        status: Status,
        should_stop: Callable[[], bool],
        *,
        max_minutes: float | None = None,
        over: Callable[[float | None], RunError] | None = None,
    ) -> None:
        self.run = run
        self.leads = rank() == 0
        self.status = status
        self.should_stop = should_stop
        self.max_minutes = max_minutes
        self._over = over or time_is_up
        self._left = TimeLeft()
        self._seconds_before = status.seconds
        self._began = time.monotonic()
        self._looked: float | None = None
        self._written = 0.0

    @property
    def seconds(self) -> float:
        """How long the run has been worked on, earlier attempts included, by a clock that does not move."""
        return self._seconds_before + time.monotonic() - self._began

    def write(self, **changes: Any) -> None:
        """Change the status and write it at once."""
        always = {"heartbeat": time.time(), "seconds": round(self.seconds, 3)}
        now = self.status.model_copy(update=changes | always)
        left = self._left.seconds(now.phase, now.done, now.total, time.monotonic())
        self.status = now.model_copy(update={"left_s": left})
        if self.leads:
            self.run.write_status(self.status)
        self._written = time.monotonic()

    def has_to_stop(self) -> bool:
        """Whether to end now, because someone asked or time is up; notes how far apart such looks are."""
        now = time.monotonic()
        if self._looked is not None:
            longest = max(self.status.longest_step_s, round(now - self._looked, 3))
            self.status = self.status.model_copy(update={"longest_step_s": longest})
        self._looked = now
        return self.leads and (self.should_stop() or self._time_is_up())

    def check(self) -> None:
        """End now if that is due.

        Raises:
            Cancelled: someone asked.
            RunError: the run has reached its limit.
        """
        if not self.has_to_stop():
            return
        if self.should_stop():
            raise Cancelled
        raise self._over(self.max_minutes)

    def phase(self, phase: str, *, total: int = 0) -> None:
        """Start a new phase, unless it is time to end."""
        self.check()
        self.write(phase=phase, done=0, total=total)
        self._looked = None

    def progress(self, done: int, total: int) -> None:
        """Note progress within the phase; written at most five times a second."""
        self.check()
        self.status = self.status.model_copy(update={"done": done, "total": total})
        if time.monotonic() - self._written > 0.2 or done == total:
            self.write()

    def tell(self, what: str, done: int, total: int) -> None:
        """Note progress of `what`, which becomes the phase."""
        if self.status.phase != what:
            self.phase(what, total=total)
        self.progress(done, total)

    def fact(self, **facts: Any) -> None:
        self.write(facts=self.status.facts | facts)

    def _time_is_up(self) -> bool:
        return self.max_minutes is not None and self.seconds >= 60 * self.max_minutes


def time_is_up(max_minutes: float | None) -> RunError:
    """The sentence for a run that has reached its limit."""
    if not doors.can_set("training.max_minutes"):
        return RunError(
            f"The run has reached its limit of {max_minutes or 0:g} minutes",
            fix=TAKE_LESS,
        )
    return RunError(
        f"The run has reached its limit, training.max_minutes = {max_minutes or 0:g}",
        fix="What it learned until its last checkpoint is kept; give it more time, or train fewer steps.",
    )
