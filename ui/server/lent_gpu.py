"""On ZeroGPU an answer is computed in a forked process to which a GPU is lent for some seconds.

The page's own process keeps every model on the processor as well: by it lengths are checked and labels known, and
it answers where the visitor's time on the GPU is used up. Runs and evaluations are computed there, too. Without the
package `spaces`, or elsewhere than on ZeroGPU, nothing here is ever used.
"""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gradio as gr

from plumbing import zero_gpu
from ui.drawing import text
from ui.drawing.answers import Turn
from ui.server.answering import Both, OfPair
from ui.server.choices import Choice

if TYPE_CHECKING:
    from models.pair import Pair

LOADING_S = 12
"""For the fork, the GPU's start, and the model from the disk."""
TOKENS_PER_S = 15
"""Of both sides at once, at least."""

_open_there: dict[str, Pair] = {}
"""In a forked process, which may be given several answers to write: what it has open on its GPU."""


def seconds(choice: Choice, turn: Turn, before: list[Turn]) -> int:
    """How long the GPU is asked for; a visitor needs as much of the day's time left, and pays what it takes."""
    words = choice.task.answer_tokens if choice.kind == "causal" else 0
    return LOADING_S + math.ceil(words / TOKENS_PER_S)


def _answers(choice: Choice, turn: Turn, before: list[Turn]) -> Iterator[Turn]:
    pair = _open_there.get(choice.key)
    if pair is None:
        pair = _open_there[choice.key] = choice.open(lambda what, done, total: None)
    stop = threading.Event()
    try:
        for _ in OfPair(pair).answers(turn, before, stop):
            yield turn
    finally:
        stop.set()


def _lent(asked: Callable[..., int]) -> Any:
    """The decorator of the package `spaces`, which `app.py` imports where it is; else one that does nothing."""
    lend = getattr(sys.modules.get("spaces"), "GPU", None)
    return lend(duration=asked) if lend else lambda function: function


answers_there = _lent(seconds)(_answers)


class OnLentGpu(OfPair):
    """A tuned model and its base as `Both`, where a GPU is lent."""

    def __init__(self, pair: Pair, choice: Choice) -> None:
        super().__init__(pair)
        self._choice = choice

    def answers(self, turn: Turn, before: list[Turn], stop: threading.Event) -> Iterator[None]:
        bare, begun = replace(turn, ballot=None), False
        try:
            with closing(answers_there(self._choice, bare, before)) as made:
                for written in made:
                    turn.base, turn.tuned, begun = written.base, written.tuned, True
                    yield
                    if stop.is_set():
                        turn.base.stopped, turn.tuned.stopped = not turn.base.whole, not turn.tuned.whole
                        return
        except gr.Error:
            if begun:
                raise
            gr.Info(text.NOT_LENT)
            yield from super().answers(turn, before, stop)

    def weigh(self, turn: Turn) -> None:
        """Nothing to note: it would be the processor's."""


def lent(both: Both, opened: object, choice: object) -> Both:
    """`both`, or what answers in its place where a GPU is lent; any two models stay on the processor."""
    if zero_gpu.is_here() and isinstance(both, OfPair) and isinstance(choice, Choice):
        return OnLentGpu(opened, choice)  # type: ignore[arg-type]  # of a choice a pair is open
    return both
