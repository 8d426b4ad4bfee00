"""Class ids → the names that the file itself gives them, as the library `datasets` writes them.

They stand in a Parquet or Arrow schema's metadata under `huggingface`, or in a `dataset_info.json` beside the file.
Where there are names nothing is guessed: 0 is whatever the file says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from data.limits import MAX_LINE_BYTES
from data.readers.table import Table
from plumbing.printable import one_line

DESCRIPTION = "dataset_info.json"
METADATA_KEY = b"huggingface"
SHOWN = 12
ID = re.compile(r"-?\d{1,9}(?:\.0)?", re.ASCII)

ClassNames = dict[str, list[str]]
"""Column → the names of its classes, in the order of their ids."""


def names_in_schema(metadata: Mapping[bytes, bytes] | None) -> ClassNames:
    """Returns the class names in the metadata of an Arrow schema; nothing where it has none."""
    described = _parsed((metadata or {}).get(METADATA_KEY, b""))
    info = described.get("info")
    return _names_of(info.get("features")) if isinstance(info, dict) else {}


def names_beside(path: Path) -> ClassNames:
    """Returns the class names that a `dataset_info.json` in the folder of `path` gives; nothing without one."""
    described = path.with_name(DESCRIPTION)
    try:
        if not described.is_file() or described.stat().st_size > MAX_LINE_BYTES:
            return {}
        return _names_of(_parsed(described.read_bytes()).get("features"))
    except (OSError, ValueError):
        return {}


def with_class_names(table: Table, names: ClassNames) -> Table:
    """Returns `table` with class ids written as their names, and a note that says so.

    An id without a name, such as the -1 that stands for a secret label, becomes nothing. A value that is no id
    stays as it is.
    """
    known = {column: classes for column, classes in names.items() if column in table.columns}
    notes = []
    for column, classes in known.items():
        values = [value for _, row in table.rows if (value := row.get(column)) not in (None, "")]
        are_ids = any(_class_id(value) is not None for value in values)
        # A number is an id, even where the names are numbers; only a text may be a name already.
        if all(isinstance(value, str) and value in classes for value in values):
            if are_ids:
                notes.append(
                    f"The values of '{one_line(column)}' are read as names of its classes, not as their ids."
                )
            continue
        if not are_ids:
            continue
        for _, row in table.rows:
            value = _class_id(row.get(column))
            if value is not None:
                row[column] = classes[value] if 0 <= value < len(classes) else None
        shown = [f"{number} = {one_line(name)}" for number, name in enumerate(classes[:SHOWN])]
        more = [] if len(classes) <= SHOWN else ["…"]
        notes.append(f"The file names the classes of '{one_line(column)}': {', '.join([*shown, *more])}.")
    in_order = {column: tuple(its_names) for column, its_names in known.items()}
    return replace(table, notes=(*table.notes, *notes), classes={**table.classes, **in_order})


def _class_id(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    text = value.strip() if isinstance(value, str) else ""
    return int(float(text)) if ID.fullmatch(text) else None


def _parsed(content: bytes) -> dict[str, Any]:
    if not content or len(content) > MAX_LINE_BYTES:
        return {}
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _names_of(features: Any) -> ClassNames:
    found: ClassNames = {}
    for column, feature in features.items() if isinstance(features, dict) else ():
        names = feature.get("names") if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" else None
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            found[column] = names
    return found
