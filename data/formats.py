"""What tools write in a form of their own → a table with one column for each column of the task.

A form is told by its keys (`data.forms`): chat messages, instructions, pairs, questions about a passage, and so on.
Only what has one reading is changed, and each change is said in a note; the columns that were there stay, so that
others can be chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from data.columns import plain_name
from data.forms import (
    HUMAN_ASSISTANT,
    LOOKED_AT,
    PREFERRED,
    REJECTED,
    has_pairs,
    human_and_assistant,
    names_of,
    numbered_in,
    passage_in,
    thumb_in,
)
from data.labelwords import label_key
from data.preferences import with_besides, without
from data.problems import is_nothing
from data.readers.conversations import Turn, Turns, last_exchange, role_of
from data.readers.table import Table
from data.tasks import Task
from data.tasks.own import USUAL
from data.tasks.task import REJECTED as REJECTED_COLUMN
from plumbing.errors import DataError
from plumbing.printable import one_line

Cells = dict[str, Any]


def shaped(
    tables: Mapping[str, Table],
    task: Task,
    *,
    instructed: bool | None = None,
    besides: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
) -> dict[str, Table]:
    """Returns the splits of a source with the columns that its form means, for `task`, and those of `besides`.

    `instructed` says whether each instruction stands before its input; None asks the rows, see `is_instructed`.
    `columns` are those that were chosen by hand, by what they are.

    Raises DataError if nothing is left, as of answers that are all marked as bad; or if there is nothing that gives
    the columns of `besides`.
    """
    if task.kind == "text":
        return dict(tables)
    note = "As in the rows that are trained on, each instruction stands before its input."
    if instructed is None:
        instructed = is_instructed(tables, task)
        note = "Some rows have an instruction and an empty input, so each instruction stands before its input."
        if not task.instruction and not task.is_classification:
            note = "Each instruction stands before its input."
    shape = _Shape(task, bool(instructed), note, tuple(besides), dict(columns or {}))
    return {split: _shaped(table, shape) for split, table in tables.items()}


def is_instructed(tables: Mapping[str, Table], task: Task) -> bool | None:
    """Returns whether there are rows whose whole prompt is an instruction; None where nothing could be one.

    All splits are asked together: one question has to be put in the same way wherever it stands. Where texts are
    written for a task without an instruction of its own, those of the rows are needed.
    """
    found = [
        any(is_nothing(row.get(given)) and not is_nothing(row.get(instruction)) for _, row in table.rows)
        for table in tables.values()
        if (columns := _instruction_and_input(table, task))
        for instruction, given in (columns,)
    ]
    if found and not task.instruction and not task.is_classification:
        return True
    return any(found) if found else None


@dataclass(frozen=True)
class _Shape:
    """What is asked of a table."""

    task: Task
    instructed: bool
    note: str
    besides: tuple[str, ...]
    columns: dict[str, str]


def _shaped(table: Table, shape: _Shape) -> Table:
    task = shape.task
    if not task.is_classification:
        table = with_besides(table, shape.besides, shape.columns) if shape.besides else _liked(table)
        table = _with_chosen(table, shape)
        table = __with_passage(_with_references(table, task), task)
        if task.kind == "chat":
            return _with_chat(table)
    return _with_exchange(_with_instruction(table, task, shape.instructed, shape.note), task)


# ---- answers that are better than others --------------------------------------------------------------------


def _liked(table: Table) -> Table:
    tag = thumb_in(table)
    if tag is None:
        return table
    rows = tuple((number, row) for number, row in table.rows if label_key(row.get(tag)) == "true")
    if not rows:
        raise DataError(
            f"No answer is marked as good in the column '{one_line(tag)}'",
            fix="Add some: what is learned is to answer like these.",
        )
    bad = len(table.rows) - len(rows)
    note = f"'{one_line(tag)}' marks {len(rows):,} answers as good, which are learned; {bad:,} others are left out."
    return without(replace(table, rows=rows, notes=(*table.notes, note)), tag)


def _with_chosen(table: Table, shape: _Shape) -> Table:
    """chosen, a text → the target of the task; conversations are for `_conversed`."""
    names, target = names_of(table), shape.task.target_column
    column = next((names[name] for name in PREFERRED if name in names), None)
    if column is None or not has_pairs(names):
        return table
    rows = [row for _, row in table.rows]
    said = f"Pairs: training learns to answer as in '{one_line(column)}'; what was rejected is not read."
    note = None if shape.besides else said  # of pairs that are read as such it was said before
    if human_and_assistant(rows[:LOOKED_AT], names):
        table = _changed(table, column, lambda row: _parsed_turns(row.get(column)), note, new=False)
        if REJECTED_COLUMN in shape.besides:
            worse = REJECTED_COLUMN
            table = _changed(table, worse, lambda row: _parsed_turns(row.get(worse)), None, new=False)
        return table
    # Of rows with a reference as well, pairs are what is asked for where both sides are.
    is_target = target in shape.columns or (target in table.columns and not shape.besides)
    if any(isinstance(row.get(column), tuple) for row in rows) or is_target:
        return replace(table, notes=(*table.notes, *([note] if note else [])))
    return _changed(table, target, lambda row: row.get(column), note)


def _parsed_turns(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    parts = HUMAN_ASSISTANT.split(text)[1:]
    return tuple(Turn(speaker.casefold(), said) for speaker, said in zip(parts[::2], parts[1::2], strict=True))


# ---- several columns of one thing ---------------------------------------------------------------------------


def _with_references(table: Table, task: Task) -> Table:
    """summary1, summary2, … → summary, a list: several references."""
    if task.kind != "generation" or _has_target(table, task):
        return table
    found = numbered_in(table, task.target_names)
    if found is None:
        return table
    name, columns = found
    shown = ", ".join(one_line(column) for column in columns)
    note = f"Read as several references of one {name}: {shown}. Training learns the first."
    return _changed(
        table, name, lambda row: [row[each] for each in columns if not is_nothing(row.get(each))] or None, note
    )


def __with_passage(table: Table, task: Task) -> Table:
    """question, context → an input: the passage before the question."""
    names = names_of(table)
    passage = passage_in(names)
    columns = (*task.input_columns, task.input_column)
    if "question" not in names or passage is None or any(column in table.columns for column in columns):
        return table
    if task.inputs or not _has_target(table, task):
        return table
    asked = names["question"]

    def joined(row: Mapping[str, Any]) -> Any:
        parts = [part for part in (row.get(passage), row.get(asked)) if isinstance(part, str) and part.strip()]
        return "\n\n".join(parts) if len(parts) == 2 else row.get(asked)

    note = f"The passage in '{one_line(passage)}' stands before each question."
    return _changed(table, task.input_column, joined, note)


# ---- instructions -------------------------------------------------------------------------------------------


def _instruction_and_input(table: Table, task: Task) -> tuple[str, str] | None:
    """The columns of Alpaca's instruction and input, where both are there beside a target."""
    names = names_of(table)
    if not {"instruction", "input"} <= names.keys() or not _has_target(table, task):
        return None
    return names["instruction"], names["input"]


