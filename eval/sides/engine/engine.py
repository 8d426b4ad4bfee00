"""One engine: which model it serves, adapters put on it and taken off, questions asked of it, for any thread.

An engine that goes while it is asked is waited for: it may have been started again, as llama.cpp's server is for
another adapter. Then the question is asked anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from eval.sides.endpoint.client import Limits, PassingError
from eval.sides.endpoint.refusals import RefusalError
from eval.sides.engine.forms import EngineError, GoneError, Kind, Question, Serving, Written
from eval.sides.engine.link import LIMITS, PATIENCE_S, Link, result_of
from eval.sides.engine.shelf import GRACE_S, Shelf, name_of
from eval.sides.side import OnRows
from models.label_tree import LabelTree

VARIABLE = "BEFORE_AFTER_ENGINE"
"""The address, for where there is no command line."""
_POLL_S = 0.2
_LIKELIEST = 500
"""Tokens whose probabilities are asked for first of an engine that takes no list; then those of all."""
_PACKED = re.compile(r"(bf16|fp?16|fp?32|i?q\d\w*)?")
"""What stands after a model's name in that of a file."""
T = TypeVar("T")


class Engine:
    """See the module's docstring."""

    def __init__(
        self, address: str, shelf: Shelf, *, limits: Limits = LIMITS, patience_s: float = PATIENCE_S
    ) -> None:
        """Args:
        address: as a person wrote it; it is not asked yet.
        shelf: where adapters are put for it.
        limits: how long is waited for what.
        patience_s: how long for an engine that went, from when it was last there.

        Raises:
            UserError: the address is none, or the key for it.
        """
        self.shelf = shelf
        self._link = Link(address, limits, patience_s)
        self.address = self._link.address

    def look(self, *, fresh: bool = False) -> tuple[Kind, Serving]:
        """Which engine it is, and what it serves.

        Raises:
            EngineError: it is none that is known; a `GoneError` where it does not answer.
        """
        return self._link.run(self._link.look(fresh=fresh))

    def require(self, base: str, *, vocabulary: int) -> None:
        """Refuse an engine that serves another model than `base`.

        Args:
            base: a name as on the Hub, or a folder.
            vocabulary: how many tokens its tokenizer has; a model may have more, and never fewer.

        Raises:
            EngineError: says which it serves.
        """
        kind, serving = self.look()
        if not any(_is(base, called) for called in serving.called):
            raise EngineError(
                f"The engine serves {_last_part(serving.called[0])}, and this model stands on {_last_part(base)}"
            )
        if serving.vocabulary is not None and serving.vocabulary < vocabulary:
            raise EngineError(
                f"The engine's {_last_part(base)} has another vocabulary than the one that was trained on",
                got=serving.vocabulary,
                fix=f"Serve the same model with {kind.title}.",
            )

    def close(self) -> None:
        """End its connections; with the next question they are there again."""
        self._link.close()

    # ---- its adapters --------------------------------------------------------------------------------------

    def put_on(self, adapter: Path) -> str:
        """Put the adapter of a folder on the engine, unless it is there; returns what it is called there.

        Raises:
            EngineError: it does not take it, with the reason.
        """
        try:
            name = name_of(adapter)
        except OSError as error:
            raise EngineError(f"The adapter cannot be read: {error.strerror or error}") from None
        self._link.run(self._put_on(name, adapter))
        return name

    def prepare(self, adapter: Path) -> None:
        """Write the file that an engine wants which takes adapters at its start alone; nothing for any other.

        Raises:
            EngineError: it cannot be written, or the engine cannot be looked at.
        """
        kind, _ = self.look()
        if not kind.loads:
            with contextlib.suppress(OSError):  # it is being removed
                self.shelf.add(adapter, kind.adapter_at(self.shelf.place(name_of(adapter))))

    def keep_only(self, names: set[str], *, grace_s: float = GRACE_S) -> set[str]:
        """Take all adapters of ours off but those named, and those that were put there just now; returns which.

        Raises:
            EngineError: the engine cannot be looked at.
        """
        kind, serving = self.look(fresh=True)
        on_it = {name for name, place in serving.adapters.items() if self.shelf.holds(place)}
        gone = {name for name in (on_it | self.shelf.names()) - names if not self.shelf.is_new(name, grace_s)}
        for name in gone & on_it:
            self._link.run(kind.take_off(self._link.client, name))
        self.shelf.remove(gone)
        self._link.forget()
        return gone

    async def _put_on(self, name: str, adapter: Path | None = None) -> Serving:
        kind, serving = await self._link.look()
        at = kind.adapter_at(self.shelf.place(name))
        if name in serving.adapters and not kind.loads:
            return serving  # whoever has started it so: its file is of no more use
        if adapter is not None:
            await asyncio.to_thread(self.shelf.add, adapter, at)
        if name in serving.adapters:
            return serving
        try:
            await kind.put_on(self._link.client, name, at)
        except PassingError as error:
            raise self._link.went(error) from None
        _, serving = await self._link.look(fresh=True)
        if name not in serving.adapters:
            raise EngineError("The engine took the adapter, and does not list it", got=name)
        return serving

    # ---- what is asked -------------------------------------------------------------------------------------

    def stream(
        self, questions: Sequence[Question], stop: threading.Event, *, every_s: float = 0.0
    ) -> Iterator[list[Written]]:
        """The answers so far, in the order of `questions`, all of which are asked at once; last of all whole.

        Args:
            questions: what is asked.
            stop: set it, or close the iterator, and the engine is told to end.
            every_s: so long passes at least from one step to the next.

        Raises:
            EngineError: it cannot answer; a `GoneError` where it went, and did not come back.
        """
        written, changed = [Written() for _ in questions], threading.Event()

        async def write(number: int) -> None:
            async for found in self._written(questions[number]):
                written[number] = found
                changed.set()

        done = self._link.submit(_together([write(number) for number in range(len(questions))]))
        done.add_done_callback(lambda _: changed.set())
        try:
            while not done.done() and not stop.is_set():
                began = time.monotonic()
                changed.wait(_POLL_S)
                changed.clear()
                yield [*written]
                if not done.done():
                    time.sleep(max(0.0, every_s - (time.monotonic() - began)))
            if not stop.is_set():
                result_of(done)
            yield [*written]
        finally:
            done.cancel()

    def answers(self, questions: Sequence[Question], on_rows: OnRows | None = None) -> list[Written]:
        """The whole answers, in the order of `questions`; as many at once as the engine takes.

        Raises:
            EngineError: as for `stream`.
        """

        async def last(question: Question) -> Written:
            return [step async for step in self._written(question)][-1]

        return self._link.run(self._in_order(last, questions, on_rows))

    def choose(
        self, questions: Sequence[Question], labels: Sequence[list[int]], on_rows: OnRows | None = None
    ) -> list[list[float]]:
        """Of each question the log-probability of each label as the answer, normalised over all of them, [L].

        Args:
            questions: what they are answers to.
            labels: tokens of each.
            on_rows: told how many questions are done.

        Raises:
            EngineError: the engine does not tell probabilities of tokens.
        """
        tree = LabelTree([*labels])

        async def chosen(question: Question) -> list[float]:
            return await self._choose(question, tree)

        return self._link.run(self._in_order(chosen, questions, on_rows))

    async def _in_order(
        self, ask: Callable[[Question], Awaitable[T]], questions: Sequence[Question], on_rows: OnRows | None
    ) -> list[T]:
        """What `ask` gives for each, as many at once as the engine takes."""
        _, serving = await self._link.look()
        room, done = asyncio.Semaphore(2 * serving.at_once), 0

        async def one(question: Question) -> T:
            nonlocal done
            async with room:
                found = await ask(question)
            done += 1
            if on_rows:
                on_rows(done, len(questions))
            return found

        return await _together([one(question) for question in questions])

    async def _written(self, asked: Question) -> AsyncGenerator[Written, None]:
        """The answer after each part of it; anew from its beginning where the engine was gone in between."""
        for last in (False, True):
            try:
                async with contextlib.aclosing(self._written_once(asked)) as steps:
                    async for step in steps:
                        yield step
                return
            except (PassingError, GoneError) as error:
                self._link.forget()
                if last:
                    raise self._link.went(error) from None
                await self._link.wait_for_it(error)
            except RefusalError as refusal:  # it may have forgotten the adapter, and is then given it again
                self._link.forget()
                if last or not asked.adapter:
                    raise EngineError(f"The engine does not answer: {refusal.said}") from None

    async def _written_once(self, asked: Question) -> AsyncGenerator[Written, None]:
        kind, serving = await self._ready(asked)
        url, body = kind.question(self._link.client, serving, asked)
        began = time.perf_counter()
        ids: list[int] = []
        text, step = "", Written()
        yield step
        async with contextlib.aclosing(self._link.client.events(url, body)) as events:
            async for event in events:
                self._link.is_there()
                piece = kind.piece(event)
                new = _until(piece.tokens, asked.ends)
                ended = piece.ended or len(new) < len(piece.tokens)
                ids += new[: asked.max_new_tokens - len(ids)]
                text = asked.decode(ids) if piece.text is None else text + piece.text
                now_s = time.perf_counter() - began
                seconds = now_s if new else step.seconds
                count = len(ids) if piece.counted is None else min(piece.counted, asked.max_new_tokens)
                step = Written(text, count, seconds, step.first_token_seconds or (now_s if new else 0.0), ended)
                yield step
                if ended or piece.last or len(ids) >= asked.max_new_tokens:
                    return
        raise PassingError("the answer broke off")

    async def _choose(self, asked: Question, tree: LabelTree) -> list[float]:
        at_nodes = [replace(asked, prompt=[*asked.prompt, *node]) for node in tree.nodes]
        tokens = [[token for token, _ in edges] for edges in tree.edges]
        each = await asyncio.gather(*map(self._next_token, at_nodes, tokens))
        found = {number: by[token] for by, edges in zip(each, tree.edges, strict=True) for token, number in edges}
        labels = [math.fsum(found[number] for number in path) for path in tree.paths]
        highest = max(labels)
        whole = highest + math.log(math.fsum(math.exp(value - highest) for value in labels))
        return [value - whole for value in labels]

    async def _next_token(self, asked: Question, tokens: list[int]) -> dict[int, float]:
        """The log-probabilities of `tokens` after a prompt; asked for anew where the engine was gone in between."""
        try:
            return await self._next_token_once(asked, tokens)
        except (PassingError, GoneError) as error:
            self._link.forget()
            await self._link.wait_for_it(error)
        try:
            return await self._next_token_once(asked, tokens)
        except PassingError as error:
            raise self._link.went(error) from None

    async def _next_token_once(self, asked: Question, tokens: list[int]) -> dict[int, float]:
        kind, serving = await self._ready(asked)
        status = 0
        for likeliest in (_LIKELIEST, serving.vocabulary or _LIKELIEST):
            url, body = kind.next_token(self._link.client, serving, asked, tokens, likeliest)
            status, said = await self._link.client.ask("POST", url, body)
            try:
                found = kind.log_probabilities(said)
            except (KeyError, IndexError, TypeError, ValueError, AttributeError):
                break
            if found.keys() >= {*tokens}:
                return found
        raise EngineError(
            f"This engine does not tell how probable each label is: it answered {status}",
            fix=f"Update {kind.title}.",
        )

    async def _ready(self, asked: Question) -> tuple[Kind, Serving]:
        """The engine, with the adapter on it that is asked for."""
        kind, serving = await self._link.look()
        if asked.adapter and asked.adapter not in serving.adapters:
            serving = await self._put_on(asked.adapter)
        return kind, serving


async def _together(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """What comes of all, in their order; where one fails, the others end."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in work]
    return [task.result() for task in tasks]


def _until(tokens: Sequence[int], ends: frozenset[int]) -> list[int]:
    """Those before the first that ends an answer."""
    return [*tokens[: next((at for at, token in enumerate(tokens) if token in ends), len(tokens))]]


def _is(base: str, called: str) -> bool:
    """Whether an engine's name for a model is that of `base`: its name, its folder, or a file that is called so."""
    if f"models--{base.replace('/', '--')}/" in called:  # a folder of the Hub's cache
        return True
    own, other = _plain(base), _plain(called.removesuffix(".gguf"))
    return bool(own) and other.startswith(own) and _PACKED.fullmatch(other.removeprefix(own)) is not None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", _last_part(name).casefold())


def _last_part(name: str) -> str:
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2]
