"""What tools write in a form of their own → a table with one column for each column of the task.

A form is told by its keys (`form_of`): chat messages, instructions, pairs, questions about a passage, and so on.
Only what has one reading is changed, and each change is said in a note; the columns that were there stay, so that
others can be chosen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from data.columns import plain_name
from data.labelwords import label_key
from data.problems import is_nothing
from data.readers.conversations import Turn, Turns, is_chat, last_exchange, role_of
from data.readers.table import Table
from data.tasks import Task
from data.tasks.own import USUAL
from data.tasks.task import Kind
from plumbing.errors import DataError
from plumbing.printable import one_line

PREFERRED = ("chosen", "chosen_messages")
"""Where the better one of two answers is."""
REJECTED = ("rejected", "rejected_messages")
LOOKED_AT = 50
"""Rows that say of what form a table is."""
HUMAN_ASSISTANT = re.compile(r"(?:^|\n\n)(Human|Assistant): ?")
"""How the data sets of hh-rlhf write a conversation as one text."""

Cells = dict[str, Any]


@dataclass(frozen=True)
class Form:
    """What a table is."""

    name: str
    kind: Kind | None
    """What can be learned from it; None where that is a question of its values."""
    said: str
    """In a sentence: the keys that tell it, and what becomes of a row."""


def form_of(table: Table) -> Form:
    """Returns the form of a table, by its columns and what the first rows hold."""
    names = _names(table)
    rows = [row for _, row in table.rows[:LOOKED_AT]]
    chats = [
        column
        for column in table.columns
        if plain_name(column) != "history" and any(is_chat(row.get(column)) for row in rows)
    ]
    conversed: Kind = "chat" if chats else "generation"
    if any(name in names for name in PREFERRED) and any(name in names for name in REJECTED):
        if _of_human_and_assistant(rows, names):
            conversed = "chat"
        said = "pairs of a chosen and a rejected answer; the chosen ones are learned as answers"
        return Form("pairs", conversed, f"It has {said}.")
    if (tag := _thumb(table)) is not None:
        said = f"answers marked as good or bad in '{one_line(tag)}'; the good ones are learned"
        return Form("thumbs", conversed, f"It has {said}.")
    if {"prompt", "completion"} <= names.keys():
        what = "messages" if chats else "texts"
        return Form("prompt and completion", conversed, f"It has prompts and completions, which are {what}.")
    if chats:
        spoken = (row[chats[0]] for row in rows if isinstance(row.get(chats[0]), tuple))
        shared = any(turn.speaker in ("human", "gpt") for turns in spoken for turn in turns)
        name = "ShareGPT" if shared else "messages"
        return Form(name, "chat", f"'{one_line(chats[0])}' holds conversations ({name}).")
    if "instruction" in names and _has(names, USUAL["generation"].target_names):
        said = "an instruction, maybe an input, and what is to be answered"
        goes_on = any(row.get(names.get("history", "")) for row in rows)
        return Form("Alpaca", "chat" if goes_on else "generation", f"A row has {said} (Alpaca).")
    if "question" in names and _passage(names) and _has(names, ("answers", "answer")):
        said = "a question, the passage that answers it, and answers"
        return Form("question and passage", "generation", f"A row has {said} (SQuAD).")
    if numbered := _numbered(table, _reference_names()):
        listed = ", ".join(one_line(column) for column in numbered[1])
        return Form("several references", "generation", f"It has several references of one text: {listed}.")
    if len(table.columns) == 1 and all(isinstance(row.get(table.columns[0]), (str, type(None))) for row in rows):
        return Form("raw text", "text", f"It is raw text, in '{one_line(table.columns[0])}'.")
    return Form("table", None, f"It is a table of {len(table.columns)} columns.")


def shaped(tables: Mapping[str, Table], task: Task, *, instructed: bool | None = None) -> dict[str, Table]:
    """Returns the splits of a source with the columns that its form means, for `task`.

    `instructed` says whether each instruction stands before its input; None asks the rows, see `is_instructed`.

    Raises DataError if nothing is left, as of answers that are all marked as bad.
    """
    if task.kind == "text":
        return dict(tables)
    note = "As in the rows that are trained on, each instruction stands before its input."
    if instructed is None:
        instructed = is_instructed(tables, task)
        note = "Some rows have an instruction and an empty input, so each instruction stands before its input."
        if not task.instruction and not task.is_classification:
            note = "Each instruction stands before its input."
    return {split: _shaped(table, task, bool(instructed), note) for split, table in tables.items()}


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


def _shaped(table: Table, task: Task, instructed: bool, note: str) -> Table:
    if not task.is_classification:
        table = _with_chosen(_liked(table), task)
        table = _with_passage(_with_references(table, task), task)
        if task.kind == "chat":
            return _with_chat(table)
    return _with_exchange(_with_instruction(table, task, instructed, note), task)


# ---- answers that are better than others --------------------------------------------------------------------


def _thumb(table: Table) -> str | None:
    """The column that says of each answer whether it is a good one."""
    names = _names(table)
    rows = [row for _, row in table.rows]
    answered = {"prompt", "completion"} <= names.keys() or any(
        is_chat(row.get(column)) for row in rows[:LOOKED_AT] for column in table.columns
    )
    for name in ("kto_tag", "label"):
        if (column := names.get(name)) is None or (name == "label" and not answered):
            continue
        values = {label_key(row.get(column)) for row in rows} - {""}
        if values and values <= {"true", "false"}:
            return column
    return None


def _liked(table: Table) -> Table:
    tag = _thumb(table)
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
    return replace(table, rows=rows, notes=(*table.notes, note))


def _with_chosen(table: Table, task: Task) -> Table:
    """chosen, a text → the target of the task; conversations are for `_conversed`."""
    names = _names(table)
    column = next((names[name] for name in PREFERRED if name in names), None)
    if column is None or not any(name in names for name in REJECTED):
        return table
    rows = [row for _, row in table.rows]
    note = f"Pairs: training learns to answer as in '{one_line(column)}'; what was rejected is not read."
    if _of_human_and_assistant(rows[:LOOKED_AT], names):
        return _changed(table, column, lambda row: _parsed_turns(row.get(column)), note, new=False)
    if any(isinstance(row.get(column), tuple) for row in rows) or task.target_column in table.columns:
        return replace(table, notes=(*table.notes, note))
    return _changed(table, task.target_column, lambda row: row.get(column), note)


def _of_human_and_assistant(rows: Iterable[Mapping[str, Any]], names: Mapping[str, str]) -> bool:
    column = next((names[name] for name in PREFERRED if name in names), "")
    texts = [text for row in rows if isinstance(text := row.get(column), str)]
    return bool(texts) and all(HUMAN_ASSISTANT.match(text) for text in texts)


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
    found = _numbered(table, task.target_names)
    if found is None:
        return table
    name, columns = found
    shown = ", ".join(one_line(column) for column in columns)
    note = f"Read as several references of one {name}: {shown}. Training learns the first."
    return _changed(
        table, name, lambda row: [row[each] for each in columns if not is_nothing(row.get(each))] or None, note
    )


def _numbered(table: Table, names: Iterable[str]) -> tuple[str, list[str]] | None:
    """One of `names` that is there with numbers after it, and the columns in their order."""
    for name in names:
        numbered = {column: re.fullmatch(rf"{name}_?(\d{{1,3}})", plain_name(column)) for column in table.columns}
        places = {column: int(found[1]) for column, found in numbered.items() if found}
        if len(places) >= 2:
            return name, sorted(places, key=lambda column: places[column])
    return None


def _reference_names() -> list[str]:
    return [*USUAL["generation"].target_names, "abstract", "highlight"]


def _with_passage(table: Table, task: Task) -> Table:
    """question, context → an input: the passage before the question."""
    names = _names(table)
    passage = _passage(names)
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


def _passage(names: Mapping[str, str]) -> str | None:
    return names.get("context", names.get("passage"))


# ---- instructions -------------------------------------------------------------------------------------------


def _instruction_and_input(table: Table, task: Task) -> tuple[str, str] | None:
    """The columns of Alpaca's instruction and input, where both are there beside a target."""
    names = _names(table)
    if not {"instruction", "input"} <= names.keys() or not _has_target(table, task):
        return None
    return names["instruction"], names["input"]


def _with_instruction(table: Table, task: Task, instructed: bool, note: str) -> Table:
    """Each instruction before its input, if they are to be read so."""
    names, columns = _names(table), _instruction_and_input(table, task)
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
    names = _names(table)
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
    names = _names(table)
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
    tools = _names(table).get("tools")
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


def _names(table: Table) -> dict[str, str]:
    """Plain name → column; of several that are alike the first."""
    return {plain_name(column): column for column in reversed(table.columns)}


def _free(name: str, table: Table) -> str:
    while name in table.columns:
        name += "_"
    return name


def _has(names: Iterable[str], known: Iterable[str]) -> bool:
    return bool(set(names) & set(known))


def _has_target(table: Table, task: Task) -> bool:
    """Whether a column is called like what is to be learned, and holds no conversation."""
    known = task.target_names or USUAL["generation"].target_names
    wanted = {plain_name(task.target_column), *known}
    return any(
        plain_name(column) in wanted and not any(isinstance(row.get(column), tuple) for _, row in table.rows)
        for column in table.columns
    )
