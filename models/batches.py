"""Which rows go through a model together, and by which process, where several do the same work.

Batches are the same then, and each of them is gone through by one process; every process ends with what all have
found, so that it goes on as if it had done all by itself. Who the others are, whoever starts them says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

V = TypeVar("V")


@dataclass(frozen=True)
class Others:
    """The processes that do the same work, this one among them."""

    rank: int
    processes: int
    listed: Callable[[list[Any]], list[Any]]
    """What each of them has → what all have, one behind the other; each has to call it."""


_others: ContextVar[Others | None] = ContextVar("others", default=None)


@contextmanager
def shared_with(others: Others) -> Iterator[None]:
    """Within it, batches are shared with `others`, who ask the same of the same rows in the same order."""
    token = _others.set(others)
    try:
        yield
    finally:
        _others.reset(token)


def each_row(
    batches: Iterable[list[int]],
    ask: Callable[[list[int]], Iterable[V]],
    count: int,
    on_batch: Callable[[int, int], None] | None = None,
) -> list[V]:
    """What `ask` gives for the rows of every batch, in the order of the rows.

    Args:
        batches: indexes of rows; together each of them once.
        ask: the indexes of a batch → something for each.
        count: of all rows.
        on_batch: called with the number of rows done and of all.
    """
    others = _others.get()
    own = batches if others is None else list(batches)[others.rank :: others.processes]
    found: dict[int, V] = {}
    for indexes in own:
        found |= dict(zip(indexes, ask(indexes), strict=True))
        if on_batch:
            done = len(found) * (others.processes if others else 1)
            on_batch(min(done, count), count)
    if others is not None:
        found = dict(others.listed(list(found.items())))
    return [found[index] for index in range(count)]


def like_lengths(lengths: Sequence[int], batch_size: int, most_tokens: int | None = None) -> Iterator[list[int]]:
    """Indexes of rows in batches of like length, the shortest first, so that little of a batch is padding.

    Args:
        lengths: of the rows, in tokens.
        batch_size: rows a batch, at most.
        most_tokens: tokens of a batch of several rows, padding included, at most.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: lengths[index]):
        is_full = most_tokens is not None and (len(batch) + 1) * lengths[index] > most_tokens
        if batch and (is_full or len(batch) == batch_size):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
