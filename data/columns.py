"""Which columns of somebody's table are the task's, and what the values in the label column mean.

Works on column names and a list of rows; knows nothing about files, splits or the Hub. A guess is always
explained (`ColumnMapping.reason`), an explicit choice always wins, and where two readings are possible
nothing is guessed: the error lists the columns and says how to set the mapping.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from statistics import mean
from typing import Any

from data import labelwords
from data.labelwords import MAX_VALUES, label_key
from data.tasks import TASKS, Task
from data.tasks.own import USUAL
from plumbing import doors
from plumbing.errors import DataError
from plumbing.printable import brief, one_line

KNOWN_NAMES = frozenset(
    name for task in (*TASKS.values(), *USUAL.values()) for name in (*task.input_names, *task.target_names)
)
"""What people call the columns of any task."""

SHOWN = 20
"""Column names in an error."""
SHOWN_CHOICES = 4
"""Columns that an error proposes."""
SHOWN_VALUES = 12
MAX_LABEL_CHARS = 60
"""Longer values are texts, not labels."""
CLEARLY_LONGER = 2.0
"""A column holds the text if its values are on average this many times as long as any other column's."""


@dataclass(frozen=True)
class ColumnMapping:
    """Where the task's columns are in a table."""

    input: str
    target: str
    labels: dict[str, str | None] | None
    """Raw value as `label_key` writes it → label, or None to leave the row out. None for free text."""
    reason: str
    """One sentence for a person: why these columns were taken, and how the labels were read."""


def plain_name(column: str) -> str:
    """Returns `column` in lower case with one underscore for whatever is not a letter or digit."""
    return re.sub(r"[\W_]+", "_", column.strip().casefold()).strip("_")


def guess(
    table_columns: Iterable[str],
    sample_rows: Sequence[Mapping[str, Any]],
    task: Task,
    *,
    columns: Mapping[str, str] | None = None,
    labels: Mapping[str, str | None] | None = None,
    for_another: bool = False,
    usual_labels: Mapping[str, str | None] | None = None,
) -> ColumnMapping:
    """Returns the mapping of a table's columns to the task's, guessed where it was not chosen.

    `columns` maps a task column to a table column. `labels` maps a raw value to one of the task's labels, or
    to "", "skip" or None to leave such rows out; values it does not name are still guessed if they can be.
    Pass as `sample_rows` every row that is at hand: a label that the sample lacks may stay unknown. The choices
    may be `for_another` table, such as the one that is trained on: then labels that this one lacks are no error.

    Raises DataError if a choice names what is not there, or if the guess would be ambiguous.
    """
    names = list(table_columns)
    chosen = _checked_columns(columns or {}, names, task)
    chosen_labels = _checked_labels(labels, task)

    def read_labels(column: str, *, known: bool) -> tuple[dict[str, str | None], str] | None:
        observed = _observed(column, sample_rows, most=None if known or chosen_labels else MAX_VALUES)
        return _labels_of(
            observed,
            _as_observed(chosen_labels, observed),
            task,
            known=known,
            usual=_as_observed(usual_labels or {}, observed),
            for_another=for_another,
        )

    target_hint = chosen.get(task.target_column)
    input_column, why_input = _choose_input(names, sample_rows, task, chosen.get(task.input_column), target_hint)
    rest = [name for name in names if name != input_column]
    if not task.is_classification:
        target_column, why_target = _choose_text_target(rest, sample_rows, task, target_hint, names)
        return ColumnMapping(input_column, target_column, None, f"{why_input}; {why_target}.")
    target_column, why_target = _choose_label_target(rest, sample_rows, task, target_hint, names, read_labels)
    readable = read_labels(target_column, known=True)
    if readable is None:
        raise _unreadable_labels(target_column, names, sample_rows, task, chosen_labels)
    label_map, why_labels = readable
    observed = _observed(target_column, sample_rows, most=None)
    unused = _as_observed(chosen_labels, observed).keys() - observed
    if unused and len(unused) == len(chosen_labels) and not for_another:
        raise _unused_labels(target_column, chosen_labels, sample_rows, task)
    if unused:
        why_labels += f" (no row has {', '.join(brief(value) for value in sorted(unused))})"
    return ColumnMapping(input_column, target_column, label_map, f"{why_input}; {why_target}; {why_labels}.")


# ---- explicit choices --------------------------------------------------------------------------------------


def _checked_columns(columns: Mapping[str, str], names: list[str], task: Task) -> dict[str, str]:
    for task_column, column in columns.items():
        if task_column not in task.columns:
            raise DataError(
                "A column was chosen for something that is not a column of the task",
                got=task_column,
                fix=f"The task '{task.name}' has the columns {' and '.join(task.columns)}.",
            )
        if column not in names:
            raise DataError(
                f"The column chosen for {task_column} does not exist",
                got=column,
                fix=f"The columns are: {_listed(names)}.",
            )
    if len(set(columns.values())) < len(columns):
        raise DataError(
            f"One column was chosen for both {' and '.join(task.columns)}",
            got=next(iter(columns.values())),
            fix=f"Choose two of: {_listed(names)}.",
        )
    return dict(columns)


