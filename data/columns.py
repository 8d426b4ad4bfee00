"""Which columns of somebody's table are the task's, and what the values in the label column mean.

Works on column names and a list of rows; knows nothing about files, splits or the Hub. A guess is always
explained (`ColumnMapping.reason`), an explicit choice always wins, and where two readings are possible
nothing is guessed: the error lists the columns and says how to set the mapping.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any

from data.labels import LabelReader, checked_labels, mapped_unused, values_of
from data.tasks import TASKS, Task
from data.tasks.own import USUAL
from plumbing import doors
from plumbing.errors import DataError
from plumbing.printable import one_line

KNOWN_NAMES = frozenset(
    name for task in (*TASKS.values(), *USUAL.values()) for name in (*task.input_names, *task.target_names)
)
"""What people call the columns of any task."""
ALSO_CALLED = {
    "passage": ("context", "paragraph", "document", "article", "text"),
    "context": ("passage", "paragraph", "document", "article", "text"),
    "question": ("query",),
    "query": ("question",),
}
"""Names of one of several columns of the input → what others call it."""

SHOWN = 20
"""Column names in an error."""
SHOWN_CHOICES = 4
"""Columns that an error proposes."""
CLEARLY_LONGER = 2.0
"""A column holds the text if its values are on average this many times as long as any other column's."""

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class ColumnMapping:
    """Where the task's columns are in a table."""

    inputs: tuple[str, ...]
    """What the model reads, a blank line between them where there are several."""
    target: str
    """What it learns to answer; empty where the table has no such column, as of chats and of raw text."""
    labels: dict[str, str | None] | None
    """Raw value as `label_key` writes it → label, or None to leave the row out. None for free text."""
    reason: str
    """One sentence for a person: why these columns were taken, and how the labels were read."""
    label_names: tuple[str, ...] = ()
    """The labels that `labels` leads to, in their order; of a task that has labels, its own."""

    @property
    def input(self) -> str:
        """The first column of the input."""
        return self.inputs[0]


def plain_name(column: str) -> str:
    """Returns `column` in lower case with one underscore for whatever is not a letter or digit."""
    return re.sub(r"[\W_]+", "_", column.strip().casefold()).strip("_")


def guess(
    table_columns: Iterable[str],
    sample_rows: Rows,
    task: Task,
    *,
    columns: Mapping[str, str] | None = None,
    labels: Mapping[str, str | None] | None = None,
    for_another: bool = False,
    usual_labels: Mapping[str, str | None] | None = None,
    classes: Mapping[str, Sequence[str]] | None = None,
) -> ColumnMapping:
    """Returns the mapping of a table's columns to the task's, guessed where it was not chosen.

    `columns` maps a task column to a table column. `labels` maps a raw value to one of the task's labels, or
    to "", "skip" or None to leave such rows out; values it does not name are still guessed if they can be. A task
    without labels has those that are found, or that `labels` names.
    Pass as `sample_rows` every row that is at hand: a label that the sample lacks may stay unknown. The choices
    may be `for_another` table, such as the one that is trained on: then labels that this one lacks are no error.
    `classes` are the names that the file gives the classes of a column, in their order.

    Raises DataError if a choice names what is not there, or if the guess would be ambiguous.
    """
    names = list(table_columns)
    chosen = _checked_columns(columns or {}, names, task)
    meanings = checked_labels(labels, task)
    if task.kind == "chat":
        return _guess_chat(names, sample_rows, task, chosen)
    inputs, why = _choose_inputs(names, sample_rows, task, chosen)
    if not task.target_column:
        return ColumnMapping(inputs, "", None, f"{why}.")
    rest = [name for name in names if name not in inputs]
    hint = chosen.get(task.target_column)
    if not task.is_classification:
        target, why_target = _choose_text_target(rest, sample_rows, task, hint, names)
        return ColumnMapping(inputs, target, None, f"{why}; {why_target}.")
    reader = LabelReader(task, sample_rows, meanings, dict(usual_labels or {}), for_another, classes or {})
    target, why_target = _choose_label_target(rest, reader, hint, names)
    reading = reader.read(target, known=True)
    if reading is None:
        others = _plausible(task.target_column, [name for name in names if name != target], sample_rows, task)
        raise reader.unreadable(target, others)
    unused = reader.unused(target)
    if unused and len(unused) == len(meanings) and not for_another:
        raise reader.none_is_there(target)
    said = f"{reading.said}{mapped_unused(unused) if unused else ''}"
    return ColumnMapping(inputs, target, reading.labels, f"{why}; {why_target}; {said}.", reading.names)


