"""Both sides answer a turn: what the Compare tab asks of the models room, without a component in sight."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol, TypeVar

from plumbing.errors import UserError
from ui.drawing import answers
from ui.drawing.answers import Side, Turn
from ui.server.ballots import models_of
from ui.server.models_in_use import share_cores

if TYPE_CHECKING:
    from data.tasks import Task
    from eval.sides.engine.forms import Written
    from eval.vote_lines import Models
    from models.generation import Answer
    from models.pair import Pair


MOST_TOKENS = 1024
"""Of a message with its instruction, what was said before, and its answer: a row as long can be learned from, once
somebody has voted. Others wait while they are read, which takes two slow cores some 10 s a side."""
_WEIGHED_TOKENS = 64
"""Of a prompt, to find what the second side costs a token of the answer, which nobody can stop."""

_Result = TypeVar("_Result")
_THREAD = ThreadPoolExecutor(1, thread_name_prefix="answers")
"""Computes all answers. A thread that computes keeps helpers of its own on every core, and where those of two
threads are alive, they wait for each other so badly that a token takes twice as long."""


def _after_fork() -> None:
    """A forked process has none of the threads that this one has."""
    global _THREAD
    _THREAD = ThreadPoolExecutor(1, thread_name_prefix="answers")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Both(Protocol):
    """What answers a turn: a tuned model and its base, or any two models."""

    @property
    def task(self) -> Task:
        """What both are asked."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Between which both choose, as probable as they find each; empty where they do not."""

    @property
    def in_words(self) -> bool:
        """Whether both write."""

    def named(self, key: str) -> Models | None:
        """What answers, as a vote names it; None where nobody votes."""

    def check_length(self, turn: Turn, before: list[Turn]) -> None:
        """Refuse a message that is too long with its answer."""

    def answers(self, turn: Turn, before: list[Turn], stop: threading.Event) -> Iterator[None]:
        """Let both sides answer; yields whenever there may be more to see."""

    def weigh(self, turn: Turn) -> None:
        """Note what the second side costs in time, where that is known."""


class OfPair:
    """A tuned model and its base as `Both`."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self.task, self.labels, self.in_words = pair.task, pair.task.labels, pair.kind == "causal"

    def named(self, key: str) -> Models:
        return models_of(self._pair, key)

    def check_length(self, turn: Turn, before: list[Turn]) -> None:
        check_length(self._pair, turn, before)

    def answers(self, turn: Turn, before: list[Turn], stop: threading.Event) -> Iterator[None]:
        take_cores()
        if turn.labels:
            score(self._pair, turn, stop)
            turn.judge()
            yield
        if turn.in_words and not turn.was_stopped:
            yield from stream(self._pair, turn, before, stop)

    def weigh(self, turn: Turn) -> None:
        weigh(self._pair, turn)


def prepare(turn: Turn, both: Both) -> None:
    """Note on a turn what is about to answer it, and how."""
    task = both.task
    turn.labels, turn.metric = both.labels, task.metric
    turn.in_words, turn.is_chat = both.in_words, task.kind == "chat"
    turn.goes_on = task.kind == "text" or (task.is_classification and not both.labels)


def take_cores() -> None:
    """Let the thread that answers use as many cores as are free; before each turn."""
    compute(share_cores)


def stream(pair: Pair, turn: Turn, turns: list[Turn], stop: threading.Event) -> Iterator[None]:
    """Let both sides answer `turn`; yields after every token, or after some where whoever listens is slower."""
    from models.generation import stream_answers

    prompts = [prompt_tokens(pair, turn, turns, name) for name in ("base", "tuned")]
    limit = pair.task.answer_tokens
    for answer in watched(lambda: stream_answers(pair, *prompts, max_new_tokens=limit, stop=stop), stop):
        take(turn.base, answer.base, stop)
        take(turn.tuned, answer.tuned, stop)
        yield


def watched(steps: Callable[[], Iterable[_Result]], stop: threading.Event) -> Iterator[_Result]:
    """What `steps` gives, made in the thread that computes all answers; of what came at once only the last.

    Args:
        steps: begins to make it, and ends soon after a stop.
        stop: set where whoever listens has gone.
    """
    made: queue.SimpleQueue[_Result | None] = queue.SimpleQueue()

    def work() -> None:
        try:
            for step in steps():
                made.put(step)
        finally:
            made.put(None)

    done = _THREAD.submit(work)
    try:
        ended = False
        while not ended:
            batch = [made.get()]
            while not made.empty():  # drawing may take longer than a token does
                batch.append(made.get())
            ended = batch[-1] is None
            last = next((step for step in reversed(batch) if step is not None), None)
            if last is not None:
                yield last
        done.result()
    finally:
        if not done.done():
            stop.set()
            done.exception()


def compute(work: Callable[[], _Result]) -> _Result:
    """Do it in the thread that computes all answers, once what it is at is done."""
    return _THREAD.submit(work).result()


def take(side: Side, answer: Answer | Written, stop: threading.Event) -> None:
    """Note on a side what it has answered so far."""
    side.text, side.tokens, side.seconds = answer.text, answer.tokens, answer.seconds
    side.first_token_seconds = answer.first_token_seconds
    side.stopped = stop.is_set() and not answer.finished
    side.whole = answer.finished


def weigh(pair: Pair, turn: Turn) -> None:
    """Note what the second side costs in time; measured with the first turn, and remembered with the pair."""
    from models.generation import second_side_cost

    if pair.second_side_cost is None:
        prompt = prompt_tokens(pair, turn, [], "tuned")[-_WEIGHED_TOKENS:]
        pair.second_side_cost = compute(lambda: second_side_cost(pair, prompt))
    turn.second_side_cost = pair.second_side_cost


def score(pair: Pair, turn: Turn, stop: threading.Event) -> None:
    """Add the label probabilities of both sides; where it is stopped before, that it was."""
    from models.prefix import StoppedError
    from models.scoring import score_labels

    started = time.perf_counter()
    try:
        [scores] = compute(lambda: score_labels(pair, [turn.message], should_stop=stop.is_set))
    except StoppedError:
        turn.base.stopped = turn.tuned.stopped = True
        return
    turn.base.probabilities = answers.shares(scores.base)
    turn.tuned.probabilities = answers.shares(scores.tuned)
    if not turn.in_words:
        turn.base.seconds = turn.tuned.seconds = time.perf_counter() - started


def prompt_tokens(pair: Pair, turn: Turn, turns: list[Turn], name: answers.SideName) -> list[int]:
    assert pair.prompter is not None
    return pair.prompter.encode_prompt(answers.given(turn, turns, name))


def check_length(pair: Pair, turn: Turn, turns: list[Turn]) -> None:
    """Refuse a message that does not fit into the model with its answer, or that others would wait for too long."""
    longest = int(getattr(pair.model.config, "max_position_embeddings", MOST_TOKENS))
    if pair.kind == "causal":
        room = min(longest, MOST_TOKENS) - pair.task.answer_tokens
        length = max(len(prompt_tokens(pair, turn, turns, name)) for name in ("base", "tuned"))
    else:
        room, length = min(longest, MOST_TOKENS), len(pair.tokenizer(turn.message)["input_ids"])
    if length > room:
        before = " with what was said before" if turns else ""
        raise UserError(
            f"The message is too long: it makes {length:,} tokens{before}, and at most {room:,} are read here",
            fix="Shorten it.",
        )
