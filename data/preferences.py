"""Answers of which some are better than others: a worse one beside each, or a thumb up or down.

What a way of learning may need beside the columns of its task (`data.tasks.task.BESIDES`), as columns of a table:
the better answer of a pair stays where it is, in what is called chosen. What single rows hold is checked in
`data.validate`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from data.forms import PREFERRED, has_pairs, names_of
from data.forms import REJECTED as WORSE
from data.labelwords import NEGATIVE_WORDS, POSITIVE_WORDS, label_key
from data.problems import is_nothing
from data.readers.table import Table, check_size
from data.tasks.task import BESIDES, LIKED, REJECTED
from plumbing import doors
from plumbing.errors import DataError
from plumbing.printable import one_line

THUMBS = (LIKED, "kto_tag", "thumb", "thumbs", "thumbs_up", "label")
"""What people call the column of thumbs, the surest name first."""
UP = POSITIVE_WORDS | {"1", "+1", "up", "thumbs up", "👍", "desirable", "chosen"}
DOWN = NEGATIVE_WORDS | {"0", "-1", "down", "thumbs down", "👎", "undesirable", "rejected"}


_ALONE = "From answers alone way: sft learns."


class NothingBesides(DataError):
    """A source that has answers, and not what a way of learning needs beside them."""


def besides_in(rows: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Returns which of `BESIDES` rows have."""
    first: Mapping[str, Any] = next(iter(rows), {})
    return tuple(column for column in BESIDES if column in first)


def with_besides(table: Table, besides: Sequence[str], chosen: Mapping[str, str]) -> Table:
    """Returns the table with a column for each of `besides`; of pairs, where thumbs are asked for, two rows each.

    `chosen` are columns that were chosen by hand, by what they are.

    Raises DataError if there is nothing that gives them.
    """
    for column in besides:
        table = _with_worse(table, chosen) if column == REJECTED else _with_thumbs(table, chosen)
    return table


def thumb_of(value: Any) -> bool | None:
    """Returns whether a value is a thumb up or down; None where it is neither."""
    key = label_key(value)
    return True if key in UP else False if key in DOWN else None


def without(table: Table, column: str) -> Table:
    """Returns the table without a column, so that nobody takes it for anything else."""
    rows = tuple(
        (number, {name: value for name, value in row.items() if name != column}) for number, row in table.rows
    )
    return replace(table, columns=tuple(name for name in table.columns if name != column), rows=rows)


def _with_worse(table: Table, chosen: Mapping[str, str]) -> Table:
    names = names_of(table)
    column = _chosen(REJECTED, table, chosen) or next((names[name] for name in WORSE if name in names), None)
    if column is None:
        raise NothingBesides(
            "These rows have no worse answer beside the better one",
            got=list(table.columns),
            fix=f"Pairs have the columns chosen and rejected{_by_hand(REJECTED)}. {_ALONE}",
        )
    better = next((names[name] for name in PREFERRED if name in names), None)
    than = f", and '{one_line(better)}' the better" if better else ""
    note = f"Pairs: '{one_line(column)}' holds the worse answer{than}."
    return _with_column(table, REJECTED, [row.get(column) for _, row in table.rows], note)


def _with_thumbs(table: Table, chosen: Mapping[str, str]) -> Table:
    names = names_of(table)
    column = _chosen(LIKED, table, chosen)
    if column is None and has_pairs(names):
        return _two_thumbs(table, names)
    if column is None:
        named = (names[name] for name in THUMBS if name in names)
        column = next((each for each in named if _holds_thumbs(table, each)), None)
    if column is None:
        raise NothingBesides(
            "These rows have no thumb beside each answer",
            got=list(table.columns),
            fix="Thumbs are true or false in a column liked, label or kto_tag, and pairs of chosen and rejected "
            f"give two each{_by_hand(LIKED)}. {_ALONE}",
        )
    raw = [row.get(column) for _, row in table.rows]
    # What is no thumb stays as it is written, to be complained about.
    thumbs = [value if (thumb := thumb_of(value)) is None else thumb for value in raw]
    note = f"'{one_line(column)}' marks {thumbs.count(True):,} answers as good and {thumbs.count(False):,} as bad."
    return _with_column(without(table, column), LIKED, thumbs, note)


def _two_thumbs(table: Table, names: Mapping[str, str]) -> Table:
    """Each pair as two rows of its number: its better answer with a thumb up, the worse with one down."""
    better = next(names[name] for name in PREFERRED if name in names)
    worse = next(names[name] for name in WORSE if name in names)
    check_size(rows=2 * len(table.rows))
    rows = tuple(
        (number, each)
        for number, row in table.rows
        for each in ({**row, LIKED: True}, {**row, better: row.get(worse), LIKED: False})
    )
    note = f"Each pair gives two answers: '{one_line(better)}' with a thumb up, '{one_line(worse)}' with one down."
    return replace(table, columns=_columns(table, LIKED), rows=rows, notes=(*table.notes, note))


def _holds_thumbs(table: Table, column: str) -> bool:
    """Whether most values are thumbs: a slip in one row is its own problem."""
    values = [row.get(column) for _, row in table.rows]
    given = [value for value in values if not is_nothing(value)]
    return 2 * sum(thumb_of(value) is not None for value in given) > len(given)


def _chosen(what: str, table: Table, chosen: Mapping[str, str]) -> str | None:
    column = chosen.get(what)
    if column is not None and column not in table.columns:
        raise DataError(
            f"The column chosen for {what} does not exist",
            got=column,
            fix=f"The columns are: {', '.join(map(one_line, table.columns))}.",
        )
    return column


def _by_hand(what: str) -> str:
    """How another column is named, where that can be done at this door."""
    return (
        f"; to name another one, {doors.choose_column(what, [doors.OPEN])}" if doors.current() == "command" else ""
    )


def _with_column(table: Table, column: str, values: Sequence[Any], note: str) -> Table:
    rows = tuple((number, {**row, column: value}) for (number, row), value in zip(table.rows, values, strict=True))
    return replace(table, columns=_columns(table, column), rows=rows, notes=(*table.notes, note))


def _columns(table: Table, column: str) -> tuple[str, ...]:
    return table.columns if column in table.columns else (*table.columns, column)
