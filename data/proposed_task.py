"""Which task the columns of a table are for: one that ships, or a person's own, with the reason.

Labels, if a few short values repeat; else texts to write; messages, if there are conversations. Whoever proposes a
recipe, or rows to judge on, begins with it. Reads no file and opens no model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from data.columns import ColumnMapping, guess, plain_name
from data.formats import shaped
from data.forms import Form, form_of
from data.labels import MAX_LABEL_CHARS, MAX_LABEL_WORDS, values_of
from data.labelwords import is_opinion, label_key
from data.readers.table import Table
from data.tasks import TASKS, Task
from data.tasks.own import USUAL, OwnTask
from data.tasks.task import Kind
from plumbing.errors import DataError
from plumbing.printable import one_line

LABEL_NAMES = frozenset(
    {"label", "labels", "class", "category", "intent", "emotion", "coarse_label", "fine_label", "target_label"}
)
"""Names that only a label has."""
LONG_ANSWER_WORDS = 4


@dataclass(frozen=True)
class ProposedTask:
    """What can be done with the rows of a table."""

    own: str | OwnTask
    """The name of a task that ships, or the settings of one that does not."""
    why: str
    """In a sentence."""
    form: Form
    polar: Task | None = None
    """The task that ships and would suit if the labels 0 and 1 meant bad and good."""

    @property
    def task(self) -> Task:
        return TASKS[self.own] if isinstance(self.own, str) else self.own.definition()

    def named(self, path: Path) -> ProposedTask:
        """The same; a person's own task is called after its file."""
        if isinstance(self.own, str):
            return self
        own = self.own.model_copy(update={"name": own_name(path)})
        return ProposedTask(own, self.why, self.form, self.polar)


def propose_task(
    tables: Mapping[str, Table], *, chosen: Mapping[str, str] | None = None, kind: Kind | None = None, fix: str
) -> ProposedTask:
    """The task that suits.

    Args:
        tables: the splits of a source; the one called train is looked at.
        chosen: columns that were chosen by hand, by what they are.
        kind: the kind of task that was asked for.
        fix: what to do where it is not clear, as it is written where this was asked.

    Raises:
        DataError: it is not clear.
    """
    chosen, form = dict(chosen or {}), form_of(tables["train"])
    own, why, polar = _task_of(tables, form, chosen, kind, fix)
    return ProposedTask(own, why, form, polar)


def own_name(path: Path) -> str:
    """Returns what a task of somebody's own is called whose rows are in `path`."""
    name = path.name
    while (suffix := Path(name).suffix) and len(suffix) <= 8:
        name = name.removesuffix(suffix)
    slug = re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-")[:48].strip("-")
    return slug if len(slug) > 1 else "own"


_Found = tuple[str | OwnTask, str, Task | None]


def _task_of(
    tables: Mapping[str, Table], form: Form, chosen: Mapping[str, str], kind: Kind | None, fix: str
) -> _Found:
    """The task that suits, and why, in a sentence."""
    if kind is not None:
        return _own(kind, form, tables["train"]), f"It is read as {kind}, as was asked.", None
    if form.kind == "text":
        return OwnTask(kind="text"), "Raw text: the task is to expect what comes next.", None
    if form.kind == "chat":
        return OwnTask(kind="chat"), "Chats: the task is to answer as the assistant in them does.", None
    if form.kind == "generation":
        if form.name in ("several references", "pairs") and (shipped := _of_shipped(tables)):
            return shipped
        labelled = _labelled(tables, chosen)
        if labelled and form.name in ("Alpaca", "prompt and completion"):
            return labelled
        own = _own("generation", form, tables["train"])
        return own, "What is to be answered is text: the task is to write it.", None
    return _of_table(tables, chosen, fix)


def _of_table(tables: Mapping[str, Table], chosen: Mapping[str, str], fix: str) -> _Found:
    """The task for columns that have no form: labels, if a few short values repeat, else texts."""
    table = tables["train"]
    labelled, written = _labelled(tables, chosen), _written(tables, chosen)
    if shipped := _of_shipped(tables):
        return shipped
    by_name = {plain_name(column) for column in table.columns} & LABEL_NAMES
    if labelled and (by_name or written is None or not _is_long(table, written)):
        return labelled
    if written is not None:
        _refuse_lone_labels(table, written.target, fix)
        why = f"'{one_line(written.target)}' holds texts: the task is to write them."
        return OwnTask(kind="generation"), why, None
    if labelled:
        return labelled
    raise DataError("It is not clear what the task of this file is", got=list(table.columns), fix=fix)