def _with_instruction(table: Table, task: Task, instructed: bool, note: str) -> Table:
    """Each instruction before its input, if they are to be read so."""
    names, columns = names_of(table), _instruction_and_input(table, task)
    if {"instruction", "history"} <= names.keys() and any(row.get(names["history"]) for _, row in table.rows):
        said = f"What was said before, in '{one_line(names['history'])}', is not read."
        table = replace(table, notes=(*table.notes, said))
    if columns is None or not instructed:
        return table
    _, given = columns

    def joined(row: Mapping[str, Any]) -> Any:
        parts = [row[column] for column in columns if not is_nothing(row.get(column))]
        return "\n".join(parts) if all(isinstance(part, str) for part in parts) else row.get(given)

    return _changed(table, given, joined, note, new=False)


# ---- conversations ------------------------------------------------------------------------------------------


def _with_chat(table: Table) -> Table:
    """Whole conversations, in a column of their own; what is a question and an answer stays two columns."""
    conversed = _conversed(table)
    if conversed is not None:
        table, _ = conversed
        return _about_tools(table)
    names = names_of(table)
    answer = next((names[name] for name in ("output", "response", "answer") if name in names), None)
    if "instruction" not in names or answer is None:
        return table

    def chat(row: Mapping[str, Any]) -> Any:
        asked = [
            row[names[name]] for name in ("instruction", "input") if not is_nothing(row.get(names.get(name, "")))
        ]
        if is_nothing(row.get(answer)) or not all(isinstance(part, str) for part in (*asked, row[answer])):
            return None
        before = _said_before(row, names)
        return (*before, Turn("user", "\n".join(asked)), Turn("assistant", row[answer]))

    note = "Each row is a chat: its instruction and its input are what the user says, after what was said before."
    return _changed(table, _free("messages", table), chat, note)


