"""What the values in the column of a label mean: for a task whose labels are known, and for one that has them from
its data.

Two values are the same label if `data.labelwords.label_key` writes them alike. A label that was found keeps the
spelling in which it is met first. Only where labels are a polarity are words and stars read as what they mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from data import labelwords
from data.labelwords import is_number, label_key
from data.tasks import Task
from data.tasks.task import MAX_LABELS, MIN_LABELS
from plumbing import doors
from plumbing.errors import DataError
from plumbing.printable import brief, one_line

SHOWN = 12
"""Values, or labels, in a sentence."""
MAX_LABEL_CHARS = 60
"""Longer values are texts, not labels."""
MAX_LABEL_WORDS = 6
"""The same of a column that is not known to hold labels."""

WHOLE = re.compile(r"-?\d+\.0+", re.ASCII)
"""A whole number, as a library writes it that has read it as another."""

Meanings = dict[str, str | None]
"""Raw value as `label_key` writes it → label, or None to leave the row out."""


@dataclass(frozen=True)
class Reading:
    """How the values of one column are read."""

    labels: Meanings
    names: tuple[str, ...]
    """The labels, in their order."""
    said: str
    """A phrase that explains it."""


@dataclass(frozen=True)
class LabelReader:
    """What is known of the labels of one table."""

    task: Task
    rows: Sequence[Mapping[str, Any]]
    chosen: Meanings = field(default_factory=dict)
    """What somebody said of single values."""
    usual: Meanings = field(default_factory=dict)
    """How the rows that are trained on are read."""
    for_another: bool = False
    """What was chosen was chosen for another table, such as the one that is trained on."""
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Column → the names of its classes in their order, where the file brings them."""

    @property
    def most_values(self) -> int:
        """Distinct values from which a column holds no labels of this task."""
        return labelwords.MAX_VALUES if self.task.polarity else MAX_LABELS

    def read(self, column: str, *, known: bool) -> Reading | None:
        """How the values of `column` are read; None if they cannot be.

        In a column that is known to hold the label single values may stay unread: they are reported row by row.
        """
        found = values_of(column, self.rows, most=None if known or self.chosen else self.most_values)
        if self.task.polarity:
            return self._polarity(found.keys(), known=known)
        return self._given(found.keys(), known=known) if self.task.labels else self._found(column, found, known)

    def unused(self, column: str) -> Set[str]:
        """Values that were mapped by hand and that no row has."""
        observed = values_of(column, self.rows).keys()
        return as_observed(self.chosen, observed).keys() - observed

    # ---- the three kinds of labels ------------------------------------------------------------------------

    def _polarity(self, observed: Set[str], *, known: bool) -> Reading | None:
        task = self.task
        chosen, usual = as_observed(self.chosen, observed), as_observed(self.usual, observed)
        if chosen and chosen.keys() >= observed:
            return Reading(chosen, task.labels, "the labels were mapped by hand")
        by_hand = ", the rest mapped by hand" if chosen else ""
        guessed = {value: label for value, label in usual.items() if value in observed - chosen.keys()}
        if known and guessed and guessed.keys() | chosen.keys() >= observed:
            said = f"{labelwords.explained(guessed)}, as in the rows that are trained on{by_hand}"
            return Reading({**usual, **chosen}, task.labels, said)
        scheme = labelwords.read_values(observed, task.labels)
        if scheme is None and known:
            scheme = labelwords.read_most_values(observed - chosen.keys(), task.labels)
        if scheme is not None and scheme.numbers:
            meant = {scheme.labels.get(value) for value in observed} - {None}
            if (self.for_another or usual) and len(meant) < 2:
                return None  # 4 and 5 are good of five stars, and not of ten points
            if self.for_another and any(map(is_number, chosen)):
                return None  # of 1 and 2 mapped by hand and five stars, both would be believed
        if scheme is not None:
            return Reading({**scheme.labels, **chosen}, task.labels, f"{scheme.explained(but=chosen)}{by_hand}")
        if chosen.keys() & observed:
            return Reading(chosen, task.labels, "the labels were mapped by hand")
        return None

    def _given(self, observed: Set[str], *, known: bool) -> Reading | None:
        """Labels that the task has: each is what it is called."""
        own: Meanings = {label_key(label): label for label in self.task.labels}
        read = {**own, **as_observed(self.usual, observed), **as_observed(self.chosen, observed)}
        meant = observed & read.keys()
        if not meant or (not known and len(meant) < len(observed)):
            return None
        by_hand = ", and some as mapped by hand" if self.chosen else ""
        return Reading(read, self.task.labels, f"its labels are those of the task{by_hand}")

    def _found(self, column: str, found: dict[str, str], known: bool) -> Reading | None:
        """Labels as they stand in the table."""
        chosen = as_observed(self.chosen, found.keys())
        read: Meanings = {}
        names: dict[str, str] = {}
        for key, shown in found.items():
            name = chosen.get(key, shown) if key in chosen else shown
            read[key] = name if name is None else names.setdefault(label_key(name), name)
        count = len(names)
        if not MIN_LABELS <= count <= MAX_LABELS or any(len(name) > MAX_LABEL_CHARS for name in names.values()):
            return None
        filled = sum(1 for row in self.rows if label_key(row.get(column)) in read)
        if not chosen and len(found) == filled:
            return None  # each row has its own
        if not known and (
            2 * count > filled or any(len(name.split()) > MAX_LABEL_WORDS for name in names.values())
        ):
            return None
        ordered = ordered_labels(names.values(), self._classes(column, read))
        by_hand = ", as mapped by hand" if chosen else ""
        return Reading(read, ordered, f"it has {count} labels{by_hand}: {listed(ordered)}")

    def _classes(self, column: str, read: Meanings) -> list[str]:
        names = [read.get(label_key(name)) for name in self.classes.get(column, ())]
        return [name for name in names if name is not None]

    # ---- errors -------------------------------------------------------------------------------------------

    def unreadable(self, column: str, others: Sequence[str]) -> DataError:
        """The error for a column whose values cannot be read; `others` may hold the label instead."""
        found = values_of(column, self.rows)
        observed = sorted(found.keys() - as_observed(self.chosen, found.keys()).keys())  # the others were said
        elsewhere = (
            f"For another column, {doors.choose_column(self.task.target_column, others or [doors.OPEN])} there."
        )
        if not observed:
            return DataError(f"The column '{column}' holds no labels", fix=elsewhere)
        got = [*observed[:SHOWN], "…"] if len(observed) > SHOWN else observed
        texts = self._are_texts(column, observed)
        if not self.task.labels and not texts:
            return DataError(
                f"The column '{column}' holds one label only",
                got=observed[0],
                fix=f"Add rows with another label: there have to be {MIN_LABELS} to tell apart. {elsewhere}",
            )
        problem = f"It is not clear what the values of the column '{column}' mean"
        if texts:
            end = (
                "" if self.task.polarity else " Whoever wants to learn to write them has a task of kind generation."
            )
            return DataError(problem, got=got, fix=f"These are {texts}, not labels. {elsewhere}{end}")
        meanings = f"{listed(self.task.labels)} or skip (which leaves such rows out)"
        fix = f"To say it, {doors.map_labels(observed[:SHOWN])} with {meanings} for each {doors.OPEN}."
        return DataError(problem, got=got, fix=fix)

    def _are_texts(self, column: str, observed: Sequence[str]) -> str:
        """What the values are, if they are texts and no labels."""
        if len(observed) > self.most_values:
            most = "" if self.task.polarity else f" (and {MAX_LABELS} is the most)"
            return f"{len(observed):,} different values{most}"
        if max(map(len, observed)) > MAX_LABEL_CHARS:
            return "long values" if len(observed) > 1 else "one long value"
        if not self.task.labels and len(observed) > 1:
            return "a different value in each row"
        return ""

    def none_is_there(self, column: str) -> DataError:
        """The error for values that were mapped by hand, none of which any row has."""
        observed = sorted(values_of(column, self.rows))[:SHOWN]
        return DataError(
            f"None of the label values that were mapped is in the column '{column}'",
            got=list(self.chosen),
            fix=f"Its values are: {listed(observed)}. To map them, {doors.map_labels(observed)} instead.",
        )