def _checked_labels(labels: Mapping[str, str | None] | None, task: Task) -> dict[str, str | None]:
    checked: dict[str, str | None] = {}
    for raw, label in (labels or {}).items():
        meaning = (label or "").strip().casefold()
        if meaning in ("", "skip"):
            checked[label_key(raw)] = None
        elif meaning in task.labels:
            checked[label_key(raw)] = meaning
        else:
            raise DataError(
                f"The value {raw!r} is mapped to something that is not a label of the task",
                got=label,
                fix=f"Use one of {', '.join(task.labels)}, or 'skip' to leave such rows out.",
            )
    return checked


# ---- guesses -----------------------------------------------------------------------------------------------


def _choose_input(
    names: list[str], rows: Sequence[Mapping[str, Any]], task: Task, chosen: str | None, target: str | None
) -> tuple[str, str]:
    if chosen is not None:
        return chosen, f"the column '{chosen}' was chosen as {task.input_column}"
    candidates = [name for name in names if name != target]
    named = _first_named(candidates, task.input_names)
    if named is not None:
        return named, f"'{named}' is taken as {task.input_column} by its name"
    by_length = _by_mean_words(candidates, rows)
    if by_length and by_length[0][0] >= 2 and _is_clear_lead([length for length, _ in by_length]):
        return by_length[0][1], f"'{by_length[0][1]}' is taken as {task.input_column}: it holds the longest texts"
    raise _ambiguous(task.input_column, names, candidates, rows, task)


def _choose_text_target(
    rest: list[str], rows: Sequence[Mapping[str, Any]], task: Task, chosen: str | None, names: list[str]
) -> tuple[str, str]:
    column = task.target_column
    if chosen is not None:
        return chosen, f"'{chosen}' was chosen as {column}"
    named = _first_named(rest, task.target_names)
    if named is not None:
        return named, f"'{named}' is taken as {column} by its name"
    # Identifiers, topics and speakers are short; only a column of sentences can be the text to learn.
    sentences = [(words, name) for words, name in _by_mean_words(rest, rows) if words >= 4]
    if len(sentences) == 1:
        return sentences[0][
            1
        ], f"'{sentences[0][1]}' is taken as {column}: it is the only other column of sentences"
    raise _ambiguous(column, names, rest, rows, task)


def _choose_label_target(
    rest: list[str],
    rows: Sequence[Mapping[str, Any]],
    task: Task,
    chosen: str | None,
    names: list[str],
    read_labels: Callable[..., tuple[dict[str, str | None], str] | None],
) -> tuple[str, str]:
    column = task.target_column
    if chosen is not None:
        return chosen, f"'{chosen}' was chosen as {column}"
    by_name = [name for known in task.target_names for name in rest if plain_name(name) == known]
    readable = next((name for name in by_name if read_labels(name, known=True) is not None), None)
    if readable is not None:
        return readable, f"'{readable}' is taken as {column} by its name"
    if by_name:
        # Named like a label but unreadable: say which values are the trouble rather than take another column.
        return by_name[0], f"'{by_name[0]}' is taken as {column} by its name"
    by_values = [name for name in rest if read_labels(name, known=False) is not None]
    if len(by_values) == 1:
        return by_values[
            0
        ], f"'{by_values[0]}' is taken as {column}: it is the only column whose values read as labels"
    raise _ambiguous(column, names, rest, rows, task)


def _labels_of(
    observed: Set[str],
    chosen: dict[str, str | None],
    task: Task,
    *,
    known: bool,
    usual: dict[str, str | None],
    for_another: bool,
) -> tuple[dict[str, str | None], str] | None:
    """The meaning of the observed values and a phrase that explains it, or None if they cannot be read.

    In a column that is known to hold the label single values may stay unread: they are reported row by row.
    """
    if chosen and chosen.keys() >= observed:
        return chosen, "the labels were mapped by hand"
    by_hand = ", the rest mapped by hand" if chosen else ""
    guessed = {value: label for value, label in usual.items() if value in observed - chosen.keys()}
    if known and guessed and guessed.keys() | chosen.keys() >= observed:
        said = labelwords.explained(guessed)
        return {**usual, **chosen}, f"{said}, as in the rows that are trained on{by_hand}"
    scheme = labelwords.read_values(observed, task.labels)
    if scheme is None and known:
        scheme = labelwords.read_most_values(observed - chosen.keys(), task.labels)
    if scheme is not None and scheme.numbers:
        meant = {scheme.labels.get(value) for value in observed} - {None}
        if (for_another or usual) and len(meant) < 2:
            return None  # 4 and 5 are good of five stars, and not of ten points
        if for_another and any(map(labelwords.is_number, chosen)):
            return None  # of 1 and 2 mapped by hand and five stars, both would be believed
    if scheme is not None:
        return {**scheme.labels, **chosen}, f"{scheme.explained(but=chosen)}{by_hand}"
    return (chosen, "the labels were mapped by hand") if chosen.keys() & set(observed) else None


