"""A model is opened for who waits: begun for nobody else, given up where nobody is left, shared where many wait."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from models import libraries
from ui.server import opening
from ui.server.models_in_use import ModelsInUse
from ui.server.opening import GivenUpError, Opening

LIMIT_S = 120.0


@dataclass
class Slow:
    """Something to open that takes until it is let go."""

    key: str = "slow"
    base: str = "a/base"
    models_held: int = 1
    began: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    given_up: threading.Event = field(default_factory=threading.Event)
    opened: int = 0
    fetches: bool = False

    def open(self, progress: Any) -> Any:
        self.began.set()
        self.opened += 1
        try:
            while not self.go_on.wait(0.01):
                if self.fetches:
                    progress("Downloading", 1, 2)
        except GivenUpError:
            self.given_up.set()
            raise
        return self


@pytest.fixture(autouse=True)
def imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "ready", lambda: None)


def last(states: Iterator[Any]) -> Any:
    *_, found = states
    return found


def test_what_nobody_waits_for_when_its_turn_comes_is_not_begun() -> None:
    models, before, wanted, stop = ModelsInUse(), Slow("before"), Slow(), threading.Event()
    busy = models.open(before, threading.Event())
    next(busy)
    assert before.began.wait(LIMIT_S)
    waiting = models.open(wanted, stop)
    next(waiting)
    thread = models._being_opened["slow"].thread
    stop.set()
    assert list(waiting) == []
    before.go_on.set()
    assert last(busy) is before
    thread.join(LIMIT_S)
    assert not wanted.opened and "slow" not in models._open
    wanted.go_on.set()
    assert last(models.open(wanted, threading.Event())) is wanted, "whoever asks again is waited for"


def test_what_is_fetched_for_nobody_is_given_up_and_not_at_the_first_look_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    models, wanted, stop = ModelsInUse(), Slow(fetches=True), threading.Event()
    states = models.open(wanted, stop)
    next(states)
    assert wanted.began.wait(LIMIT_S)
    stop.set()
    assert list(states) == []
    again = models.open(wanted, threading.Event())
    next(again)
    assert wanted.opened == 1, "it is waited for again"
    again.close()
    monkeypatch.setattr(opening, "PATIENCE_S", 0.0)
    assert wanted.given_up.wait(LIMIT_S)


def test_two_who_want_the_same_wait_for_one_opening_and_one_who_leaves_takes_it_from_nobody() -> None:
    models, wanted, stop = ModelsInUse(), Slow(fetches=True), threading.Event()
    one, other = models.open(wanted, stop), models.open(wanted, threading.Event())
    next(one)
    next(other)
    stop.set()
    assert list(one) == []
    wanted.go_on.set()
    assert last(other) is wanted and wanted.opened == 1


def test_a_wait_says_how_long_it_has_taken_and_usually_takes() -> None:
    assert Opening("Loading a …", 0, 0, 3.2).said == "Loading a … · 3 s"
    assert (
        Opening("Downloading", 5_000_000, 10_000_000, 3.2, 8.0).said == "Downloading: 5 of 10 MB · 3 s, usually 8 s"
    )
    models, wanted = ModelsInUse(), Slow()
    wanted.go_on.set()
    last(models.open(wanted, threading.Event()))
    assert set(models._usual_s) == {"a/base"}
    fetched = Slow("other", "b/base", fetches=True)
    states = models.open(fetched, threading.Event())
    next(states)
    assert fetched.began.wait(LIMIT_S)
    while not models._being_opened["other"].was_fetched:
        next(states)
    fetched.go_on.set()
    last(states)
    assert set(models._usual_s) == {"a/base"}, "a download says nothing of the next time"


def test_who_waits_in_the_line_is_told_about_how_long() -> None:
    line = ModelsInUse().line
    assert line.said_to_take(2) == ""
    line._took.extend([9.0, 10.0, 40.0])
    assert line.said_to_take(2) == " · about 20 s"
    with line.place() as place:
        assert list(line.wait(place, threading.Event())) == [0]
    assert len(line._took) == 4
