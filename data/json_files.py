"""JSON and JSON Lines → a table. Of a nested value only a list of texts is kept as it is.

A number, a text or a list of texts may be what a task needs; anything else in a cell is remembered as an
empty list or object, so that it can be complained about without being held.
"""

from __future__ import annotations

import io
import json
from typing import Any

from data.errors import DataError
from data.limits import MAX_BRACKETS, MAX_COLUMNS
from data.printable import brief
from data.table import Table, check_columns, check_size
from data.validate import Problem

NAMES = {
    dict: "an object",
    list: "a list",
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "true or false",
}


class _Refused(ValueError):
    """Valid JSON that has no one meaning."""


def read_json_lines(content: bytes) -> Table:
    """Returns the table in `content`, one object a line. Lines that are not JSON objects are problems."""
    _check_brackets(content)
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
        except _Refused as error:
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


def read_json(content: bytes, name: str) -> Table:
    """Returns the table in `content`: a list of objects, alone or as a value of an object.

    Raises DataError if the file is not JSON or holds no list of rows.
    """
    _check_brackets(content)
    try:
        value = _parsed(content.decode())
    except json.JSONDecodeError as error:
        first_line, _, rest = content.lstrip().partition(b"\n")
        if rest.strip() and _is_object(first_line):
            return read_json_lines(content)  # many data sets call JSON Lines .json
        raise DataError(
            f"The file is not JSON: {error.msg} at line {error.lineno}, character {error.colno}",
            got=name,
            fix='Write a list of objects, [{"…": …}, …], or name it .jsonl if it has one object a line.',
        ) from None
    except _Refused as error:
        raise DataError(f"The JSON file cannot be used: {error}", got=name, fix="Correct the file.") from None
    if isinstance(value, dict):
        lists = [item for item in value.values() if isinstance(item, list) and item and isinstance(item[0], dict)]
        value = value["data"] if isinstance(value.get("data"), list) else lists[0] if len(lists) == 1 else value
    if not isinstance(value, list):
        raise DataError(
            "The JSON file does not hold a list of rows",
            got=name,
            fix='Write [{"…": …}, …] or {"data": [{"…": …}, …]}.',
        )
    check_size(rows=len(value), cells=sum(_cells(item) for item in value if isinstance(item, dict)))
    rows: list[tuple[int, dict[str, Any]]] = []
    problems: list[Problem] = []
    for number, item in enumerate(value, start=1):
        value[number - 1] = None  # from here on it is held by the row
        try:
            row = _row(item)
        except _Refused as error:
            problems.append(Problem(f"The row cannot be used: {error}", "Correct or remove it.", number))
            continue
        if row is None:
            what = f"The row is not an object: it is {NAMES.get(type(item), 'nothing')}"
            problems.append(Problem(what, 'Write it as {"column": "value", …}.', number))
        else:
            rows.append((number, row))
    return Table(_all_columns(rows), tuple(rows), tuple(problems))


def _check_brackets(content: bytes) -> None:
    if content.count(b"{") + content.count(b"[") > MAX_BRACKETS:
        raise DataError(
            f"The file holds more than {MAX_BRACKETS:,} lists and objects", fix="Cut it into several files."
        )


def _parsed(text: str) -> Any:
    """Raises JSONDecodeError for what is not JSON, _Refused for what should not be read."""
    try:
        return json.loads(text.removeprefix("\ufeff"), object_pairs_hook=_object)
    except RecursionError:
        raise _Refused("it is nested too deeply") from None
    except (json.JSONDecodeError, _Refused):
        raise
    except ValueError:
        raise _Refused("it holds a number of thousands of digits") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Refused(f"{brief(next(name for name in names if names.count(name) > 1))} is there twice")
    return row


def _row(value: Any) -> dict[str, Any] | None:
    """The object `value` with plain values; None if it is no object."""
    if not isinstance(value, dict):
        return None
    return {_whole(name): _whole(item) if isinstance(item, str) else _plain(item) for name, item in value.items()}


def _cells(row: dict[str, Any]) -> int:
    """How many values the row holds, those of a list counted each."""
    return len(row) + sum(len(item) for item in row.values() if isinstance(item, list))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {}
    if isinstance(value, list):
        return [_whole(item) for item in value] if all(isinstance(item, str) for item in value) else [None]
    return value


def _whole(text: str) -> str:
    """`text`, unless an escape in it is half of a pair, which no encoding can write."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(text[error.start]):04x}"
        raise _Refused(f"it holds {half}, which is half of a character") from None
    return text


def _kind(line: bytes) -> str:
    return NAMES.get(type(json.loads(line)), "nothing")


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