def _observed(column: str, rows: Sequence[Mapping[str, Any]], *, most: int | None) -> set[str]:
    """The values of a column as `label_key` writes them, but not many more than `most`: texts are no labels."""
    found: set[str] = set()
    for row in rows:
        found.add(label_key(row.get(column)))
        if most is not None and len(found) > most + 1:
            break
    return found - {""}


def _as_observed(chosen: Mapping[str, str | None], observed: Set[str]) -> dict[str, str | None]:
    """The chosen labels, with 4,5 as 4.5 where the table has that: a reader may have turned the decimal comma."""
    return {
        pointed if value not in observed and (pointed := value.replace(",", ".")) in observed else value: label
        for value, label in chosen.items()
    }


def _first_named(names: Sequence[str], known_names: Sequence[str]) -> str | None:
    return next((name for known in known_names for name in names if plain_name(name) == known), None)


def _by_mean_words(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[tuple[float, str]]:
    """(mean number of words, column) for the columns that hold text, longest first."""
    found = []
    for name in names:
        texts = [value for row in rows[:1000] if isinstance(value := row.get(name), str) and value.strip()]
        if texts:
            found.append((mean(len(text.split()) for text in texts), name))
    return sorted(found, key=lambda item: -item[0])


def _is_clear_lead(lengths: Sequence[float]) -> bool:
    return len(lengths) == 1 or lengths[0] >= CLEARLY_LONGER * lengths[1]


# ---- errors ------------------------------------------------------------------------------------------------


def _listed(names: Sequence[str]) -> str:
    more = [f"and {len(names) - SHOWN:,} more"] if len(names) > SHOWN else []
    return ", ".join([*map(one_line, names[:SHOWN]), *more]) if names else "none"


def _ambiguous(
    task_column: str, names: list[str], free: Sequence[str], rows: Sequence[Mapping[str, Any]], task: Task
) -> DataError:
    """The error for a column that could not be found; `free` are those that are not the other column."""
    if len(names) < 2:
        holds_turns = any(isinstance(value, tuple) for row in rows for value in row.values())
        return DataError(
            f"The task '{task.name}' needs two columns, and there is only one",
            got=names,
            fix=f"Write the {task.input_column} in one column and the {task.target_column} in another."
            + (" What is there are conversations, in which no assistant answers a user." if holds_turns else ""),
        )
    plausible = _plausible(task_column, free, rows, task)
    if plausible:
        fix = f"To say which it is, {doors.choose_column(task_column, plausible)}, or another one."
    else:
        fix = f"None looks like one. To say which, {doors.choose_column(task_column, [doors.OPEN])} with its name."
    return DataError(f"It is not clear which column is the {task_column}", got=names, fix=fix)


def _plausible(task_column: str, names: Sequence[str], rows: Sequence[Mapping[str, Any]], task: Task) -> list[str]:
    """Columns that could be the one in question, likeliest first: texts, or a few values that repeat."""
    texts = [name for words, name in _by_mean_words(names, rows) if words >= 2]
    if task.is_classification and task_column == task.target_column:
        repeating = [name for name in names if name not in texts and 1 < _count_values(name, rows) <= MAX_VALUES]
        return repeating[:SHOWN_CHOICES]
    return texts[:SHOWN_CHOICES]


def _count_values(column: str, rows: Sequence[Mapping[str, Any]]) -> int:
    return len(_observed(column, rows, most=MAX_VALUES))


def _unreadable_labels(
    column: str,
    names: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    task: Task,
    chosen: Mapping[str, str | None],
) -> DataError:
    found = _observed(column, rows, most=None)
    observed = sorted(found - _as_observed(chosen, found).keys())  # the others were said
    others = _plausible(task.target_column, [name for name in names if name != column], rows, task)
    elsewhere = doors.choose_column(task.target_column, others or [doors.OPEN])
    if not observed:
        return DataError(f"The column '{column}' holds no labels", fix=f"For another column, {elsewhere} there.")
    problem = f"It is not clear what the values of the column '{column}' mean"
    got = [*observed[:SHOWN_VALUES], "…"] if len(observed) > SHOWN_VALUES else observed
    if len(observed) > MAX_VALUES or max(map(len, observed)) > MAX_LABEL_CHARS:
        what = f"{len(observed):,} different values" if len(observed) > 1 else "one long value"
        return DataError(
            problem, got=got, fix=f"These are {what}, not labels. For another column, {elsewhere} there."
        )
    meanings = f"{', '.join(task.labels)} or skip (which leaves such rows out)"
    fix = f"To say it, {doors.map_labels(observed)} with {meanings} for each {doors.OPEN}."
    return DataError(problem, got=got, fix=fix)


def _unused_labels(
    column: str, chosen: Mapping[str, str | None], rows: Sequence[Mapping[str, Any]], task: Task
) -> DataError:
    observed = sorted(_observed(column, rows, most=None))[:SHOWN_VALUES]
    return DataError(
        f"None of the label values that were mapped is in the column '{column}'",
        got=list(chosen),
        fix=f"Its values are: {_listed(observed)}. To map them, {doors.map_labels(observed)} instead.",
    )
