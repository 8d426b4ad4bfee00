"""Batches that several processes share: each takes its part of the rows that one alone would take at once.

So a step learns from the same rows however many there are, and what is a mean over them stays one: parts of unequal
size, as of an epoch's last batch, count by their rows. Nothing here speaks with another process.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch.utils.data import DataLoader, Dataset, Sampler

SHARE = "share"
"""Where a batch holds its `Share`."""


@dataclass(frozen=True)
class Share:
    """One process's part of a batch."""

    places: list[int]
    """Of its rows. Where there are too few for all, it is one that another process has, and counts for nothing."""
    weight: float
    """What a mean over these rows counts for: by it, the mean over all processes is the mean over the batch."""
    even: bool
    """Whether all processes have as many rows."""

    @property
    def counts(self) -> bool:
        """Whether these rows are not another process's."""
        return self.weight > 0


def share_of(batch: Sequence[int], rank: int, processes: int) -> Share:
    """The part that `batch` has for process `rank`: neighbours, as many as the others have, or one more or less."""
    count, more = divmod(len(batch), processes)
    start = rank * count + min(rank, more)
    places = list(batch[start : start + count + (rank < more)])
    return Share(places or list(batch[:1]), len(places) * processes / len(batch), even=not more)


class ShareOfBatches(Sampler[Share]):
    """Yields one process's part of every batch."""

    def __init__(self, order: Any, batch_size: int, *, rank: int, processes: int) -> None:
        """Args:
        order: yields the rows of an epoch, the same in all processes; has `set_epoch`.
        batch_size: rows that all processes take at once.
        rank: of this process.
        processes: how many there are.
        """
        self.batch_sampler = order  # by this name the library finds whose `set_epoch` to call
        self._batch_size, self._rank, self._processes = batch_size, rank, processes

    def set_epoch(self, epoch: int) -> None:
        """Called before every epoch."""
        self.batch_sampler.set_epoch(epoch)

    def __len__(self) -> int:
        return math.ceil(len(self.batch_sampler) / self._batch_size)

    def __iter__(self) -> Iterator[Share]:
        order = list(self.batch_sampler)
        for at in range(0, len(order), self._batch_size):
            yield share_of(order[at : at + self._batch_size], self._rank, self._processes)


class _Rows(Dataset[Any]):
    """Rows that are asked for by a share, and come behind it."""

    def __init__(self, rows: Any) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: int) -> Any:
        return self._rows[place]

    def __getitems__(self, share: Share) -> list[Any]:
        return [share, *(self._rows[place] for place in share.places)]


def shared_batches(rows: Any, shares: ShareOfBatches, collate: Callable[[list[Any]], Any]) -> DataLoader[Any]:
    """A loader of one process's batches, each with its `Share` under the name `SHARE`."""

    def with_share(given: list[Any]) -> dict[str, Any]:
        share, *own = given
        return {**collate(own), SHARE: share}

    batches: Any = shares  # to the loader a share is a batch's places
    return DataLoader(_Rows(rows), batch_sampler=batches, collate_fn=with_share)
