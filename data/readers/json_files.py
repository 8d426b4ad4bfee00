"""JSON and JSON Lines → tables. Of nested values a cell keeps what a task may need; see `data.readers.cells`."""

from __future__ import annotations

import io
import json
from typing import Any

from data.limits import MAX_BRACKETS, MAX_COLUMNS
from data.problems import Problem
from data.readers.cells import cell_of, whole
from data.readers.conversations import Refused
from data.readers.json_shapes import splits_in
from data.readers.table import Table, check_columns, check_size
from plumbing.errors import DataError
from plumbing.printable import brief

NAMES = {
    dict: "an object",
    list: "a list",
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "true or false",
}


def read_json_lines(content: bytes, name: str) -> dict[str, Table]:
    """Returns split → table, one object a line. Lines that are not JSON objects are problems.

    Many files are called so that are one list, or objects written over several lines: they are read as that.
    """
    _check_brackets(content)
    first_line = content.lstrip().partition(b"\n")[0]
    if first_line.startswith(b"[") and not _is_list(first_line, of_several=content):
        return read_json(content, name)
    if first_line.startswith(b"{") and not _is_object(first_line):
        objects = _one_after_the_other(content.decode())
        if objects is not None:
            return {"train": _table(objects)}
    return {"train": _lines(content)}


def read_json(content: bytes, name: str) -> dict[str, Table]:
    """Returns split → table: a list of objects, alone or as a value of an object, or what pandas writes.

    Raises DataError if the file is not JSON or holds no rows.
    """
    _check_brackets(content)
    try:
        value = _parsed(content.decode())
    except json.JSONDecodeError as error:
        first_line, _, rest = content.lstrip().partition(b"\n")
        if rest.strip() and _is_object(first_line):
            return {"train": _lines(content)}  # many data sets call JSON Lines .json
        raise DataError(
            f"The file is not JSON: {error.msg} at line {error.lineno}, character {error.colno}",
            got=name,
            fix='Write a list of objects, [{"…": …}, …], or name it .jsonl if it has one object a line.',
        ) from None
    except Refused as error:
        raise DataError(f"The JSON file cannot be used: {error}", got=name, fix="Correct the file.") from None
    splits = splits_in(value)
    if splits is None:
        raise DataError(
            "The JSON file does not hold a list of rows",
            got=name,
            fix='Write [{"…": …}, …] or {"data": [{"…": …}, …]}; with pandas, df.to_json(path, orient="records").',
        )
    del value
    return {split: _table(items) for split, items in splits.items()}


def _lines(content: bytes) -> Table:
    rows: list[tuple[int, dict[str, Any]]] = []
    problems: list[Problem] = []
    cells = 0
    # Not splitlines(): a JSON string may hold U+2028, which is not the end of a line.
    for number, line in enumerate(io.BytesIO(content), start=1):
        if not line.strip():
            continue
        check_size(rows=len(rows) + len(problems) + 1, cells=cells)
        try:
            row = _row(_parsed(line.decode()))
        except json.JSONDecodeError as error:
            what = f"Line {number} is not JSON: {error.msg} at character {error.colno}"
            problems.append(Problem(what, 'Write one whole {"…": …} a line.', number))
        except Refused as error:
            problems.append(Problem(f"Line {number} cannot be used: {error}", "Correct or remove it.", number))
        else:
            if row is None:
                what = f"Line {number} is JSON but not an object: it is {_kind(line)}"
                problems.append(Problem(what, 'Write one {"column": "value", …} a line.', number))
                continue
            cells += _cells(row)
            rows.append((number, row))
    check_size(cells=cells)
    return Table(_all_columns(rows), tuple(rows), tuple(problems))


def _table(items: list[Any]) -> Table:
    """The objects of a list as rows; what is no object is a problem. Takes the list apart."""
    check_size(rows=len(items), cells=sum(_cells(item) for item in items if isinstance(item, dict)))
    rows: list[tuple[int, dict[str, Any]]] = []
    problems: list[Problem] = []
    for number, item in enumerate(items, start=1):
        items[number - 1] = None  # from here on it is held by the row
        try:
            row = _row(item)
        except Refused as error:
            problems.append(Problem(f"The row cannot be used: {error}", "Correct or remove it.", number))
            continue
        if row is None:
            what = f"The row is not an object: it is {NAMES.get(type(item), 'nothing')}"
            problems.append(Problem(what, 'Write it as {"column": "value", …}.', number))
        else:
            rows.append((number, row))
    return Table(_all_columns(rows), tuple(rows), tuple(problems))


def _one_after_the_other(text: str) -> list[Any] | None:
    """The objects that stand one after the other, over however many lines; None if there is anything else."""
    decoder = json.JSONDecoder(object_pairs_hook=_object)
    text = text.removeprefix("\ufeff").strip()
    found: list[Any] = []
    place = 0
    try:
        while place < len(text):
            value, place = decoder.raw_decode(text, place)
            if not isinstance(value, dict):
                return None
            found.append(value)
            check_size(rows=len(found))
            while place < len(text) and text[place] in " \t\r\n":
                place += 1
    except (ValueError, RecursionError):
        return None
    return found


def _check_brackets(content: bytes) -> None:
    if content.count(b"{") + content.count(b"[") > MAX_BRACKETS:
        raise DataError(
            f"The file holds more than {MAX_BRACKETS:,} lists and objects", fix="Cut it into several files."
        )


def _parsed(text: str) -> Any:
    """Raises JSONDecodeError for what is not JSON, Refused for what should not be read."""
    try:
        return json.loads(text.removeprefix("\ufeff"), object_pairs_hook=_object)
    except RecursionError:
        raise Refused("it is nested too deeply") from None
    except (json.JSONDecodeError, Refused):
        raise
    except ValueError:
        raise Refused("it holds a number of thousands of digits") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        raise Refused(f"{brief(next(name for name in names if names.count(name) > 1))} is there twice")
    return row


def _row(value: Any) -> dict[str, Any] | None:
    """The object `value` with plain values; None if it is no object."""
    if not isinstance(value, dict):
        return None
    return {whole(name): cell_of(item) for name, item in value.items()}


def _cells(row: dict[str, Any]) -> int:
    """How many values the row holds, those of a list counted each."""
    return len(row) + sum(len(item) for item in row.values() if isinstance(item, list))


def _kind(line: bytes) -> str:
    return NAMES.get(type(json.loads(line)), "nothing")


def _is_list(line: bytes, *, of_several: bytes) -> bool:
    """Whether a line is a list by itself, with other lines after it."""
    try:
        return isinstance(_parsed(line.decode()), list) and len(of_several.strip()) > len(line.strip())
    except ValueError:
        return False


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(_parsed(line.decode("utf-8-sig")), dict)
    except ValueError:
        return False


def _all_columns(rows: list[tuple[int, dict[str, Any]]]) -> tuple[str, ...]:
    columns: dict[str, None] = {}
    for _, row in rows:
        columns.update(dict.fromkeys(row))
        if len(columns) > MAX_COLUMNS:
            break
    return check_columns(list(columns))