def _refuse_lone_labels(table: Table, column: str, fix: str) -> None:
    """Raise a DataError for a column that is called a label and whose short values are one, or one a row.

    Else such rows would be read as texts to write, without a word of that from whoever brought them.
    """
    values = [str(value) for _, row in table.rows if (value := row.get(column)) not in (None, "")]
    if plain_name(column) not in LABEL_NAMES or not values:
        return
    if max(len(value.split()) for value in values) > MAX_LABEL_WORDS or max(map(len, values)) > MAX_LABEL_CHARS:
        return
    different = len(set(map(label_key, values)))
    if different == 1:
        raise DataError(
            f"Every row of '{one_line(column)}' has the same label, so there is nothing to tell apart",
            got=values[0],
            fix=f"Add rows with another label. If it is a text to be written: {fix[:1].lower()}{fix[1:]}",
        )
    if different == len(values):
        raise DataError(
            f"Every row of '{one_line(column)}' has its own value, so it is not clear whether these are labels",
            got=values,
            fix=f"Add rows, until labels repeat. If it is a text to be written: {fix[:1].lower()}{fix[1:]}",
        )


def _of_shipped(tables: Mapping[str, Table]) -> _Found | None:
    """A task that ships and writes texts, if the columns are its own.

    Only one that is called after what it reads: a question and an answer may be anybody's.
    """
    for name, task in TASKS.items():
        if task.kind == "generation" and task.name == task.input_column:
            table = shaped({"train": tables["train"]}, task)["train"]
            if set(task.source_columns) <= {plain_name(column) for column in table.columns}:
                why = f"Its columns are those of the task '{name}', which ships: {task.learns}"
                return name, why, None
    return None


def _labelled(tables: Mapping[str, Table], chosen: Mapping[str, str]) -> _Found | None:
    """A classification, if a column reads as labels: one that ships where they say good and bad."""
    usual = USUAL["classification"]
    found = _mapping(tables, usual, chosen)
    if found is None:
        return _of_polarity(tables, chosen)
    mapping, table = found
    if shipped := _of_polarity(tables, chosen):
        return shipped
    observed = set(values_of(mapping.target, [row for _, row in table.rows]))
    count = len(mapping.label_names)
    why = f"'{one_line(mapping.target)}' has {count} values that repeat: the task is to say which."
    polar = next((task for task in TASKS.values() if task.polarity), None)
    return OwnTask(kind="classification"), why, polar if observed <= {"0", "1"} else None


def _of_polarity(tables: Mapping[str, Table], chosen: Mapping[str, str]) -> _Found | None:
    for name, task in TASKS.items():
        if not task.polarity or (found := _mapping(tables, task, chosen)) is None:
            continue
        mapping, table = found
        if _is_opinion(mapping, table, task):
            why = f"'{one_line(mapping.target)}' says what is good and what is bad: the task '{name}' ships."
            return name, why, None
    return None


def _is_opinion(mapping: ColumnMapping, table: Table, task: Task) -> bool:
    """Whether the labels say good and bad, by themselves or by the name of their column."""
    names = {task.name, *task.target_names} - (set(USUAL["classification"].target_names) - {task.name})
    observed = values_of(mapping.target, [row for _, row in table.rows])
    return is_opinion(observed.keys(), by_name=plain_name(mapping.target) in names)


def _written(tables: Mapping[str, Table], chosen: Mapping[str, str]) -> ColumnMapping | None:
    """Where texts to be written are, if there are any."""
    found = _mapping(tables, USUAL["generation"], chosen)
    return found[0] if found else None


def _is_long(table: Table, mapping: ColumnMapping) -> bool:
    texts = [text for _, row in table.rows if isinstance(text := row.get(mapping.target), str)]
    return bool(texts) and sum(len(text.split()) for text in texts) >= LONG_ANSWER_WORDS * len(texts)


def _mapping(
    tables: Mapping[str, Table], task: Task, chosen: Mapping[str, str]
) -> tuple[ColumnMapping, Table] | None:
    """Where the columns of `task` are, and in which table; None where that is not clear."""
    columns = {name: column for name, column in chosen.items() if name in task.source_columns}
    try:
        table = shaped({"train": tables["train"]}, task)["train"]
        rows = [row for _, row in table.rows]
        return guess(table.columns, rows, task, columns=columns, classes=table.classes), table
    except DataError:
        return None


def _own(kind: Kind, form: Form, table: Table) -> OwnTask:
    """A task of this kind; of questions about passages with both as its input."""
    names = {plain_name(column): column for column in table.columns}
    passage = names.get("context", names.get("passage"))
    if kind == "generation" and form.name == "question and passage" and passage:
        target = names.get("answers", names.get("answer"))
        return OwnTask(kind=kind, inputs=[passage, names["question"]], target=target, noun="questions")
    return OwnTask(kind=kind)
