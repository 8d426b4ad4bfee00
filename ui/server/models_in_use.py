"""The models that are open in memory, for all visitors together: opening takes seconds, so the newest stay open.

One visitor at a time is answered, in the order in which they asked; a lock lets one model be opened at a time. Each
browser session has a flag that stops whatever it has going.
"""

from __future__ import annotations

import functools
import statistics
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager

from finetuning.runs.folder import active_states
from models import libraries
from plumbing.errors import UserError
from ui.drawing import text
from ui.server.opening import Opened as Opened
from ui.server.opening import Opening as Opening
from ui.server.opening import OpeningWork, Wanted
from ui.server.opening import short_name as short_name
from ui.server.two_models import Sides

KEPT_OPEN = 2
"""One for each task: going back and forth between the tasks costs nothing."""
KEPT_WEIGHTS = 3
"""Models in memory, at most: an adapter's base is one, a whole model and its base are two."""
POLL_S = 0.2
GONE_S = 120.0
"""Whoever waits or is answered and gives no sign of life for so long has left the line."""
_ENDS_S = 5.0
"""What was stopped ends within a token, or a piece of a long message."""
_TIMED = 8
"""By so many answers it is said how long the next takes."""


class Place:
    """One visitor's place in the line."""

    def __init__(self) -> None:
        self.seen = time.monotonic()
        self.first: float | None = None
        """Since when it is this visitor's turn; None before."""


class Line:
    """Who is answered next: first come, first served."""

    def __init__(self) -> None:
        self.at_once = 1
        """So many are answered at a time."""
        self._changed = threading.Condition()
        self._places: deque[Place] = deque()
        self._took: deque[float] = deque(maxlen=_TIMED)

    def __len__(self) -> int:
        """How many wait behind those that are being answered."""
        return max(0, len(self._places) - self.at_once)

    @property
    def at_work(self) -> int:
        """How many are being answered."""
        return min(len(self._places), self.at_once)

    def is_free_within(self, seconds: float) -> bool:
        """Whether who comes now, or in so many seconds, is answered at once."""
        with self._changed:
            self._drop_gone()
            return self._changed.wait_for(lambda: len(self._places) < self.at_once, seconds)

    @contextmanager
    def place(self, longest: int | None = None) -> Iterator[Place]:
        """A place at the end of the line, left when the context is.

        Raises:
            UserError: `longest` are waiting already, for each that is answered at a time.
        """
        place = Place()
        with self._changed:
            self._drop_gone()
            if longest is not None and len(self._places) >= (longest + 1) * self.at_once:
                raise UserError(text.QUEUE_FULL, fix="Try again in a minute.")
            self._places.append(place)
        try:
            yield place
        finally:
            with self._changed:
                if place in self._places:
                    self._places.remove(place)
                if place.first is not None:
                    self._took.append(time.monotonic() - place.first)
                self._changed.notify_all()

    def wait(self, place: Place, stop: threading.Event) -> Iterator[int]:
        """Yields how many `place` waits for, every second, last of all 0; ends without that 0 once stopped."""
        while not stop.is_set():
            with self._changed:
                place.seen = time.monotonic()
                self._drop_gone()
                ahead = max(0, self._places.index(place) + 1 - self.at_once) if place in self._places else 0
                if ahead == 0:
                    place.first = place.seen
            yield ahead
            if ahead == 0:
                return
            with self._changed:
                self._changed.wait(1.0)

    def said_to_take(self, ahead: int) -> str:
        """` · about 20 s` until so many are done, by how long others took; nothing while that is not known."""
        took = list(self._took)
        return f" · about {max(1, round(ahead * statistics.median(took) / self.at_once))} s" if took else ""

    def _drop_gone(self) -> None:
        now = time.monotonic()
        self._places = deque(place for place in self._places if now - place.seen < GONE_S)


