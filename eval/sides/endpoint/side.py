"""A server's model as a side: it writes, and that is all that can be relied on.

It does not choose labels by their probability, though many servers give log-probabilities of the likeliest twenty
tokens: whether all labels are among them, each as one token, is known row by row and after the fact, and a side
says what it can do before it is asked. Nor is there a way to the likelihood of an answer that somebody else gave.
So labels are read out of what it writes.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from data.tasks import Task
from data.tasks.task import Input
from eval.sides.endpoint.address import Address, Key, given_addresses
from eval.sides.endpoint.bodies import Bodies, Body, Dialect
from eval.sides.endpoint.client import Client
from eval.sides.endpoint.kept import Kept, answers_folder
from eval.sides.endpoint.options import Settings, settings_with, shaping
from eval.sides.endpoint.refusals import RefusalError
from eval.sides.endpoint.replies import NoAnswerError, Reply, TooLongError, read_reply
from eval.sides.endpoint.seen import Seen
from eval.sides.endpoint.server import Served, look
from eval.sides.side import Ability, About, Answered, Asked, OnRows, Prompted, Spent
from plumbing.errors import UserError
from plumbing.printable import one_line
from plumbing.redaction import redact

_TRIES_TO_OPEN = 3


def open_endpoint(
    asked: Asked,
    task: Task,
    *,
    instruction: str | None = None,
    settings: Settings | None = None,
) -> Endpoint:
    """The side that `asked.text` is the address of.

    Args:
        asked: `http(s)://host[:port]/v1#model`, and the options of `options.py`.
        task: of the rows.
        instruction: in place of the task's.
        settings: limits, price, and what is kept, where the options do not say.

    Raises:
        UserError: the address, an option or the key is none; it is not to be asked from here (`Settings.given`);
            the server cannot be reached, does not let us in, or has several models and none is named.
    """
    settings = settings_with(asked.options, settings or Settings())
    address = Address.parse(asked.text)
    pinned = () if settings.given is None else given_addresses(address, settings.given)
    key = Key.of(address)
    bodies = Bodies(task, task.instruction if instruction is None else instruction, **shaping(asked.options, task))
    spent = Spent()
    limits = replace(settings.limits, tries=min(settings.limits.tries, _TRIES_TO_OPEN))

    async def opening() -> Served:
        async with Client(address, key, limits, spent, pinned=pinned) as client:
            return await look(client, address, lora=bodies.more.get("lora"))

    served = asyncio.run(opening())
    spent.requests = spent.retries = 0  # those were for no answer
    return Endpoint(address.of(served.name), key, bodies, served, settings, spent, pinned)


class Endpoint:
    """See `eval.sides.side.Side`."""

    abilities: frozenset[Ability] = frozenset({"writes"})

    def __init__(
        self,
        address: Address,
        key: Key | None,
        bodies: Bodies,
        served: Served,
        settings: Settings,
        spent: Spent,
        pinned: tuple[str, ...],
    ) -> None:
        self.task = bodies.task
        self.spent = spent
        self._address, self._key, self._bodies, self._served = address, key, bodies, served
        self._settings, self._pinned = settings, pinned
        self._dialect = Dialect()
        self._seen = Seen(address.model)
        self._kept: Kept | None = None
        if settings.keep:
            self._kept = Kept(settings.keep_in or answers_folder(), _file_name(address))
        self._notes = list(served.notes)
        if key and address.scheme == "http" and not address.is_here:
            self._notes.append(
                f"The key in {key.variable} went there without encryption, since the address is http."
            )
        self.about = About(
            kind="endpoint",
            name=one_line(str(address), longest=300),
            base=served.base,
            parameters=served.parameters,
            precision=served.precision,
            notes=tuple(self._notes),
        )

    def prompted(self, given: Input) -> Prompted:
        """How it would be asked `given`; asks nothing."""
        return self._bodies.prompted(given)

    def write(
        self, inputs: Sequence[Input], *, max_new_tokens: int, on_rows: OnRows | None = None
    ) -> list[Answered]:
        """Its answers in the order of `inputs`, labels read out of words; what is asked twice is asked once.

        Raises:
            UserError: see `Side.write`. Questions under way then are waited for, and their answers kept.
        """
        started = time.perf_counter()
        bodies = self._bodies.bodies(
            inputs, model=self._address.model, max_new_tokens=max_new_tokens,
            identity={"base": self._address.base} | dict(self._served.identity), sends=self._served.sends,
        )  # fmt: skip
        replies: dict[str, Reply] = {}
        times = Counter(body.key for body in bodies)
        done = 0

        def take(key: str, reply: Reply, *, kept: bool) -> None:
            nonlocal done
            replies[key] = reply
            done += times[key]
            self._count(reply, kept=kept)
            if on_rows:
                on_rows(done, len(bodies))

        todo: dict[str, _Question] = {}
        for row, body in enumerate(bodies, start=1):
            if body.key in replies or body.key in todo:
                continue
            if kept := self._kept.find(body.key) if self._kept else None:
                take(body.key, kept, kept=True)
            else:
                todo[body.key] = _Question(row, body)
        try:
            if todo:
                asyncio.run(self._ask(list(todo.values()), max_new_tokens, take))
        finally:
            self.spent.seconds += time.perf_counter() - started
            self.about = replace(
                self.about,
                notes=(*self._notes, *self._seen.notes(self._kept, priced=self._settings.price is not None)),
            )
        # The space between a person's own prompt and its answer is not the answer's.
        after = " " if self._bodies.template is not None else ""
        return [replies[body.key].answered(self.task.labels, after=after) for body in bodies]

    def choose(self, inputs: Sequence[Input], *, on_rows: OnRows | None = None) -> list[Answered]:
        """Not here: see `abilities`."""
        raise NotImplementedError("an endpoint does not choose labels")

    def likelihoods(
        self, inputs: Sequence[Input], targets: Sequence[str], *, on_rows: OnRows | None = None
    ) -> list[float]:
        """Not here: see `abilities`."""
        raise NotImplementedError("an endpoint tells no likelihoods")

    def close(self) -> None:
        """Nothing is held between two calls."""

    async def _ask(self, todo: Sequence[_Question], max_new_tokens: int, take: Callable[..., None]) -> None:
        """Ask all of `todo`, as many at once as are allowed; the first alone, to get to know the server."""
        failed: list[Exception] = []
        waiting = iter(todo)
        limits = self._settings.limits

        async def work(most: int | None = None) -> None:
            for question in waiting:
                try:
                    reply = await self._reply(client, question, max_new_tokens)
                    if self._kept:
                        self._kept.add(question.body.key, reply)
                    take(question.body.key, reply, kept=False)
                except Exception as error:
                    failed.append(error)
                    client.give_up()
                if failed or most == 1:
                    return

        async with Client(self._address, self._key, limits, self.spent, pinned=self._pinned) as client:
            await work(most=1)
            if not failed:
                async with asyncio.TaskGroup() as group:
                    for _ in range(min(limits.in_flight, len(todo))):
                        group.create_task(work())
        if failed:
            raise failed[0]

    async def _reply(self, client: Client, question: _Question, max_new_tokens: int) -> Reply:
        """The answer to one question.

        Raises:
            UserError: it cannot be had.
        """
        where = f" row {question.row}"
        number = 0
        while True:
            try:
                found = await client.post(question.body.path, self._dialect.spoken(question.body.fields))
                reply = read_reply(found, max_new_tokens=max_new_tokens)
            except RefusalError as refusal:
                if not self._dialect.learn(refusal, question.body.fields):
                    raise client.explained(refusal, where) from None
            except TooLongError as error:
                raise UserError(
                    f"The server does not keep to the length that is asked for: {error}, in{where}",
                    got=str(self._address),
                    fix="Set the limit where the server is started, or ask another.",
                ) from None
            except NoAnswerError as error:
                number += 1
                if number >= self._settings.limits.tries:
                    raise UserError(
                        f"The server gives no answer to{where}, asked {number} times: {error}",
                        got=str(self._address),
                        fix="See that the address is that of a language model.",
                    ) from None
                self.spent.retries += 1
                await client.wait(number)
            else:
                # Whatever a server answers, the key that it was sent stays here.
                return reply.model_copy(
                    update={
                        "text": redact(reply.text) if self._key else reply.text,
                        "model": redact(reply.model),
                        "without": tuple(sorted(self._dialect.without)),
                        "at": int(time.time()),
                    }
                )

    def _count(self, reply: Reply, *, kept: bool) -> None:
        spent, price = self.spent, self._settings.price
        self._seen.take(reply, kept=kept)
        if kept:
            spent.from_cache += 1
        else:
            spent.prompt_tokens += reply.prompt_tokens or 0
            spent.tokens += reply.tokens or 0
        known = self._seen.uncounted == 0
        spent.dollars = price.of(spent.prompt_tokens, spent.tokens) if price and known else None


@dataclass(frozen=True)
class _Question:
    row: int
    """From 1: the first that asks this."""
    body: Body


def _file_name(address: Address) -> str:
    """Of the answers of this server's model."""
    digest = hashlib.sha256(str(address).encode()).hexdigest()[:16]
    return f"{re.sub(r'[^a-z0-9.-]', '_', address.host)[:60]}-{digest}"
