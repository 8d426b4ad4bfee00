"""A part of some rows that stands for all of them: seeded, and with every label in its share.

Knows rows with the task's columns. Which rows are drawn depends on their texts and the seed, not on their order in
a file, and a larger part of the same rows holds nearly all of a smaller one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from data.tasks import Task
from data.tasks.task import as_text

if TYPE_CHECKING:
    from datasets import Dataset

TEST_SEED = 0
"""Of every part of a test split, whatever a run's own seed: runs are compared on the same rows."""


def sample(rows: Dataset, count: int | None, task: Task, *, seed: int = TEST_SEED) -> Dataset:
    """Returns `count` of the rows in their order; all of them for None, or where there are no more.

    For a classification every label has its share to within a row, and at least one row if `count` allows.
    """
    if count is None or count >= len(rows):
        return rows
    labels = rows[task.target_column][:] if task.is_classification else None
    texts = [as_text(given) for given in rows[task.input_column][:]]
    return rows.select(drawn(texts, count, labels=labels, seed=seed))


def drawn(texts: Sequence[str], count: int, *, labels: Sequence[str] | None = None, seed: int = 0) -> list[int]:
    """Returns the places of `count` of the `texts`, in ascending order; see `sample`."""
    strata: dict[str, list[int]] = {}
    for place, label in enumerate(labels if labels is not None else [""] * len(texts)):
        strata.setdefault(label, []).append(place)
    shares = _shares({label: len(places) for label, places in strata.items()}, count)
    chosen: list[int] = []
    for label, places in strata.items():
        ranked = sorted((_rank(texts[place], seed), place) for place in places)
        chosen += [place for _, place in ranked[: shares[label]]]
    return sorted(chosen)


def _shares(sizes: dict[str, int], count: int) -> dict[str, int]:
    """How many of each label: by largest remainder, after one of each where there are enough."""
    total = sum(sizes.values())
    shares = {label: count * size // total for label, size in sizes.items()}
    for label in sorted(sizes, key=lambda label: (-(count * sizes[label] % total), label)):
        shares[label] += sum(shares.values()) < count
    if count >= len(sizes):
        for label in (label for label in sizes if not shares[label]):
            shares[max(shares, key=lambda other: (shares[other], other))] -= 1
            shares[label] = 1
    return shares


def _rank(text: str, seed: int) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, salt=seed.to_bytes(16)).digest()