class ModelsInUse:
    """What is open, by the key of what was wanted; the one used last is at the end."""

    def __init__(self) -> None:
        self.line = Line()
        self._opening = threading.Lock()
        self._open: OrderedDict[str, Opened] = OrderedDict()
        self._stops: dict[str, list[threading.Event]] = {}
        self._being_opened: dict[str, OpeningWork] = {}
        self._usual_s: dict[str, float] = {}
        """How long each base took to open the last time."""
        self._counting = threading.Lock()
        self._ended = threading.Condition(self._counting)
        self._answering: Counter[str] = Counter()

    def opened(self, wanted: Wanted) -> Opened | None:
        """It, if it is open already."""
        opened = self._open.get(wanted.key)
        if opened is not None:
            self._open.move_to_end(wanted.key)
        return opened

    def newest_language_model(self) -> str | None:
        """The name of the base of the language model that was used last; None where none is open."""
        pairs = [opened for opened in reversed([*self._open.values()]) if not isinstance(opened, Sides)]
        return next((pair.base.name for pair in pairs if pair.kind == "causal"), None)

    def open(self, wanted: Wanted, stop: threading.Event) -> Iterator[Opening | Opened]:
        """Yields `Opening` until it is open, then what is; nothing more once `stop` is set.

        What nobody waits for any more is not begun, and soon no longer fetched. Once it is here it is loaded to the
        end, so that the next try finds it open.
        """
        opened = self.opened(wanted)
        if opened is not None:
            yield opened
            return
        work = self._opening_of(wanted)
        try:
            while work.thread.is_alive() and not stop.is_set():
                yield work.state
                work.thread.join(POLL_S)
        finally:
            work.leave()
        if stop.is_set():
            return
        if work.error is not None:
            raise work.error
        assert work.opened is not None
        yield work.opened

    def _opening_of(self, wanted: Wanted) -> OpeningWork:
        """The opening of it that is going on, or a new one; who asks waits for it from now on."""
        with self._counting:
            work = self._being_opened.get(wanted.key)
            if work is None or not work.join():
                work = self._being_opened[wanted.key] = OpeningWork(
                    wanted, self._keep, self._usual_s.get(wanted.base)
                )
                work.join()
            return work

    def _keep(self, wanted: Wanted, work: OpeningWork) -> Opened:
        """Open it unless somebody else just did; runs in the opening thread."""
        try:
            libraries.ready()
            with self._opening:
                work.begin()
                opened = self.opened(wanted)
                if opened is None:
                    self._make_room(wanted.models_held)
                    began = time.monotonic()
                    opened = self._open[wanted.key] = wanted.open(work.progress)
                    if not work.was_fetched:
                        self._usual_s[wanted.base] = time.monotonic() - began
                return opened
        finally:
            with self._counting:
                if self._being_opened.get(wanted.key) is work:
                    del self._being_opened[wanted.key]

    def _make_room(self, weights: int) -> None:
        """Close what was used the longest ago, for something of so many models."""
        while self._open:
            held = sum(opened.models_held for opened in self._open.values())
            if len(self._open) < KEPT_OPEN and held + weights <= KEPT_WEIGHTS:
                return
            _, oldest = self._open.popitem(last=False)
            if isinstance(oldest, Sides):
                oldest.close()

    def new_stop(self, session: str | None) -> threading.Event:
        """A fresh stop flag for this session; whatever it had going before is stopped."""
        self.stop(session)
        event = threading.Event()
        with self._counting:
            self._stops.setdefault(session or "", []).append(event)
        return event

    @contextmanager
    def one_more(self, session: str) -> Iterator[threading.Event]:
        """A stop flag beside what else this session has going, for the time of one call."""
        event = threading.Event()
        with self._counting:
            self._stops.setdefault(session, []).append(event)
        try:
            yield event
        finally:
            with self._counting:
                left = [each for each in self._stops.pop(session, []) if each is not event]
                if left:
                    self._stops[session] = left

    def stop(self, session: str | None) -> None:
        """Stop what this session has going: generation ends within a token."""
        with self._counting:
            events = self._stops.pop(session or "", [])
        for event in events:
            event.set()

    @contextmanager
    def answering(self, session: str | None) -> Iterator[None]:
        """Within it, this session has an answer going, if only one that is being stopped."""
        name = session or ""
        with self._counting:
            self._answering[name] += 1
        try:
            yield
        finally:
            with self._counting:
                self._answering[name] -= 1
                if not self._answering[name]:
                    del self._answering[name]
                self._ended.notify_all()

    def wait_for_end(self, session: str | None) -> None:
        """Until nothing of what this session had going is left, which was stopped before; or some seconds."""
        with self._ended:
            self._ended.wait_for(lambda: (session or "") not in self._answering, _ENDS_S)

    def is_answering(self, session: str | None) -> bool:
        return (session or "") in self._answering


def share_cores() -> None:
    """Leave cores to a run that is training on this machine's CPU.

    Two threads of generation beside a training run on two cores get 1 token a second, one thread gets 10.
    Counts for the threads that are started afterwards, and for this one.
    """
    import torch

    most = _threads_of_torch()
    torch.set_num_threads(max(1, most // 2) if is_training() else most)


@functools.cache
def _threads_of_torch() -> int:
    """As many as torch takes by itself: one a core that this process may use, or `OMP_NUM_THREADS`."""
    import torch

    return torch.get_num_threads()


def is_training() -> bool:
    """Whether a run is being worked on."""
    return any(state != "queued" for state in active_states())


MODELS = ModelsInUse()
