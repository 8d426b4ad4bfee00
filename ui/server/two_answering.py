"""Any two models answer a turn, the left one first: each has the whole machine while it writes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from data.tasks.task import Input
from eval.sides.side import Answered, Streams
from eval.sides.side import Side as Model
from plumbing.errors import UserError
from ui.drawing import answers
from ui.drawing.answers import Side, SideName, Turn
from ui.server.answering import MOST_TOKENS, Both, OfPair, compute, take_cores, watched
from ui.server.engine import OfEngine, OnEngine
from ui.server.models_in_use import POLL_S, Opened
from ui.server.two_models import Sides


def both_of(opened: Opened | OnEngine) -> Both:
    """What answers, of what is open."""
    if isinstance(opened, OnEngine):
        return OfEngine(opened)
    return OfTwo(opened) if isinstance(opened, Sides) else OfPair(opened)


class OfTwo:
    """Two models as `Both`."""

    def __init__(self, sides: Sides) -> None:
        self._models: dict[SideName, Model] = {"base": sides.left, "tuned": sides.right}
        self.task, self.labels, self.in_words = sides.task, sides.labels, sides.in_words

    def named(self, key: str) -> None:
        """Nothing: a vote is on what was tuned here."""

    def check_length(self, turn: Turn, before: list[Turn]) -> None:
        room = MOST_TOKENS - self.task.answer_tokens
        for name, model in self._models.items():
            if isinstance(model, Streams):
                length = model.prompt_tokens(answers.given(turn, before, name))
                if length > room:
                    raise UserError(
                        f"The message is too long: it makes {length:,} tokens, and at most {room:,} are read here",
                        fix="Shorten it.",
                    )

    def answers(self, turn: Turn, before: list[Turn], stop: threading.Event) -> Iterator[None]:
        take_cores()
        for name, model in self._models.items():
            if turn.labels and not stop.is_set():
                started = time.perf_counter()
                [chosen] = compute(lambda model=model: model.choose([turn.message]))  # type: ignore[misc]
                probabilities = chosen.probabilities or {}
                turn.side(name).probabilities = [probabilities[label] for label in turn.labels]
                turn.side(name).seconds = time.perf_counter() - started
        if turn.labels:
            turn.base.stopped = turn.tuned.stopped = turn.tuned.probabilities is None
            turn.judge()
            yield
        if turn.in_words:
            for name, model in self._models.items():
                yield from self._written(model, turn.side(name), answers.given(turn, before, name), stop)

    def _written(self, model: Model, side: Side, given: Input, stop: threading.Event) -> Iterator[None]:
        """Let one model write; where it cannot be watched, its whole answer comes at once."""
        limit, started = self.task.answer_tokens, time.perf_counter()
        if stop.is_set():
            side.stopped, side.whole = True, False
            return
        steps: Iterator[Answered | None]
        if isinstance(model, Streams):
            streams = model
            steps = watched(lambda: streams.stream(given, max_new_tokens=limit, stop=stop), stop)
        else:
            steps = _at_once(model, given, limit, stop)
        answered: Answered | None = None
        for answered in steps:
            if answered is not None:
                side.text = answered.text if answered.written is None else answered.written
                side.tokens, side.whole = answered.tokens or 0, not answered.cut_off
                side.seconds = time.perf_counter() - started
                side.first_token_seconds = side.first_token_seconds or side.seconds
            yield
        side.stopped = stop.is_set() and (answered is None or answered.cut_off)

    def weigh(self, turn: Turn) -> None:
        """Nothing to note: they do not share a step."""


def _at_once(model: Model, given: Input, limit: int, stop: threading.Event) -> Iterator[Answered | None]:
    """The answer of a model elsewhere; None as long as it is waited for, which ends with a stop."""
    found: list[Answered] = []
    failed: list[Exception] = []

    def ask() -> None:
        try:
            found.extend(model.write([given], max_new_tokens=limit))
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=ask, name="ask", daemon=True)
    thread.start()
    while thread.is_alive() and not stop.is_set():
        yield None
        thread.join(POLL_S)
    if failed:
        raise failed[0]
    yield found[0] if found else None
