"""Which rows are for training, validation and test.

Knows rows with the task's columns. The split of a row is decided by a hash of its input, never by its place
in the file or by a training seed, so the same rows give the same test split everywhere.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import takewhile
from typing import Any

from data.tasks import Task

SPLIT_NAMES = ("train", "validation", "test")

SPLIT_OF = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
"""What tools call a split → what it is here."""

ENOUGH_DOCUMENTS = 8
"""Of fewer, passages are divided and not documents: one would be all of a split."""

Row = dict[str, Any]

_BETWEEN_WORDS = re.compile(r"[\W_]+")
"""Whatever is not a letter or a digit."""
_HOW_IT_IS_DRAWN = re.compile(r"[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
"""Variation selectors, as after the heart of an emoji."""


def normalised(text: str, *, marks: bool = True) -> str:
    """Returns `text` as it is compared: Unicode NFKC, lower case, letters and digits with single spaces.

    The marks over, under or beside a letter belong to it, as the vowels of Hindi, Thai and Tamil are written.
    Without `marks` they are left out, and the word falls apart there, as in earlier versions.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    marked = marks and not folded.isascii() and any(map(_is_mark, set(folded)))
    return " ".join(_BETWEEN_WORDS.sub(_its_marks if marked else " ", folded).split()) or folded.strip()


def _its_marks(found: re.Match[str]) -> str:
    if not found.start():
        return " "
    between = found[0]
    return _short_marks_at(between) if len(between) <= 8 else _marks_at(between)


def _marks_at(between: str) -> str:
    """Of what follows a letter its marks, and a space for whatever else stands there."""
    marks = "".join(takewhile(_is_mark, between))
    return marks if marks == between else f"{marks} "


_short_marks_at = lru_cache(maxsize=4096)(_marks_at)


def _is_mark(sign: str) -> bool:
    """Whether it belongs to a letter before it; one that chooses how a sign is drawn says nothing."""
    return unicodedata.category(sign) in ("Mn", "Mc") and not _HOW_IT_IS_DRAWN.match(sign)


def same_text(text: str) -> str:
    """Returns a key that two texts share if they are equal as `normalised` writes them; short for any text."""
    return _hash(normalised(text))


def split_rows(
    rows: Iterable[Row], task: Task, *, test_fraction: float = 0.15, validation_fraction: float = 0.1
) -> dict[str, list[Row]]:
    """Returns the rows as train, validation and test, each in the order of `rows`.

    Rows with the same normalised input go to the same split. For a classification every label gives the same
    share to each split, and at least one row to each if it has three different inputs or more. The passages of a
    document stay together, if there are documents enough.
    """
    keyed = [(key, row) for row, key in _keyed(list(rows), task)]
    label_of: dict[str, str] = {}
    for key, row in keyed:
        label = row[task.target_column] if task.is_classification else ""
        label_of[key] = min(label, label_of.get(key, label))  # one text with two labels counts under one of them

    strata: dict[str, list[str]] = {}
    for key, label in label_of.items():
        strata.setdefault(label, []).append(key)

    split_of: dict[str, str] = {}
    for keys in strata.values():
        keys.sort()
        n_test = _share(len(keys), test_fraction)
        n_validation = _share(len(keys), validation_fraction)
        for index, key in enumerate(keys):
            in_validation = index < n_test + n_validation
            split_of[key] = "test" if index < n_test else "validation" if in_validation else "train"

    splits: dict[str, list[Row]] = {name: [] for name in SPLIT_NAMES}
    for key, row in keyed:
        splits[split_of[key]].append(row)
    return splits


def _keyed(rows: Sequence[Row], task: Task) -> list[tuple[Row, str]]:
    """Each row with the key that rows have in common that must not be apart."""
    if task.kind == "text" and len({row.get("document") for row in rows}) >= ENOUGH_DOCUMENTS:
        first = {row["document"]: task.text_of(row) for row in reversed(rows)}
        keys = {document: same_text(text) for document, text in first.items()}
        return [(row, keys[row["document"]]) for row in rows]
    return [(row, same_text(task.text_of(row))) for row in rows]


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
