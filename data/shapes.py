"""What tools write in a shape of their own → a table with one column for each column of the task.

Several columns of references, chat messages, and instructions beside an input. Only what has one reading is
changed, and each change is said in a note; the columns that were there stay, so that others can be chosen.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from data.columns import TARGET_NAMES, plain_name
from data.conversations import last_exchange
from data.printable import one_line
from data.table import Table
from data.tasks import Task
from data.validate import is_nothing


def shaped(table: Table, task: Task) -> Table:
    """Returns `table` with the columns that its shape means, for `task`."""
    return _with_exchange(_with_instruction(_with_references(table, task), task), task)


def _with_references(table: Table, task: Task) -> Table:
    """summary1, summary2, … → summary, a list: several references."""
    if task.is_classification or _has_target(table, task):
        return table
    for name in TARGET_NAMES[task.name]:
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


def _with_instruction(table: Table, task: Task) -> Table:
    """Alpaca's instruction and input, where there are rows whose whole prompt is the instruction."""
    names = {plain_name(column): column for column in table.columns}
    if not {"instruction", "input"} <= names.keys() or not _has_target(table, task):
        return table
    instruction, given = names["instruction"], names["input"]
    if not any(is_nothing(row.get(given)) and not is_nothing(row.get(instruction)) for _, row in table.rows):
        return table
    rows: list[tuple[int, dict[str, Any]]] = []
    for number, row in table.rows:
        parts = [row[column] for column in (instruction, given) if not is_nothing(row.get(column))]
        joined = "\n".join(parts) if all(isinstance(part, str) for part in parts) else row.get(given)
        rows.append((number, {**row, given: joined}))
    note = (
        f"Rows with an empty '{one_line(given)}' have an instruction, so each instruction stands before its input."
    )
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
    return any(plain_name(column) in TARGET_NAMES[task.name] for column in table.columns)
