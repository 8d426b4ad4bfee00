"""The way to one engine: a loop in a thread of its own that makes all requests, and what the engine said of itself.

Whoever asks may be any thread. What an engine says counts for seconds, so that many questions look at it once; of
llama.cpp, which has another number for an adapter at each start, it is asked before each.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, TypeVar

from eval.sides.endpoint.address import Address, Key
from eval.sides.endpoint.client import Client, Limits, PassingError
from eval.sides.endpoint.refusals import RefusalError
from eval.sides.engine.forms import EngineError, GoneError, Kind, Serving
from eval.sides.engine.kinds import kind_at
from eval.sides.side import Spent

LIMITS = Limits(in_flight=256, connect_s=3.0, answer_s=120.0, answer_bytes=64_000_000)
PATIENCE_S = 30.0
"""An engine that went is waited for until so long after it was last there."""
_FRESH_S = 5.0
_GONE_S = 3.0
"""That it is gone counts for so long: whoever asks meanwhile does not wait for it."""
_POLL_S = 0.2
T = TypeVar("T")


class Link:
    """See the module's docstring."""

    def __init__(self, address: str, limits: Limits, patience_s: float) -> None:
        self.address = Address.parse(address)
        self._key, self._limits, self._patience_s = Key.of(self.address), limits, patience_s
        self._starting = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: Client | None = None
        self._looked: tuple[float, Kind, Serving] | None = None
        self._gone: tuple[float, GoneError] | None = None
        self._there = -math.inf
        """When it was last."""

    @property
    def client(self) -> Client:
        """For what runs in the loop."""
        assert self._client is not None
        return self._client

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin `work` in the loop."""
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="engine", daemon=True)
                self._thread.start()
                client = Client(self.address, self._key, self._limits, Spent())
                self._client = asyncio.run_coroutine_threadsafe(client.__aenter__(), self._loop).result()
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, which is done in the loop."""
        return result_of(self.submit(work))

    def close(self) -> None:
        """End connections and thread; with the next question they are there again."""
        with self._starting:
            loop, client = self._loop, self._client
            self._loop = self._client = self._looked = None
        if loop is not None and client is not None:
            asyncio.run_coroutine_threadsafe(client.__aexit__(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join()
            loop.close()

    def forget(self) -> None:
        """What the engine said of itself counts no more."""
        self._looked = None

    async def look(self, *, fresh: bool = False) -> tuple[Kind, Serving]:
        """Which engine it is, and what it serves.

        Raises:
            EngineError: it is none that is known; a `GoneError` where it does not answer.
        """
        now = time.monotonic()
        if self._gone is not None and now - self._gone[0] < _GONE_S:
            raise self._gone[1]
        if self._looked is not None and not fresh:
            at, kind, serving = self._looked
            if kind.loads and now - at < _FRESH_S:
                return kind, serving
        try:
            kind, entries = await kind_at(self.client)
            serving = await kind.look(self.client, entries)
        except PassingError as error:
            self._looked, self._gone = None, (time.monotonic(), self.went(error))
            raise self._gone[1] from None
        except RefusalError as refusal:
            said = self.client.explained(refusal)
            raise EngineError(said.problem, fix=said.fix) from None
        if self.address.model:
            serving = replace(serving, model=self.address.model)
        self.is_there()
        self._looked = self._there, kind, serving
        return kind, serving

    def is_there(self) -> None:
        """Note that it has just been heard of."""
        self._there, self._gone = time.monotonic(), None

    async def wait_for_it(self, error: PassingError | GoneError) -> None:
        """Until it answers again.

        Raises:
            GoneError: it does not, or it has been away for long.
        """
        while time.monotonic() < self._there + self._patience_s:
            await asyncio.sleep(_POLL_S)
            self._gone = None
            with contextlib.suppress(GoneError):
                await self.look(fresh=True)
                return
        raise self.went(error)

    def went(self, error: PassingError | GoneError) -> GoneError:
        """That it does not answer, in a sentence."""
        if isinstance(error, GoneError):
            return error
        return GoneError(f"The engine does not answer: {error.why}")


def result_of(done: Future[T]) -> T:
    """What came of it; of several at once that failed, the first error."""
    try:
        return done.result()
    except BaseExceptionGroup as errors:
        first: BaseException = errors
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