def _guess_chat(names: list[str], rows: Rows, task: Task, chosen: dict[str, str]) -> ColumnMapping:
    """A column of conversations; where there is none, a column of what is asked and one of what is answered."""
    given, answer = chosen.get(task.input_column), chosen.get(task.target_column, "")
    chats = [name for name in names if any(isinstance(row.get(name), tuple) for row in rows)]
    if given in chats:
        return ColumnMapping((str(given),), answer, None, f"the column '{given}' was chosen as the chats.")
    if given is None and chats and not answer:
        named = _first_named(chats, task.input_names) or (chats[0] if len(chats) == 1 else None)
        if named is None:
            raise _ambiguous(task.input_column, names, chats, rows, task)
        return ColumnMapping((named,), "", None, f"'{named}' holds the chats.")
    usual = USUAL["generation"]
    pairs = replace(usual, name=task.name, input_column=task.input_column, target_column=task.target_column)
    found = guess(names, rows, pairs, columns=chosen)
    return replace(found, reason=f"each row is a chat of one question and one answer; {found.reason}")


# ---- explicit choices --------------------------------------------------------------------------------------


def _checked_columns(columns: Mapping[str, str], names: list[str], task: Task) -> dict[str, str]:
    known = task.source_columns
    for task_column, column in columns.items():
        if task_column not in known:
            raise DataError(
                "A column was chosen for something that is not a column of the task",
                got=task_column,
                fix=f"The task '{task.name}' has the columns {_and(known)}.",
            )
        if column not in names:
            raise DataError(
                f"The column chosen for {task_column} does not exist",
                got=column,
                fix=f"The columns are: {_listed(names)}.",
            )
    for column in columns.values():
        twice = [other for other, its in columns.items() if its == column]
        if len(twice) > 1:
            raise DataError(
                f"One column was chosen for both {_and(twice)}", got=column, fix=f"Choose two of: {_listed(names)}."
            )
    return dict(columns)


# ---- guesses -----------------------------------------------------------------------------------------------


def _choose_inputs(
    names: list[str], rows: Rows, task: Task, chosen: Mapping[str, str]
) -> tuple[tuple[str, ...], str]:
    """The columns of the input, and why these."""
    target = chosen.get(task.target_column)
    if not task.inputs:
        column, why = _choose_input(names, rows, task, chosen.get(task.input_column), target)
        return (column,), why
    free = [name for name in names if name not in chosen.values()]
    found: list[str] = []
    whys: list[str] = []
    for wanted in task.inputs:
        if wanted in chosen:
            found.append(chosen[wanted])
            whys.append(f"'{chosen[wanted]}' was chosen as {wanted}")
            continue
        plain = plain_name(wanted)
        named = _first_named(free, (plain, *ALSO_CALLED.get(plain, ())))
        if named is None:
            raise _ambiguous(wanted, names, free, rows, task)
        free.remove(named)
        found.append(named)
        whys.append(f"'{named}' is taken as {wanted} by its name")
    return tuple(found), "; ".join(whys)


def _choose_input(
    names: list[str], rows: Rows, task: Task, chosen: str | None, target: str | None
) -> tuple[str, str]:
    if chosen is not None:
        return chosen, f"the column '{chosen}' was chosen as {task.input_column}"
    candidates = [name for name in names if name != target]
    named = _first_named(candidates, (plain_name(task.input_column), *task.input_names))
    if named is not None:
        return named, f"'{named}' is taken as {task.input_column} by its name"
    by_length = _by_mean_words(candidates, rows)
    if by_length and by_length[0][0] >= 2 and _is_clear_lead([length for length, _ in by_length]):
        return by_length[0][1], f"'{by_length[0][1]}' is taken as {task.input_column}: it holds the longest texts"
    raise _ambiguous(task.input_column, names, candidates, rows, task)


def _choose_text_target(
    rest: list[str], rows: Rows, task: Task, chosen: str | None, names: list[str]
) -> tuple[str, str]:
    column = task.target_column
    if chosen is not None:
        return chosen, f"'{chosen}' was chosen as {column}"
    named = _first_named(rest, (plain_name(column), *task.target_names))
    if named is not None:
        return named, f"'{named}' is taken as {column} by its name"
    # Identifiers, topics and speakers are short; only a column of sentences can be the text to learn.
    sentences = [(words, name) for words, name in _by_mean_words(rest, rows) if words >= 4]
    if len(sentences) == 1:
        only = sentences[0][1]
        return only, f"'{only}' is taken as {column}: it is the only other column of sentences"
    raise _ambiguous(column, names, rest, rows, task)


