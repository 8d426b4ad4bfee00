"""Batches of rows of like length, so that little of a batch is padding, in an order that is still random."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Sampler

from finetuning.trainers.arguments import batches_at_once
from finetuning.trainers.shares import ShareOfBatches, shared_batches


class LikeLengthSampler(Sampler[int]):
    """Yields every row once an epoch: shuffled, sorted by length within pools, the pools' batches shuffled again.

    `transformers`' own `LengthGroupedSampler` sorts pools of 50 batches and keeps their order, which on a small
    dataset means from the longest row to the shortest in every epoch.
    """

    def __init__(
        self, lengths: Sequence[int], batch_size: int, *, seed: int, pool_batches: int = 8, regroup: bool = True
    ) -> None:
        """Args:
        lengths: of the rows.
        batch_size: rows a batch.
        seed: of the order.
        pool_batches: batches that are sorted together.
        regroup: whether each epoch has batches of its own, or the first one's in another order.
        """
        self.regroup = regroup
        self.lengths = lengths
        self.batch_size = batch_size
        self.pool = batch_size * pool_batches
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called before every epoch, so that a run which goes on in its third sees the rows in the same order."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def batches(self) -> list[list[int]]:
        """The batches of an epoch, before they are shuffled."""
        return self._batches(torch.Generator().manual_seed(self.seed + (self.epoch if self.regroup else 0)))

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        batches = self._batches(generator) if self.regroup else self.batches()
        # Only the last batch of an epoch may be short: a short one elsewhere would shift all that follow.
        short = [batch for batch in batches if len(batch) < self.batch_size]
        full = [batch for batch in batches if len(batch) == self.batch_size]
        for number in torch.randperm(len(full), generator=generator).tolist():
            yield from full[number]
        for batch in short:
            yield from batch

    def _batches(self, generator: torch.Generator) -> list[list[int]]:
        order = torch.randperm(len(self.lengths), generator=generator).tolist()
        batches: list[list[int]] = []
        for start in range(0, len(order), self.pool):
            pool = sorted(order[start : start + self.pool], key=lambda index: self.lengths[index])
            batches += [pool[at : at + self.batch_size] for at in range(0, len(pool), self.batch_size)]
        return batches


class LikeLengthBatches:
    """Mixed into a `transformers.Trainer`, makes it train on batches from `LikeLengthSampler`.

    Several processes share each of them: a batch has the rows that it has in one.
    """

    args: Any
    data_collator: Any
    train_dataset: Any

    def row_lengths(self, rows: Any) -> list[int]:
        """How many tokens each row takes in a batch."""
        return [len(ids) for ids in rows["input_ids"]]

    def get_train_dataloader(self) -> Any:
        """The library's would give each process batches of its own, and fill the last ones up with rows again."""
        processes, size = self.args.world_size, self.args.train_batch_size
        if processes == 1:
            return super().get_train_dataloader()  # type: ignore[misc]
        rows = self._remove_unused_columns(self.train_dataset, description="Training")  # type: ignore[attr-defined]
        at_once = size * batches_at_once(size, processes)
        order, rank = self._get_train_sampler(), self.args.process_index
        shares = ShareOfBatches(order, at_once, rank=rank, processes=processes)
        return shared_batches(rows, shares, self.data_collator)

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        rows = train_dataset if train_dataset is not None else self.train_dataset
        return LikeLengthSampler(self.row_lengths(rows), self.args.train_batch_size, seed=self.args.seed)
