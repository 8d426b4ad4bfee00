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
from data.limits import MAX_COLUMNS, MAX_LINE_BYTES
from data.problems import Problem
from data.readers.headers import SNIFFED_ROWS, named_columns
from data.readers.table import Table, check_columns, check_size
from plumbing.errors import DataError
from plumbing.printable import one_line

DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
SEPARATOR = re.compile(rb'(?:\xef\xbb\xbf)?"?sep=([\t -!#-~])"?[ \t]*\r?\n', re.IGNORECASE)
"""The line that Excel writes, and reads, before all others."""
NUMBER = re.compile(r"[+-]?\d+(?:,\d+)?", re.ASCII)
SNIFFED_CHARS = 1_000_000
EVEN = 0.9
ENOUGH_LINES = 8
"""Lines of prose that have one comma each; of fewer, all may have."""
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
    if delimiter is None and plain_name(content[:100].decode(errors="ignore").partition("\n")[0]) in KNOWN_NAMES:
        delimiter = ","  # one column, with its name
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
    if _usual_width(records) > MAX_COLUMNS:
        check_columns(records[0])
    columns, first, said = named_columns(records, _usual_width(records), header_names, shown)
    notes += said
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


def is_delimited(content: bytes) -> bool:
    """Whether `content`, which is UTF-8, is a table by the look of it: nearly all of its lines have as many fields.

    For text that may be prose, which has commas, too.
    """
    if SEPARATOR.match(content):
        return True
    lines = content.count(b"\n", 0, SNIFFED_CHARS) + 1
    is_prose = 2 * content.count(b", ", 0, SNIFFED_CHARS) > content.count(b",", 0, SNIFFED_CHARS)
    for delimiter, (evenness, names) in _delimiters(content).items():
        sure = delimiter != "," or (lines >= ENOUGH_LINES and not is_prose)
        if (names and evenness >= EVEN) or (evenness == 1 and sure):
            return True
    return False


def _sniffed_delimiter(content: bytes) -> str | None:
    """The delimiter that gives the most lines the same number of fields, two or more."""
    found = _delimiters(content)
    return max(found, key=lambda delimiter: found[delimiter]) if found else None


def _delimiters(content: bytes) -> dict[str, tuple[float, int]]:
    """Delimiter → the share of lines that it cuts alike, and how many names of columns are known in the first."""
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
    return found