def _choose_label_target(
    rest: list[str], reader: LabelReader, chosen: str | None, names: list[str]
) -> tuple[str, str]:
    task, rows = reader.task, reader.rows
    column = task.target_column
    if chosen is not None:
        return chosen, f"'{chosen}' was chosen as {column}"
    known_names = dict.fromkeys((plain_name(column), *task.target_names))
    by_name = [name for known in known_names for name in rest if plain_name(name) == known]
    readable = next((name for name in by_name if reader.read(name, known=True) is not None), None)
    if readable is not None:
        return readable, f"'{readable}' is taken as {column} by its name"
    if by_name:
        # Named like a label but unreadable: say which values are the trouble rather than take another column.
        return by_name[0], f"'{by_name[0]}' is taken as {column} by its name"
    by_values = [name for name in rest if reader.read(name, known=False) is not None]
    if len(by_values) == 1:
        only = by_values[0]
        return only, f"'{only}' is taken as {column}: it is the only column whose values read as labels"
    raise _ambiguous(column, names, rest, rows, task)


def _first_named(names: Sequence[str], known_names: Sequence[str]) -> str | None:
    return next((name for known in known_names for name in names if plain_name(name) == known), None)


def _by_mean_words(names: Sequence[str], rows: Rows) -> list[tuple[float, str]]:
    """(mean number of words, column) for the columns that hold text, longest first."""
    found = []
    for name in names:
        texts = [text for row in rows[:1000] if (text := _as_text(row.get(name))).strip()]
        if texts:
            found.append((mean(len(text.split()) for text in texts), name))
    return sorted(found, key=lambda item: -item[0])


def _as_text(value: Any) -> str:
    """A text, or what is said in a conversation."""
    if isinstance(value, tuple):
        return " ".join(turn.said for turn in value)
    return value if isinstance(value, str) else ""


def _is_clear_lead(lengths: Sequence[float]) -> bool:
    return len(lengths) == 1 or lengths[0] >= CLEARLY_LONGER * lengths[1]


# ---- errors ------------------------------------------------------------------------------------------------


def _listed(names: Sequence[str]) -> str:
    more = [f"and {len(names) - SHOWN:,} more"] if len(names) > SHOWN else []
    return ", ".join([*map(one_line, names[:SHOWN]), *more]) if names else "none"


def _and(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _ambiguous(task_column: str, names: list[str], free: Sequence[str], rows: Rows, task: Task) -> DataError:
    """The error for a column that could not be found; `free` are those that are not the other column."""
    if len(names) < len(task.source_columns):
        return _too_few(names, rows, task)
    plausible = _plausible(task_column, free, rows, task)
    if plausible:
        fix = f"To say which it is, {doors.choose_column(task_column, plausible)}, or another one."
    else:
        fix = f"None looks like one. To say which, {doors.choose_column(task_column, [doors.OPEN])} with its name."
    return DataError(f"It is not clear which column is the {task_column}", got=names, fix=fix)


def _too_few(names: list[str], rows: Rows, task: Task) -> DataError:
    numbers = ("no", "one", "two", "three")
    wanted = task.source_columns
    needed = numbers[len(wanted)] if len(wanted) < len(numbers) else str(len(wanted))
    there = "there is only one" if len(names) == 1 else f"there are only {len(names)}" if names else "there is none"
    if len(wanted) == 2:
        fix = f"Write the {wanted[0]} in one column and the {wanted[1]} in another."
    else:
        fix = f"Write each of {_and(wanted)} in a column of its own."
    if any(isinstance(value, tuple) for row in rows for value in row.values()):
        fix += " What is there are conversations, in which no assistant answers a user."
    return DataError(f"The task '{task.name}' needs {needed} columns, and {there}", got=names, fix=fix)


def _plausible(task_column: str, names: Sequence[str], rows: Rows, task: Task) -> list[str]:
    """Columns that could be the one in question, likeliest first: texts, or a few values that repeat."""
    texts = [name for words, name in _by_mean_words(names, rows) if words >= 2]
    if task.is_classification and task_column == task.target_column:
        most = LabelReader(task, ()).most_values
        if not task.polarity:
            most = min(most, len(rows) // 2)  # what repeats nowhere is no label
        few = [name for name in names if 1 < len(values_of(name, rows, most=most)) <= most]
        repeating = [name for name in few if name not in texts or not task.polarity]
        return repeating[:SHOWN_CHOICES]
    return texts[:SHOWN_CHOICES]
