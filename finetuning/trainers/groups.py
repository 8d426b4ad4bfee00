"""The order of rows for a trainer that samples answers: each row several times together, as a group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch.utils.data import Sampler

from finetuning.trainers.lengths import LikeLengthSampler


class GroupSampler(Sampler[int]):
    """Yields rows as `LikeLengthSampler` orders them, each `copies` times in a row, and each batch `times` times.

    Every batch has the same number of rows: the last of an epoch is filled up with rows that the epoch began with.
    TRL's own draws an epoch's order from a generator that goes on from epoch to epoch, so that a run which goes on
    in its third would see that of the first.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, *, copies: int, times: int, seed: int) -> None:
        """Args:
        lengths: of the rows.
        batch_size: different rows a batch.
        copies: answers that are sampled to each.
        times: how often a batch comes: as often as it is learned from.
        seed: of the order.
        """
        self._order = LikeLengthSampler(lengths, batch_size, seed=seed)
        self._batch_size, self._copies, self._times = batch_size, copies, times

    def set_epoch(self, epoch: int) -> None:
        """Called before every epoch."""
        self._order.set_epoch(epoch)

    def __len__(self) -> int:
        batches = -(-len(self._order) // self._batch_size)
        return batches * self._batch_size * self._copies * self._times

    def __iter__(self) -> Iterator[int]:
        order = list(self._order)
        for at in range(0, len(order), self._batch_size):
            rows = order[at : at + self._batch_size]
            while len(rows) < self._batch_size:
                rows += order[: self._batch_size - len(rows)]
            for _ in range(self._times):
                for row in rows:
                    yield from [row] * self._copies