def _said_before(row: Mapping[str, Any], names: Mapping[str, str]) -> Turns:
    system, history = row.get(names.get("system", "")), row.get(names.get("history", ""))
    first = (Turn("system", system),) if isinstance(system, str) and system.strip() else ()
    return (*first, *(history if isinstance(history, tuple) else ()))


def _conversed(table: Table) -> tuple[Table, str] | None:
    """The table with whole conversations in one column, and that column; None where it has none.

    A prompt and the answer to it, each a message or several, are put together; so is what a system says beside it.
    """
    names = names_of(table)
    chats = [column for column in table.columns if any(isinstance(row.get(column), tuple) for _, row in table.rows)]
    ends = [names[name] for name in (*PREFERRED, "completion") if names.get(name) in chats]
    others = [column for column in chats if plain_name(column) not in (*PREFERRED, *REJECTED, "completion")]
    if not ends and (len(others) != 1 or plain_name(others[0]) == "history"):
        return None
    begin = others[0] if len(others) == 1 else names.get("prompt")
    end = ends[0] if ends else None
    system = names.get("system")

    def whole(row: Mapping[str, Any]) -> Any:
        before, after = row.get(begin or ""), row.get(end or "")
        if end is not None and not isinstance(after, tuple):
            return after if is_nothing(after) else None
        if isinstance(before, str):
            before = (Turn("user", before),) if before.strip() else None
        said = after if after and any(role_of(turn.speaker) == "user" for turn in after) else None
        found = said or (*(before or ()), *(after or ()))
        spoken = row.get(system or "")
        if isinstance(spoken, str) and spoken.strip() and found and role_of(found[0].speaker) != "system":
            found = (Turn("system", spoken), *found)
        return found or None

    if end is None:
        assert begin is not None
        changed = table if system is None else _changed(table, begin, whole, None, new=False)
        return changed, begin
    column = _free("messages", table)
    return _changed(table, column, whole, None), column


def _with_exchange(table: Table, task: Task) -> Table:
    """Chat messages → the last answer of the assistant, and what it answers; where nothing else is the target."""
    names = set(table.columns)
    conversed = None if _has_target(table, task) else _conversed(table)
    if conversed is None or set(task.columns) & names:
        return table
    whole, chat = conversed
    rows: list[tuple[int, Cells]] = []
    answered = longer = 0
    for number, row in whole.rows:
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
    columns = (*whole.columns, *task.columns)
    return _about_tools(replace(whole, columns=columns, rows=tuple(rows), notes=(*whole.notes, *notes)))


def _about_tools(table: Table) -> Table:
    tools = names_of(table).get("tools")
    if tools is None:
        return table
    return replace(table, notes=(*table.notes, f"The column '{one_line(tools)}' is not read."))


# ---- tables -------------------------------------------------------------------------------------------------


def _changed(
    table: Table, column: str, value: Callable[[Cells], Any], note: str | None, *, new: bool = True
) -> Table:
    """The table with `column` as `value` makes it of each row."""
    rows = tuple((number, {**row, column: value(row)}) for number, row in table.rows)
    columns = (*table.columns, column) if new and column not in table.columns else table.columns
    return replace(table, columns=columns, rows=rows, notes=(*table.notes, *([note] if note else [])))


def _free(name: str, table: Table) -> str:
    while name in table.columns:
        name += "_"
    return name


def _has_target(table: Table, task: Task) -> bool:
    """Whether a column is called like what is to be learned, and holds no conversation."""
    known = task.target_names or USUAL["generation"].target_names
    wanted = {plain_name(task.target_column), *known}
    return any(
        plain_name(column) in wanted and not any(isinstance(row.get(column), tuple) for _, row in table.rows)
        for column in table.columns
    )
