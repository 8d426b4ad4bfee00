"""What a file holds, before anybody asks which task it is for; and how much it may hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from data.limits import MAX_CELLS, MAX_COLUMNS, MAX_NAME_CHARS, MAX_ROWS
from data.problems import Problem, is_nothing
from plumbing.errors import DataError
from plumbing.printable import one_line

FEWER = "Keep the rows and columns that are needed, or cut the file into several."


@dataclass(frozen=True)
class Table:
    """What a file holds, before anybody asks which task it is for."""

    columns: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, Any]], ...]
    """(row number as a person counts, values by column)."""
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Column → the names of its classes in their order, where the file brings them."""


def without_blank_rows(table: Table, name: str) -> Table:
    """Returns `table` without the rows that hold nothing at all, as Excel leaves at the end; a note counts them."""
    rows = tuple(row for row in table.rows if not all(is_nothing(value) for value in row[1].values()))
    blank = len(table.rows) - len(rows)
    if not blank:
        return table
    what = "1 blank row" if blank == 1 else f"{blank:,} blank rows"
    return replace(table, rows=rows, notes=(*table.notes, f"{what} of {one_line(name)} left out."))


def check_columns(names: Sequence[str]) -> tuple[str, ...]:
    """Returns the names of a table's columns. Raises DataError if they are too many, too long or repeated."""
    if len(names) > MAX_COLUMNS:
        raise DataError(f"The file has more than {MAX_COLUMNS:,} columns", got=len(names), fix=FEWER)
    for name, count in Counter(names).items():
        if len(name) > MAX_NAME_CHARS:
            what = f"A column has a name of {len(name):,} characters, and the most is {MAX_NAME_CHARS}"
            raise DataError(what, got=one_line(name), fix="Write the names of the columns in the first row.")
        if count > 1:
            raise DataError("Two columns have the same name", got=name, fix="Give every column its own name.")
    return tuple(names)


def check_size(*, rows: int = 0, cells: int = 0) -> None:
    """Raises DataError for a table that is too large to hold."""
    if rows > MAX_ROWS:
        raise DataError(f"The file has more than {MAX_ROWS:,} rows", fix=FEWER)
    if cells > MAX_CELLS:
        raise DataError(f"The file has more than {MAX_CELLS:,} values", fix=FEWER)
