"""CSV, TSV and other delimited text → a table: its delimiter, its quotes and its header are found out.

Reads line by line from the file's bytes, so that the text is in memory once, as the fields.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import Any

from data.columns import KNOWN_NAMES, plain_name
from data.labelwords import read_values
from data.limits import MAX_LINE_BYTES
from data.problems import Problem
from data.readers.table import Table, check_columns, check_size
from plumbing.errors import DataError
from plumbing.printable import one_line

DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
SEPARATOR = re.compile(rb'(?:\xef\xbb\xbf)?"?sep=([\t -!#-~])"?[ \t]*\r?\n', re.IGNORECASE)
"""The line that Excel writes, and reads, before all others."""
NUMBER = re.compile(r"[+-]?\d+(?:,\d+)?", re.ASCII)
SNIFFED_ROWS = 200
SNIFFED_CHARS = 1_000_000
QUOTING_FIX = "Put quotes around a text that holds the delimiter, and double the quotes inside it."

Records = list[list[str]]


def read_delimited(content: bytes, name: str, *, tabs: bool, header_names: Collection[str]) -> Table:
    """Returns the table in `content`, which is UTF-8. A first row that has all `header_names` is a header.

    Rows of another width than the others are problems. Raises DataError if there are no columns.
    """
    shown = one_line(name)
    notes = []
    named = SEPARATOR.match(content)
    if named:
        content, delimiter = content[named.end() :], named[1].decode()
    else:
        delimiter = "\t" if tabs and b"\t" in content else _sniffed_delimiter(content)
    if delimiter is None:
        raise DataError(
            "No delimiter splits this file into columns",
            got=name,
            fix=f"Separate the columns by {' or '.join(DELIMITERS.values())}. {QUOTING_FIX}",
        )
    if delimiter != ("\t" if tabs else ","):
        notes.append(f"The columns of {shown} are separated by {DELIMITERS.get(delimiter, delimiter)}.")
    records = _records(content, delimiter)
    if not records:
        raise DataError("The file cannot be cut into rows: a quote is opened and never closed", fix=QUOTING_FIX)
    if _is_header(records, header_names):
        columns, first = _unique(records[0]), 1
    elif _is_numbered_header(records):
        columns, first = _unique(records[0]), 1
        notes.append(f"The first row of {shown} only counts the columns, so it is taken for their names.")
    else:
        columns, first = [f"column_{number}" for number in range(1, _usual_width(records) + 1)], 0
        notes.append(f"{shown} has no header, so its columns are called {columns[0]} to {columns[-1]}.")
    check_columns(columns)
    rows: list[tuple[int, dict[str, Any]]] = []
    problems: list[Problem] = []
    empty = dict.fromkeys(columns)
    for number in range(1, len(records) - first + 1):
        record = records[number + first - 1]
        records[number + first - 1] = []  # from here on the fields are held by the row
        if len(record) == len(columns):
            rows.append((number, dict(zip(columns, record, strict=True))))
        elif not any(field.strip() for field in record):
            rows.append((number, dict(empty)))
        else:
            fields = "1 field" if len(record) == 1 else f"{len(record)} fields"
            what = f"The row has {fields}, the file has {len(columns)} columns"
            problems.append(Problem(what, QUOTING_FIX, number))
    if delimiter != ",":
        notes += _without_decimal_commas(rows, columns)
    return Table(tuple(columns), tuple(rows), tuple(problems), tuple(notes))


def _without_decimal_commas(rows: list[tuple[int, dict[str, Any]]], columns: list[str]) -> list[str]:
    """Write 4,5 as 4.5 in columns that hold nothing but numbers; returns the notes that say so."""
    notes = []
    for column in columns:
        values = [value.strip() for _, row in rows if (value := row[column])]
        if all(NUMBER.fullmatch(value) for value in values) and any("," in value for value in values):
            for _, row in rows:
                row[column] = row[column] and row[column].strip().replace(",", ".")
            notes.append(f"The commas in the numbers of '{one_line(column)}' are decimal points.")
    return notes


def _lines(content: bytes) -> Iterator[str]:
    """The lines, whichever way they end; each with a line feed."""
    return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline=None)


def _records(content: bytes, delimiter: str) -> Records:
    """The lines as lists of fields, with quotes read as quotes only where the file means them so.

    In `he said "no" and left<TAB>0`, and in SST-2's `" a gem . "<TAB>1`, quotes are text. A quote that is
    taken for an opening one swallows lines up to the next quote, in silence.
    """
    quoted = _parsed(_lines(content), delimiter, quoting=csv.QUOTE_MINIMAL, strict=True)
    if quoted and _is_even(quoted):
        if delimiter == "\t" and b'"' in content:
            with suppress(DataError):  # read without quotes, one long text may be more rows than are allowed
                plain = _parsed(_lines(content), delimiter, quoting=csv.QUOTE_NONE)
                swallowed_lines = plain is not None and _is_even(plain) and len(plain) != len(quoted)
                return plain if plain and swallowed_lines else quoted
        return quoted
    del quoted
    plain = _parsed(_lines(content), delimiter, quoting=csv.QUOTE_NONE)
    if plain and _is_even(plain):
        return plain
    # Some lines are broken either way: the reading that leaves fewer of them is the better one to report.
    lenient = _parsed(_lines(content), delimiter, quoting=csv.QUOTE_MINIMAL)
    return max((lenient or [], plain or []), key=_evenness)


def _parsed(lines: Iterator[str], delimiter: str, *, quoting: Any, strict: bool = False) -> Records | None:
    """The records that are not empty; None where a quote closes in the middle of a field or never."""
    csv.field_size_limit(MAX_LINE_BYTES)  # 128 KB by default, which a long conversation can pass
    reader = csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=strict)
    records: Records = []
    cells = 0
    try:
        for record in reader:
            if record:
                records.append(record)
                cells += len(record)
                check_size(rows=len(records) - 1, cells=cells)
    except csv.Error:
        return None
    return records


def _is_even(records: Records) -> bool:
    return len({len(record) for record in records}) == 1


def _evenness(records: Records) -> float:
    """The share of records that have the usual number of fields."""
    width = _usual_width(records) if records else 0
    return sum(len(record) == width for record in records) / len(records) if records else 0.0


def _usual_width(records: Records) -> int:
    return Counter(len(record) for record in records).most_common(1)[0][0]


def _sniffed_delimiter(content: bytes) -> str | None:
    """The delimiter that gives the most lines the same number of fields, two or more."""
    sample: list[str] = []
    chars = 0
    for line in _lines(content):
        chars += len(line)
        if sample and (len(sample) >= SNIFFED_ROWS or chars > SNIFFED_CHARS):
            break
        sample.append(line)
    found = {}
    for delimiter in DELIMITERS:
        records = _parsed(iter(sample), delimiter, quoting=csv.QUOTE_MINIMAL) or []
        if records and _usual_width(records) >= 2:
            known_names = sum(plain_name(field) in KNOWN_NAMES for field in records[0])
            found[delimiter] = (_evenness(records), known_names)
    return max(found, key=lambda delimiter: found[delimiter]) if found else None


def _is_header(records: Records, header_names: Collection[str]) -> bool:
    """Whether the first record names the columns: by known or chosen names, or by looking unlike data."""
    first = [field.strip() for field in records[0]]
    if set(header_names) and set(header_names) <= set(first):
        return True
    if any(plain_name(field) in KNOWN_NAMES for field in first) and not any(_is_number(field) for field in first):
        return True
    looks_like_names = all(field and len(field) <= 40 and len(field.split()) <= 4 for field in first)
    holds_a_value = any(
        _is_number(field) or read_values({field.casefold()}, ("negative", "positive")) for field in first
    )
    return looks_like_names and not holds_a_value and len(set(first)) == len(first) and len(records) > 1


def _is_numbered_header(records: Records) -> bool:
    """Whether the first record counts 0, 1, 2, … or 1, 2, 3, …, as a table without names is saved.

    Before the first number there may be an empty field, over a column that counts the rows. Rows of numbers only
    may as well be data that begin with such a row.
    """
    first = [field.strip() for field in records[0]]
    if first[0] == "":
        first = first[1:]
    counted = any(first == [str(number + start) for number in range(len(first))] for start in (0, 1))
    holds_text = any(not _is_number(field) for record in records[1:SNIFFED_ROWS] for field in record if field)
    return len(first) > 1 and counted and holds_text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _unique(names: list[str]) -> list[str]:
    """The header's names; an empty or repeated one gets its place, so that no column hides another."""
    columns: dict[str, None] = {}
    for place, name in enumerate((name.strip() for name in names), start=1):
        unique = name if name and name not in columns else f"{name or 'column'}_{place}"
        while unique in columns:
            unique += "_"
        columns[unique] = None
    return list(columns)
