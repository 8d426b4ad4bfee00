"""The models that are open in memory, for all visitors together: opening takes seconds, so the newest stay open.

One lock lets one generation run at a time, and one opening. Each browser session has a flag that stops whatever
it has going.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.errors import UserError
from finetuning.runs import list_runs
from ui import libraries
from ui.choices import Choice

if TYPE_CHECKING:
    from models.pair import Pair

KEPT_OPEN = 2
"""One for each task: going back and forth between the tasks costs nothing."""
POLL_S = 0.2


@dataclass(frozen=True)
class Opening:
    """How far the opening of a model is."""

    what: str
    done: int
    total: int
    """0 where it is not known."""


class ModelsInUse:
    """Pairs by the key of their choice; the one used last is at the end."""

    def __init__(self) -> None:
        self.generating = threading.Lock()
        self._opening = threading.Lock()
        self._open: OrderedDict[str, Pair] = OrderedDict()
        self._stops: dict[str, threading.Event] = {}

    def opened(self, choice: Choice) -> Pair | None:
        """The pair if it is open already."""
        pair = self._open.get(choice.key)
        if pair is not None:
            self._open.move_to_end(choice.key)
        return pair

    def open(self, choice: Choice, stop: threading.Event) -> Iterator[Opening | Pair]:
        """Yields `Opening` until the pair is open, then the pair; nothing more once `stop` is set.

        A stopped opening goes on in the background, so that the next try finds its work done.
        """
        pair = self.opened(choice)
        if pair is not None:
            yield pair
            return
        work = _OpeningWork(self, choice)
        while work.thread.is_alive() and not stop.is_set():
            yield work.state
            work.thread.join(POLL_S)
        if stop.is_set():
            return
        if work.error is not None:
            raise work.error
        assert work.pair is not None
        yield work.pair

    def keep(self, choice: Choice, work: _OpeningWork) -> Pair:
        """Open `choice` unless somebody else just did; runs in the opening thread."""
        libraries.ready()
        from models.pair import open_pair

        with self._opening:
            pair = self.opened(choice)
            if pair is None:
                while len(self._open) >= KEPT_OPEN:
                    self._open.popitem(last=False)
                pair = open_pair(choice.adapter, progress=work.progress)
                self._open[choice.key] = pair
            return pair

    def new_stop(self, session: str | None) -> threading.Event:
        """A fresh stop flag for this session; whatever it had going before is stopped."""
        self.stop(session)
        event = self._stops[session or ""] = threading.Event()
        return event

    def stop(self, session: str | None) -> None:
        """Stop what this session has going: generation ends within a token."""
        event = self._stops.pop(session or "", None)
        if event is not None:
            event.set()


class _OpeningWork:
    """One opening in a thread of its own."""

    def __init__(self, models: ModelsInUse, choice: Choice) -> None:
        self.pair: Pair | None = None
        self.error: Exception | None = None
        self.state = Opening(f"Loading {short_name(choice.base)} …", 0, 0)
        self._waiting = self.state
        self._models, self._choice = models, choice
        self.thread = threading.Thread(target=self._work, name="open-pair", daemon=True)
        self.thread.start()

    def progress(self, what: str, done: int, total: int) -> None:
        # Once everything is here, what follows is loading.
        self.state = self._waiting if total and done >= total else Opening(what, done, total)

    def _work(self) -> None:
        try:
            self.pair = self._models.keep(self._choice, self)
        except Exception as error:
            self.error = error


def short_name(base: str) -> str:
    """`SmolLM2-135M` for `HuggingFaceTB/SmolLM2-135M-Instruct`."""
    return base.rstrip("/").rsplit("/", 1)[-1].removesuffix("-Instruct")


def wait_for(lock: threading.Lock, stop: threading.Event) -> Iterator[bool]:
    """Yields False while somebody else holds `lock`, and True once it is ours; ends without it once stopped."""
    while not lock.acquire(timeout=POLL_S):
        if stop.is_set():
            return
        yield False
    yield True


def share_cores() -> None:
    """Leave cores to a run that is training on this machine's CPU.

    Two threads of generation beside a training run on two cores get 1 token a second, one thread gets 10.
    Counts for the threads that are started afterwards, and for this one.
    """
    import torch

    cores = os.cpu_count() or 1
    torch.set_num_threads(max(1, cores // 2) if is_training() else cores)


def is_training() -> bool:
    """Whether a run is being worked on."""
    for run in list_runs():
        try:
            if run.status().state in ("running", "evaluating"):
                return True
        except UserError:
            continue
    return False


MODELS = ModelsInUse()