def checked_labels(labels: Mapping[str, str | None] | None, task: Task) -> Meanings:
    """Returns what somebody said of single values, by their keys.

    Raises DataError if one is mapped to what is no label of a task that has its labels.
    """
    own = {label_key(label): label for label in task.labels}
    checked: Meanings = {}
    for raw, label in (labels or {}).items():
        meaning = " ".join((label or "").split())
        if meaning.casefold() in ("", "skip"):
            checked[label_key(raw)] = None
        elif not own:
            checked[label_key(raw)] = meaning
        elif label_key(meaning) in own:
            checked[label_key(raw)] = own[label_key(meaning)]
        else:
            raise DataError(
                f"The value {raw!r} is mapped to something that is not a label of the task",
                got=label,
                fix=f"Use one of {listed(task.labels)}, or 'skip' to leave such rows out.",
            )
    return checked


def values_of(column: str, rows: Iterable[Mapping[str, Any]], *, most: int | None = None) -> dict[str, str]:
    """Returns the values of a column as `label_key` writes them → as they stand, in the order of the rows; but not
    many more than `most`: texts are no labels."""
    found: dict[str, str] = {}
    for row in rows:
        value = row.get(column)
        key = label_key(value)
        if key and key not in found:
            found[key] = shown_label(value)
            if most is not None and len(found) > most:
                break
    return found


def shown_label(value: Any) -> str:
    """Returns a raw label as a person reads it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = " ".join(str(value).split())
    return label_key(text) if WHOLE.fullmatch(text) else text


def ordered_labels(names: Iterable[str], classes: Sequence[str] = ()) -> tuple[str, ...]:
    """Returns labels in their order: that of `classes`, numbers ascending, words by the alphabet."""
    found = list(dict.fromkeys(names))
    if classes:
        places = {name: place for place, name in reversed(list(enumerate(classes)))}
        return tuple(sorted(found, key=lambda name: (places.get(name, len(places)), name)))
    if all(is_number(label_key(name)) for name in found):
        return tuple(sorted(found, key=lambda name: (float(label_key(name)), name)))
    return tuple(sorted(found, key=lambda name: (name.casefold(), name)))


def as_observed(chosen: Mapping[str, str | None], observed: Set[str]) -> Meanings:
    """The chosen labels, with 4,5 as 4.5 where the table has that: a reader may have turned the decimal comma."""
    return {
        pointed if value not in observed and (pointed := value.replace(",", ".")) in observed else value: label
        for value, label in chosen.items()
    }


def listed(names: Sequence[str]) -> str:
    """Returns labels in a row, the first of very many."""
    more = [f"and {len(names) - SHOWN:,} more"] if len(names) > SHOWN else []
    return ", ".join([*(one_line(name) for name in names[:SHOWN]), *more]) if names else "none"


def mapped_unused(values: Iterable[str]) -> str:
    """Returns a phrase that says which values were mapped by hand in vain."""
    return f" (no row has {', '.join(brief(value) for value in sorted(values))})"
