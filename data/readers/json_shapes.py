"""Where the rows are in a JSON value: the shapes in which tools write a table, or several splits of one.

Knows values that were parsed, no files; makes a list of rows for each split.
"""

from __future__ import annotations

from typing import Any

from data.readers.table import check_size
from data.splits import SPLIT_OF


def splits_in(value: Any) -> dict[str, list[Any]] | None:
    """Returns split → rows, one split being called train; None where there are no rows.

    A list; an object with splits by name; one that holds a single list of objects, or one called data; and what
    pandas writes: columns of lists, columns of objects by index, rows by index, and the orient called split.
    """
    if isinstance(value, list):
        return {"train": value}
    if not isinstance(value, dict):
        return None
    if splits := _named(value):
        return splits
    names, data = value.get("columns"), value.get("data")
    if isinstance(names, list) and isinstance(data, list) and data and isinstance(data[0], list):
        check_size(rows=len(data), cells=len(data) * len(names))
        keys = [str(name) for name in names]
        whole = [isinstance(row, list) and len(row) == len(keys) for row in data]
        return {
            "train": [dict(zip(keys, row, strict=True)) if ok else row for row, ok in zip(data, whole, strict=True)]
        }
    if isinstance(data, list):
        return {"train": data}
    lists = [item for item in value.values() if isinstance(item, list) and item and isinstance(item[0], dict)]
    if len(lists) == 1:
        return {"train": lists[0]}
    rows = _of_columns(value)
    return None if rows is None else {"train": rows}


def _named(value: dict[str, Any]) -> dict[str, list[Any]] | None:
    if not all(name.casefold() in SPLIT_OF and isinstance(rows, list) for name, rows in value.items()):
        return None
    splits = {SPLIT_OF[name.casefold()]: rows for name, rows in value.items()}
    return splits if len(splits) == len(value) and splits.get("train") else None


def _of_columns(value: dict[str, Any]) -> list[Any] | None:
    """The rows of an object of columns that are equally long, or of rows by their index."""
    columns = list(value.values())
    if len(columns) < 2:
        return None
    if all(isinstance(column, list) for column in columns):
        lengths = {len(column) for column in columns}
        if len(lengths) > 1 or any(isinstance(cell, dict) for column in columns for cell in column):
            return None
        check_size(rows=len(columns[0]), cells=len(columns[0]) * len(columns))
        return [dict(zip(value, cells, strict=True)) for cells in zip(*columns, strict=True)]
    if not all(isinstance(column, dict) for column in columns):
        return None
    if all(name.isdecimal() for name in value) and not all(key.isdecimal() for key in columns[0]):
        return columns  # rows by their index
    places = list(columns[0])
    if len(places) < 2 or any(column.keys() != columns[0].keys() for column in columns):
        return None
    check_size(rows=len(places), cells=len(places) * len(columns))
    return [{name: column[place] for name, column in value.items()} for place in places]
