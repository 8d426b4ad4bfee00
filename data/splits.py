"""Which rows are for training, validation and test.

Knows rows with the task's columns. The split of a row is decided by a hash of its input, never by its place
in the file or by a training seed, so the same rows give the same test split everywhere.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from data.tasks import Task

SPLIT_NAMES = ("train", "validation", "test")

Row = dict[str, Any]


def normalised(text: str) -> str:
    """Returns `text` as it is compared: Unicode NFKC, lower case, letters and digits with single spaces."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(char if char.isalnum() else " " for char in folded).split()) or folded.strip()


def split_rows(
    rows: Iterable[Row], task: Task, *, test_fraction: float = 0.15, validation_fraction: float = 0.1
) -> dict[str, list[Row]]:
    """Returns the rows as train, validation and test, each in the order of `rows`.

    Rows with the same normalised input go to the same split. For a classification every label gives the same
    share to each split, and at least one row to each if it has three different inputs or more.
    """
    keyed = [(normalised(row[task.input_column]), row) for row in rows]
    label_of: dict[str, str] = {}
    for text, row in keyed:
        label = row[task.target_column] if task.is_classification else ""
        label_of[text] = min(label, label_of.get(text, label))  # one text with two labels counts under one of them

    strata: dict[str, list[str]] = {}
    for text, label in label_of.items():
        strata.setdefault(label, []).append(text)

    split_of: dict[str, str] = {}
    for texts in strata.values():
        texts.sort(key=_hash)
        n_test = _share(len(texts), test_fraction)
        n_validation = _share(len(texts), validation_fraction)
        for index, text in enumerate(texts):
            in_validation = index < n_test + n_validation
            split_of[text] = "test" if index < n_test else "validation" if in_validation else "train"

    splits: dict[str, list[Row]] = {name: [] for name in SPLIT_NAMES}
    for text, row in keyed:
        splits[split_of[text]].append(row)
    return splits


def assign_splits(
    rows: Sequence[Mapping[str, Any]], sizes: Mapping[str, int], *, stratify_by: Sequence[str]
) -> list[Row]:
    """Returns the rows in a fixed shuffled order, each with a `split`: once, for a corpus that keeps it.

    Each split has exactly its size in `sizes` (which must add up to the number of rows) and holds its share
    of every value of the first column in `stratify_by`, and within that of the next, to within a row or two.
    """
    if sum(sizes.values()) != len(rows):
        raise ValueError(f"the sizes add up to {sum(sizes.values())}, but there are {len(rows)} rows")

    def shuffled(row: Mapping[str, Any]) -> str:
        return _hash("\x1f".join(str(value) for value in row.values()))

    in_strata = sorted(rows, key=lambda row: (*(str(row[name]) for name in stratify_by), shuffled(row)))
    given = dict.fromkeys(sizes, 0)
    assigned: list[Row] = []
    for count, row in enumerate(in_strata, start=1):
        # The split that is furthest behind its share takes the row: every stretch is shared out evenly.
        split = max(sizes, key=lambda name: sizes[name] * count / len(rows) - given[name])
        given[split] += 1
        assigned.append({**row, "split": split})
    return sorted(assigned, key=shuffled)


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _share(count: int, fraction: float) -> int:
    """How many of `count` make the fraction: at least one of three or more, none of fewer."""
    return 0 if fraction == 0 or count < 3 else max(1, round(count * fraction))
