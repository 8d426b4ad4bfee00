"""Which rows go through a model together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


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
