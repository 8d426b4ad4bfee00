"""A table out of one file: JSON Lines, JSON, CSV, TSV, other delimited text, Parquet.

Knows formats, encodings, delimiters and headers; knows nothing about tasks beyond the column names that
betray a header. What is wrong with single lines is collected in `Table.problems`, so that a person sees all
of it at once; what makes the whole file unreadable is a DataError.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.columns import KNOWN_NAMES, plain_name
from data.errors import DataError
from data.labelwords import read_values
from data.validate import Problem, ProblemsError

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt", ".parquet")
DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
SNIFFED_ROWS = 200
LONGEST_FIELD = 10_000_000
QUOTING_FIX = "Put quotes around a text that holds the delimiter, and double the quotes inside it."
UTF8_FIX = "Save the file as UTF-8 (in Excel: 'CSV UTF-8')."


@dataclass(frozen=True)
class Table:
    """What a file holds, before anybody asks which task it is for."""

    columns: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, Any]], ...]
    """(row number as a person counts, values by column)."""
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def read_table(path: Path, *, header_names: Collection[str] = ()) -> Table:
    """Returns the table in `path`, by its suffix. A first row that has all `header_names` is a header.

    Raises DataError if the file is missing, empty or of an unknown kind, ProblemsError if it is not UTF-8.
    """
    if not path.is_file():
        what = "This is a folder, not a file" if path.is_dir() else "There is no such file"
        raise DataError(what, got=str(path), fix=f"Paths are relative to {Path.cwd()}.")
    suffix = path.suffix.casefold()
    if suffix not in SUFFIXES:
        raise DataError(
            "A file of this kind cannot be read", got=path.name, fix=f"Use one of: {', '.join(SUFFIXES)}."
        )
    if suffix == ".parquet":
        table = _parquet(path)
    else:
        text = _decoded(path)
        if not text.strip():
            raise DataError("The file is empty", got=str(path), fix="Choose a file with rows in it.")
        if suffix in (".jsonl", ".ndjson"):
            table = _json_lines(text)
        elif suffix == ".json":
            table = _json(text, path)
        else:
            table = _delimited(text, path, tabs=suffix == ".tsv", header_names=header_names)
    if not table.rows and not table.problems:
        raise DataError("The file has no rows", got=str(path), fix="Choose a file with rows in it.")
    return table


def _decoded(path: Path) -> str:
    content = path.read_bytes()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ProblemsError([Problem("The file is UTF-16, not UTF-8", UTF8_FIX)], source=path.name)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        problems = []
        for number, line in enumerate(content.split(b"\n"), start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                byte, place = line[error.start], error.start + 1
                problems.append(
                    Problem(f"Not UTF-8: byte 0x{byte:02x} at position {place} of line {number}", UTF8_FIX)
                )
        raise ProblemsError(problems, source=path.name) from None


# ---- JSON and Parquet --------------------------------------------------------------------------------------


def _json_lines(text: str) -> Table:
    rows: list[tuple[int, dict[str, Any]]] = []
    problems: list[Problem] = []
    # Not splitlines(): a JSON string may hold U+2028, which is not the end of a line.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            what = f"Line {number} is not JSON: {error.msg} at character {error.colno}"
            problems.append(Problem(what, 'Write one whole {"…": …} a line.', number))
            continue
        if isinstance(value, dict):
            rows.append((number, value))
        else:
            what = f"Line {number} is JSON but not an object: it is a {type(value).__name__}"
            problems.append(Problem(what, 'Write one {"column": "value", …} a line.', number))
    return Table(_all_columns(rows), tuple(rows), tuple(problems))


def _json(text: str, path: Path) -> Table:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        first_line = text.lstrip().split("\n", 1)[0]
        if _is_object(first_line) and "\n" in text.strip():
            return _json_lines(text)  # many data sets call JSON Lines .json
        raise DataError(
            f"The file is not JSON: {error.msg} at line {error.lineno}, character {error.colno}",
            got=path.name,
            fix='Write a list of objects, [{"…": …}, …], or name it .jsonl if it has one object a line.',
        ) from None
    if isinstance(value, dict):
        lists = [item for item in value.values() if isinstance(item, list) and item and isinstance(item[0], dict)]
        value = value["data"] if isinstance(value.get("data"), list) else lists[0] if len(lists) == 1 else value
    if not isinstance(value, list):
        raise DataError(
            "The JSON file does not hold a list of rows",
            got=path.name,
            fix='Write [{"…": …}, …] or {"data": [{"…": …}, …]}.',
        )
    rows = [(number, row) for number, row in enumerate(value, start=1) if isinstance(row, dict)]
    problems = [
        Problem(
            f"The row is not an object: it is a {type(row).__name__}",
            'Write it as {"column": "value", …}.',
            number,
        )
        for number, row in enumerate(value, start=1)
        if not isinstance(row, dict)
    ]
    return Table(_all_columns(rows), tuple(rows), tuple(problems))


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except json.JSONDecodeError:
        return False


def _all_columns(rows: list[tuple[int, dict[str, Any]]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for _, row in rows for name in row))


def _parquet(path: Path) -> Table:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        first_line = str(error).strip().split("\n", 1)[0]
        raise DataError(
            "The Parquet file cannot be read", got=path.name, fix=f"The reader says: {first_line}"
        ) from None
    return Table(tuple(table.column_names), tuple(enumerate(table.to_pylist(), start=1)))


# ---- delimited text ----------------------------------------------------------------------------------------


def _delimited(text: str, path: Path, *, tabs: bool, header_names: Collection[str]) -> Table:
    notes = []
    delimiter = "\t" if tabs and "\t" in text else _sniffed_delimiter(text)
    if delimiter is None:
        raise DataError(
            "No delimiter splits this file into columns",
            got=path.name,
            fix=f"Separate the columns by {' or '.join(DELIMITERS.values())}. {QUOTING_FIX}",
        )
    if delimiter != ("\t" if tabs else ","):
        notes.append(f"The columns of {path.name} are separated by {DELIMITERS[delimiter]}.")
    records = _records(text, delimiter)
    if _is_header(records, header_names):
        columns, data = _unique(records[0]), records[1:]
    else:
        columns, data = [f"column_{number}" for number in range(1, _usual_width(records) + 1)], records
        notes.append(f"{path.name} has no header, so its columns are called {columns[0]} to {columns[-1]}.")
    rows: list[tuple[int, dict[str, Any]]] = []
    problems: list[Problem] = []
    for number, record in enumerate(data, start=1):
        if len(record) == len(columns):
            rows.append((number, dict(zip(columns, record, strict=True))))
        else:
            fields = "1 field" if len(record) == 1 else f"{len(record)} fields"
            what = f"The row has {fields}, the file has {len(columns)} columns"
            problems.append(Problem(what, QUOTING_FIX, number))
    return Table(tuple(columns), tuple(rows), tuple(problems), tuple(notes))


def _records(text: str, delimiter: str) -> list[list[str]]:
    """The lines as lists of fields, with quotes read as quotes only where the file means them so.

    In `he said "no" and left<TAB>0`, and in SST-2's `" a gem . "<TAB>1`, quotes are text. A quote that is
    taken for an opening one swallows lines up to the next quote, in silence.
    """
    quoted = _parsed(text, delimiter, quoting=csv.QUOTE_MINIMAL, strict=True)
    plain = _parsed(text, delimiter, quoting=csv.QUOTE_NONE)
    if quoted and _is_even(quoted):
        swallowed_lines = plain is not None and _is_even(plain) and len(plain) != len(quoted)
        return plain if plain and swallowed_lines and delimiter == "\t" else quoted
    if plain and _is_even(plain):
        return plain
    # Some lines are broken either way: the reading that leaves fewer of them is the better one to report.
    lenient = _parsed(text, delimiter, quoting=csv.QUOTE_MINIMAL)
    return max((lenient or [], plain or []), key=_evenness)


def _parsed(text: str, delimiter: str, *, quoting: Any, strict: bool = False) -> list[list[str]] | None:
    lines = text.replace("\r\n", "\n").split("\n")
    csv.field_size_limit(LONGEST_FIELD)  # 128 KB by default, which a long conversation can pass
    reader = csv.reader((f"{line}\n" for line in lines), delimiter=delimiter, quoting=quoting, strict=strict)
    try:
        return [record for record in reader if record]
    except csv.Error:  # a quote that closes in the middle of a field or never
        return None


def _is_even(records: list[list[str]]) -> bool:
    return len({len(record) for record in records}) == 1


def _evenness(records: list[list[str]]) -> float:
    """The share of records that have the usual number of fields."""
    width = _usual_width(records) if records else 0
    return sum(len(record) == width for record in records) / len(records) if records else 0.0


def _usual_width(records: list[list[str]]) -> int:
    return Counter(len(record) for record in records).most_common(1)[0][0]


def _sniffed_delimiter(text: str) -> str | None:
    """The delimiter that gives the most lines the same number of fields, two or more."""
    sample = "\n".join(text.split("\n")[:SNIFFED_ROWS])
    found = {}
    for delimiter in DELIMITERS:
        records = _parsed(sample, delimiter, quoting=csv.QUOTE_MINIMAL) or []
        if records and _usual_width(records) >= 2:
            known_names = sum(plain_name(field) in KNOWN_NAMES for field in records[0])
            found[delimiter] = (_evenness(records), known_names)
    return max(found, key=lambda delimiter: found[delimiter]) if found else None


def _is_header(records: list[list[str]], header_names: Collection[str]) -> bool:
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


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _unique(names: list[str]) -> list[str]:
    """The header's names; an empty or repeated one gets its place, so that no column hides another."""
    columns: list[str] = []
    for place, name in enumerate((name.strip() for name in names), start=1):
        columns.append(name if name and name not in columns else f"{name or 'column'}_{place}")
    return columns
