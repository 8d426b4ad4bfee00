"""Several files → the tables of one source: which of them is which split, and one after the other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any, TypeVar

from data.limits import MAX_FILE_BYTES
from data.problems import Problem
from data.readers import raw_text
from data.readers.parquet import length
from data.readers.table import FEWER, Table, check_columns, check_size
from data.splits import SPLIT_OF
from plumbing.errors import DataError

ABOUT = frozenset({"readme", "license", "licence", "changelog"})
IN_A_NAME = re.compile(rf"(?:^|[^a-z])({'|'.join(sorted(SPLIT_OF, key=len, reverse=True))})(?:[^a-z]|$)")

Named = TypeVar("Named", bound=PurePath)


def by_name(files: Sequence[Named]) -> dict[str, list[Named]]:
    """Returns split → its files, by what they are called; a single file is for training, whatever its name."""
    if len(files) == 1:
        return {"train": list(files)}
    splits: dict[str, list[Named]] = {}
    for path in files:
        found = IN_A_NAME.search(path.name.casefold())
        if found:
            splits.setdefault(SPLIT_OF[found[1]], []).append(path)
    return splits


def without_notes(files: Sequence[Named]) -> list[Named]:
    """Returns the files without those that are there to be read by people, such as README.md beside a table."""
    tables = [path for path in files if path.suffix.casefold() not in raw_text.SUFFIXES]
    if tables:
        return [path for path in files if path.suffix.casefold() != ".md"]
    return [path for path in files if path.stem.casefold() not in ABOUT] or list(files)


class Budget:
    """What may still be read of several files that are one source: as much as of one."""

    def __init__(self) -> None:
        self._rows = self._cells = self._chars = 0

    def spend(self, table: Table) -> Table:
        """Returns `table`. Raises DataError if it is too much, with those before it."""
        self._rows += len(table.rows)
        self._cells += len(table.rows) * len(table.columns)
        self._chars += sum(length(cell) for _, row in table.rows for cell in row.values())
        check_size(rows=self._rows, cells=self._cells)
        if self._chars > MAX_FILE_BYTES:
            raise DataError(f"The files hold more than {MAX_FILE_BYTES // 1_000_000} MB of text", fix=FEWER)
        return table


def joined(tables: Sequence[Table]) -> Table:
    """Returns the tables of one split one after the other; rows are numbered through."""
    if len(tables) == 1:
        return tables[0]
    columns = check_columns(list(dict.fromkeys(name for table in tables for name in table.columns)))
    rows: list[tuple[int, dict[str, Any]]] = []
    problems: list[Problem] = []
    before = 0
    for table in tables:
        rows += [(before + number, row) for number, row in table.rows]
        problems += [replace(problem, row=before + (problem.row or 0)) for problem in table.problems]
        before += len(table.rows) + len(table.problems)
    notes = dict.fromkeys(note for table in tables for note in table.notes)
    classes = {column: names for table in reversed(tables) for column, names in table.classes.items()}
    return Table(columns, tuple(rows), tuple(problems), tuple(notes), classes)
