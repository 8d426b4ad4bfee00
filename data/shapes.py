"""What tools write in a shape of their own → a table with one column for each column of the task.

Several columns of references, chat messages, and instructions beside an input. Only what has one reading is
changed, and each change is said in a note; the columns that were there stay, so that others can be chosen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from data.columns import plain_name
from data.problems import is_nothing
from data.readers.conversations import last_exchange
from data.readers.table import Table
from data.tasks import Task
from plumbing.printable import one_line


def shaped(tables: Mapping[str, Table], task: Task, *, instructed: bool | None = None) -> dict[str, Table]:
    """Returns the splits of a source with the columns that its shape means, for `task`.

    `instructed` says whether each instruction stands before its input; None asks the rows, see `is_instructed`.
    """
    note = "As in the rows that are trained on, each instruction stands before its input."
    if instructed is None:
        instructed = is_instructed(tables, task)
        note = "Some rows have an instruction and an empty input, so each instruction stands before its input."
    return {
        split: _with_exchange(_with_instruction(_with_references(table, task), task, instructed, note), task)
        for split, table in tables.items()
    }


def is_instructed(tables: Mapping[str, Table], task: Task) -> bool | None:
    """Returns whether there are rows whose whole prompt is an instruction; None where nothing could be one.

    All splits are asked together: one question has to be put in the same way wherever it stands.
    """
    found = [
        any(is_nothing(row.get(given)) and not is_nothing(row.get(instruction)) for _, row in table.rows)
        for table in tables.values()
        if (columns := _instruction_and_input(table, task))
        for instruction, given in (columns,)
    ]
    return any(found) if found else None


def _with_references(table: Table, task: Task) -> Table:
    """summary1, summary2, … → summary, a list: several references."""
    if task.is_classification or _has_target(table, task):
        return table
    for name in task.target_names:
        numbered = {column: re.fullmatch(rf"{name}_?(\d{{1,3}})", plain_name(column)) for column in table.columns}
        places = {column: int(found[1]) for column, found in numbered.items() if found}
        if len(places) < 2:
            continue
        columns = sorted(places, key=lambda column: places[column])
        rows: list[tuple[int, dict[str, Any]]] = []
        for number, row in table.rows:
            texts = [row[column] for column in columns if not is_nothing(row.get(column))]
            rows.append((number, {**row, name: texts or None}))
        shown = ", ".join(one_line(column) for column in columns)
        note = f"Read as several references of one {name}: {shown}. Training learns the first."
        return replace(table, columns=(*table.columns, name), rows=tuple(rows), notes=(*table.notes, note))
    return table


def _instruction_and_input(table: Table, task: Task) -> tuple[str, str] | None:
    """The columns of Alpaca's instruction and input, where both are there beside a target."""
    names = {plain_name(column): column for column in table.columns}
    if not {"instruction", "input"} <= names.keys() or not _has_target(table, task):
        return None
    return names["instruction"], names["input"]


def _with_instruction(table: Table, task: Task, instructed: bool | None, note: str) -> Table:
    """Each instruction before its input, if they are to be read so."""
    columns = _instruction_and_input(table, task)
    if columns is None or not instructed:
        return table
    _, given = columns
    rows: list[tuple[int, dict[str, Any]]] = []
    for number, row in table.rows:
        parts = [row[column] for column in columns if not is_nothing(row.get(column))]
        joined = "\n".join(parts) if all(isinstance(part, str) for part in parts) else row.get(given)
        rows.append((number, {**row, given: joined}))
    return replace(table, rows=tuple(rows), notes=(*table.notes, note))


def _with_exchange(table: Table, task: Task) -> Table:
    """Chat messages → the last answer of the assistant, and what it answers; where nothing else is the target."""
    chats = [column for column in table.columns if any(isinstance(row.get(column), tuple) for _, row in table.rows)]
    if len(chats) != 1 or _has_target(table, task) or set(task.columns) & set(table.columns):
        return table
    (chat,) = chats
    rows: list[tuple[int, dict[str, Any]]] = []
    answered = longer = 0
    for number, row in table.rows:
        found = last_exchange(row[chat]) if isinstance(row.get(chat), tuple) else None
        said, answer, earlier = found or (None, None, 0)
        answered += found is not None
        longer += earlier > 0
        rows.append((number, {**row, task.input_column: said, task.target_column: answer}))
    if not answered:
        return table
    notes = [
        f"'{one_line(chat)}' holds chat messages: the last answer of the assistant is the {task.target_column}, "
        f"and the user's message before it the {task.input_column}."
    ]
    if longer:
        notes.append(f"{longer:,} of the conversations begin earlier; what was said before is not read.")
    columns = (*table.columns, *task.columns)
    return replace(table, columns=columns, rows=tuple(rows), notes=(*table.notes, *notes))


def _has_target(table: Table, task: Task) -> bool:
    return any(plain_name(column) in task.target_names for column in table.columns)
