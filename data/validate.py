"""What is wrong with a table's rows, each problem with its place and its remedy, before any model loads.

Knows rows and a mapping; reads no files. A completion that would be cut off is found where the tokenizer is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from data.columns import ColumnMapping
from data.labelwords import label_key
from data.limits import MAX_CELL_CHARS
from data.problems import Problem, is_nothing
from data.tasks import Task
from plumbing import doors
from plumbing.printable import brief, one_line

MIN_ROWS_TO_SPLIT = 8
"""Fewer rows than this cannot give a training, a validation and a test split that mean anything."""

Row = dict[str, Any]


def check_rows(
    rows: Iterable[tuple[int, Mapping[str, Any]]],
    task: Task,
    mapping: ColumnMapping,
    *,
    minimum: int = 1,
    trained_on: bool = True,
    keep: Sequence[str] = (),
) -> tuple[list[Row], list[Problem]]:
    """Returns (clean rows, problems) for `rows`, which are (row number, values by table column).

    A clean row has the task's columns, `row`, and those of the columns in `keep` that the table has. A row
    whose label the mapping leaves out is in neither list. `minimum` is how many clean rows there must be; rows that
    are `trained_on` must have more than one label.
    """
    clean: list[Row] = []
    problems: list[Problem] = []
    for number, values in rows:
        text, text_problem = _text(
            values if task.is_classification else _in_lines(values, mapping.input), mapping.input
        )
        target: Any
        if mapping.labels is None:
            target, target_problem = _texts(values, mapping.target)
        else:
            target, target_problem = _label(values, mapping.target, mapping.labels, task)
        found = [
            Problem(what, fix, number, column)
            for column, problem in ((mapping.input, text_problem), (mapping.target, target_problem))
            if problem is not None
            for what, fix in (problem,)
        ]
        if target is None and target_problem is None:
            continue  # left out by the mapping: whatever else is odd about it does not matter
        problems += found
        if not found:
            kept = {name: values[name] for name in keep if name in values}
            clean.append({task.input_column: text, task.target_column: target, **kept, "row": number})
    return clean, problems + _problems_of_the_whole(clean, task, mapping, minimum, trained_on)


def without_empty(
    rows: Sequence[tuple[int, Mapping[str, Any]]], mapping: ColumnMapping
) -> list[tuple[int, Mapping[str, Any]]]:
    """Returns the rows whose two columns both hold something."""
    both = (mapping.input, mapping.target)
    return [(number, row) for number, row in rows if not any(is_nothing(row.get(column)) for column in both)]


def _problems_of_the_whole(
    clean: Sequence[Row], task: Task, mapping: ColumnMapping, minimum: int, trained_on: bool
) -> list[Problem]:
    if len(clean) < minimum:
        usable = "1 usable row" if len(clean) == 1 else f"{len(clean)} usable rows"
        needed = "1 is" if minimum == 1 else f"at least {minimum} are"
        return [Problem(f"There are too few rows: {usable}, and {needed} needed", "Add rows.")]
    only = only_label(clean, task) if trained_on else None
    if only is not None:
        missing = next(label for label in task.labels if label != only)
        what = f"Every usable row is {only!r}"
        return [
            Problem(what, f"Add rows that are {missing!r}, or correct the label mapping.", column=mapping.target)
        ]
    return []


def only_label(rows: Iterable[Row], task: Task) -> str | None:
    """Returns the label that all of `rows` have; None where there are several, or none."""
    labels = {row[task.target_column] for row in rows} if task.is_classification else set()
    return str(labels.pop()) if len(labels) == 1 else None


# A value is (what was read, None) or (None, (what is wrong, how to mend it)).
Complaint = tuple[str, str]


def _text(values: Mapping[str, Any], column: str) -> tuple[str | None, Complaint | None]:
    if column not in values:
        return None, ("The column is missing", "Add it, or remove the row.")
    value = values[column]
    if is_nothing(value):
        return None, ("The text is empty", f"Write a text, or {_leave_out()}.")
    if not isinstance(value, str):
        kind = "a conversation" if isinstance(value, tuple) else type(value).__name__
        return None, (f"The value is not text but {kind}", "Write it as text.")
    if len(value) > MAX_CELL_CHARS:
        what = f"The text has {len(value):,} characters, and the most is {MAX_CELL_CHARS:,}"
        return None, (what, "Shorten it, or remove the row.")
    return value.replace("\r\n", "\n").strip(), None


def _in_lines(values: Mapping[str, Any], column: str) -> Mapping[str, Any]:
    """A conversation that is a list of turns, as the lines of a text."""
    value = values.get(column)
    if isinstance(value, tuple):
        return {column: "\n".join(f"{speaker}: {said}" if speaker else said for speaker, said in value)}
    if isinstance(value, list) and value and all(isinstance(turn, str) for turn in value):
        return {column: "\n".join(value)}
    return values


def _texts(values: Mapping[str, Any], column: str) -> tuple[str | list[str] | None, Complaint | None]:
    """A text, or a list of texts (several references)."""
    value = values.get(column)
    if not isinstance(value, list):
        return _text(values, column)
    texts = [text for item in value if (text := _text({column: item}, column)[0]) is not None]
    if not texts or len(texts) < len(value):
        return None, ("The list holds something that is empty, too long or not text", "Give a list of texts.")
    return texts, None


def _label(
    values: Mapping[str, Any], column: str, labels: Mapping[str, str | None], task: Task
) -> tuple[str | None, Complaint | None]:
    """The label; (None, None) if rows with this value are left out."""
    if column not in values:
        return None, ("The column is missing", "Add it, or remove the row.")
    value = values[column]
    if isinstance(value, (list, tuple, dict, bytes)):
        return None, (f"The label is not a word or a number but {type(value).__name__}", "Write it as a word.")
    key = label_key(value)
    if key == "":
        return None, ("The label is empty", f"Write one of {', '.join(task.labels)}, or {_leave_out()}.")
    if key not in labels:
        known = ", ".join(brief(raw) for raw in list(labels)[:12])
        return None, (
            f"The label {brief(value)} is unknown (known: {known})",
            f"Correct it, or {doors.map_labels([one_line(key)])} with {_meanings(task)} for {doors.OPEN}.",
        )
    return labels[key], None


def _leave_out() -> str:
    return f"{doors.change(doors.SKIP_EMPTY, 'true')} to leave such rows out"


def _meanings(task: Task) -> str:
    return f"{', '.join(task.labels)} or skip"
