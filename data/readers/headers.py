"""Whether the first row of a table names its columns; the same for delimited text and for sheets."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from data.columns import KNOWN_NAMES, plain_name
from data.labelwords import read_values

SNIFFED_ROWS = 200


def named_columns(
    records: Sequence[Sequence[str]], width: int, header_names: Collection[str], shown: str
) -> tuple[list[str], int, list[str]]:
    """Returns the names of the columns, how many of the `records` they take, and notes on how they were found.

    `records` may be the first of a table; `width` is how many columns there are where no row names them.
    """
    if is_header(records, header_names):
        return unique(records[0]), 1, []
    if is_numbered_header(records):
        note = f"The first row of {shown} only counts the columns, so it is taken for their names."
        return unique(records[0]), 1, [note]
    columns = [f"column_{number}" for number in range(1, width + 1)]
    note = f"{shown} has no header, so its columns are called {columns[0]} to {columns[-1]}."
    return columns, 0, [note]


def is_header(records: Sequence[Sequence[str]], header_names: Collection[str]) -> bool:
    """Whether the first record names the columns: by known or chosen names, or by looking unlike data."""
    first = [field.strip() for field in records[0]]
    if set(header_names) and set(header_names) <= set(first):
        return True
    if any(plain_name(field) in KNOWN_NAMES for field in first) and not any(is_number(field) for field in first):
        return True
    looks_like_names = all(field and len(field) <= 40 and len(field.split()) <= 4 for field in first)
    holds_a_value = any(
        is_number(field) or read_values({field.casefold()}, ("negative", "positive")) for field in first
    )
    return looks_like_names and not holds_a_value and len(set(first)) == len(first) and len(records) > 1


def is_numbered_header(records: Sequence[Sequence[str]]) -> bool:
    """Whether the first record counts 0, 1, 2, … or 1, 2, 3, …, as a table without names is saved.

    Before the first number there may be an empty field, over a column that counts the rows. Rows of numbers only
    may as well be data that begin with such a row.
    """
    first = [field.strip() for field in records[0]]
    if first[0] == "":
        first = first[1:]
    counted = any(first == [str(number + start) for number in range(len(first))] for start in (0, 1))
    holds_text = any(not is_number(field) for record in records[1:SNIFFED_ROWS] for field in record if field)
    return len(first) > 1 and counted and holds_text


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def unique(names: Sequence[str]) -> list[str]:
    """The header's names; an empty or repeated one gets its place, so that no column hides another."""
    columns: dict[str, None] = {}
    for place, name in enumerate((name.strip() for name in names), start=1):
        taken = name if name and name not in columns else f"{name or 'column'}_{place}"
        while taken in columns:
            taken += "_"
        columns[taken] = None
    return list(columns)
