"""One source, read, mapped and validated, under the splits that it has itself.

What becomes of the splits (which rows train, which are the test) is decided in `data.sources`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from data import chats
from data.columns import ColumnMapping, guess
from data.formats import is_instructed, shaped
from data.preferences import NothingBesides
from data.problems import ProblemsError
from data.readers import hub
from data.readers.files import names_a_file, read_splits, read_table
from data.readers.folders import is_folder, read_folder
from data.readers.table import Table
from data.specs import CORPORA, FORMS, METADATA, corpus_names, path_of
from data.splits import SPLIT_NAMES
from data.tasks import Task
from data.tasks.task import BESIDES
from data.validate import MIN_ROWS_TO_SPLIT, Checked, Row, check, only_label, without_empty
from plumbing.errors import DataError


@dataclass(frozen=True)
class Choices:
    """What the person asked for."""

    task: Task
    columns: dict[str, str]
    labels: dict[str, str | None]
    skip_empty: bool = False
    usual: dict[str, str] = field(default_factory=dict)
    """Columns that were chosen for other rows."""
    for_another: bool = False
    """The labels were chosen for the rows that are trained on, and this is the test source."""
    usual_labels: Mapping[str, str | None] | None = None
    """How the labels of the rows that are trained on are read."""
    instructed: bool | None = None
    """Whether an instruction stands before each input of the rows that are trained on; None asks the source."""
    besides: tuple[str, ...] = ()
    """The columns that each row has to have beside its task's, of `data.tasks.task.BESIDES`."""
    keep: tuple[str, ...] = ()
    """Other columns of the source that come along with each row, under their own names."""

    def shaped(self, tables: Mapping[str, Table]) -> dict[str, Table]:
        """The splits of a source with a column for each that is needed."""
        there = {column for table in tables.values() for column in table.columns}
        usual = {name: column for name, column in self.usual.items() if column in there}
        named = {**usual, **self.columns}
        return shaped(tables, self.task, instructed=self.instructed, besides=self.besides, columns=named)

    def mapping(self, table: Table) -> ColumnMapping:
        """Where the task's columns are in `table`: where that is not clear, in none that only comes along."""
        try:
            return self._mapping(table, table.columns)
        except DataError:
            others = [column for column in table.columns if column not in self.keep]
            if len(others) == len(table.columns):
                raise
            return self._mapping(table, others)

    def _mapping(self, table: Table, names: Sequence[str]) -> ColumnMapping:
        rows = [row for _, row in table.rows]
        free = set(names) - set(self.columns.values())
        usual = {name: each for name, each in self.usual.items() if each in free and name not in BESIDES}
        columns = {name: each for name, each in self.columns.items() if name not in self.besides}
        return guess(
            names,
            rows,
            self.task,
            columns={**usual, **columns},
            labels=self.labels,
            for_another=self.for_another,
            usual_labels=self.usual_labels,
            classes=table.classes,
        )


@dataclass(frozen=True)
class Source:
    """A source after mapping and validation. A file has one split, called train until it is divided."""

    task: Task
    """With the labels of its rows, where it had none."""
    splits: dict[str, list[Row]]
    mapping: ColumnMapping
    columns: tuple[str, ...]
    notes: tuple[str, ...] = ()
    instructed: bool | None = None

    @property
    def test_rows(self) -> list[Row]:
        return self.splits.get("test", self.splits["train"])


def read_source(spec: str, chosen: Choices, *, is_test: bool = False) -> Source:
    """Returns the source that is called `spec`; of one that `is_test`, only the split that is judged.

    Raises DataError if it cannot be found or mapped, ProblemsError with everything wrong with its rows.
    """
    kind, _, rest = spec.partition(":")
    if kind == "corpus":
        return _corpus(rest, chosen)
    if kind == "hub":
        return _hub(rest, chosen, is_test=is_test)
    if kind == "file" or names_a_file(spec):
        path = path_of(rest if kind == "file" else spec)
        return file_source(read_tables(path, chosen), path.name, chosen, is_test=is_test)
    raise DataError("This is not a source of examples", got=spec, fix=f"Write {FORMS}.")


def read_tables(path: Path, chosen: Choices) -> dict[str, Table]:
    """Returns the tables of a file or of a folder, by split."""
    header_names = tuple((chosen.usual | chosen.columns).values())
    read = read_folder if is_folder(path) else read_splits
    return read(path, header_names=header_names, raw=chosen.task.kind == "text")


def file_source(raw: Mapping[str, Table], name: str, chosen: Choices, *, is_test: bool = False) -> Source:
    """Returns the source in the tables of a file, or of a folder of files, that is called `name`."""
    tables, instructed = chosen.shaped(raw), is_instructed(raw, chosen.task)
    notes: list[str] = []
    if is_test:
        judged = next(split for split in ("test", "validation", "train") if split in tables)
        notes += [_validation_is_test(name)] if judged == "validation" else []
        tables = {"train": tables[judged]}
    if not tables["train"].rows:
        raise ProblemsError(tables["train"].problems, source=name)
    mapping = chosen.mapping(tables["train"])
    splits: dict[str, list[Row]] = {}
    for split, table in tables.items():
        where = name if len(tables) == 1 else f"{name}, {split}"
        kept = without_empty(table.rows, mapping, chosen.besides) if chosen.skip_empty else table.rows
        minimum = MIN_ROWS_TO_SPLIT if len(tables) == 1 and not is_test else 1
        trained_on = split == "train" and not is_test
        checked = check(
            kept,
            chosen.task,
            mapping,
            minimum=minimum,
            trained_on=trained_on,
            keep=chosen.keep,
            besides=chosen.besides,
        )
        problems = [*table.problems, *checked.problems]
        if problems:
            raise ProblemsError(sorted(problems, key=lambda problem: problem.row or 0), source=where)
        notes += [*table.notes, *_left_out_empty(len(table.rows) - len(kept), where)]
        notes += _said(checked, len(kept), chosen.task, where)
        notes += [] if trained_on else _one_label(checked.rows, chosen.task, where)
        splits[split] = checked.rows
    return _source(chosen.task, splits, name, mapping, tables["train"], notes, instructed)


def _hub(name: str, chosen: Choices, *, is_test: bool) -> Source:
    """Rows that cannot be used are left out and counted: unlike a file, nobody here can mend them."""
    task = chosen.task
    raw = hub.read_hub(name)
    tables, instructed = chosen.shaped(raw), is_instructed(raw, task)
    del raw
    mapping = chosen.mapping(tables["train"])
    splits: dict[str, list[Row]] = {}
    notes: list[str] = []
    for split, table in tables.items():
        checked = check(table.rows, task, mapping, keep=chosen.keep, besides=chosen.besides)
        rows = checked.rows
        if not rows and split != "train":
            what = "labels" if task.is_classification else "usable rows"
            notes.append(f"The {split} split of {name} has no {what}, so it is not used.")
            continue
        trained_on = split == "train" and not is_test
        if not rows or (trained_on and only_label(rows, task) is not None):
            raise ProblemsError(checked.problems, source=name)
        where = f"the {split} split of {name}"
        notes += [*table.notes, *_said(checked, len(table.rows), task, where), *_one_label(rows, task, where)]
        splits[split] = rows
    return _source(task, splits, name, mapping, tables["train"], notes, instructed)


def _source(
    task: Task,
    splits: dict[str, list[Row]],
    name: str,
    mapping: ColumnMapping,
    table: Table,
    notes: list[str],
    instructed: bool | None,
) -> Source:
    if task.is_classification and not task.labels:
        task = task.with_labels(mapping.label_names)
    divided = _with_test(splits, name, notes)
    return Source(task, divided, mapping, table.columns, tuple(dict.fromkeys(notes)), instructed)


def _corpus(name: str, chosen: Choices) -> Source:
    task, besides = chosen.task, chosen.besides
    if name not in corpus_names():
        raise DataError("There is no such corpus", got=name, fix=f"There are: {', '.join(corpus_names())}.")
    if name not in {*corpus_names(task, besides), *corpus_names(task, BESIDES)}:
        suited = " or ".join(f"corpus:{other}" for other in corpus_names(task, besides)) or "a file of your own"
        if name in corpus_names(task):
            raise NothingBesides(
                "This corpus has answers, and none of them is better", got=name, fix=f"Use {suited}."
            )
        raise DataError(f"This corpus is not for the task '{task.name}'", got=name, fix=f"Use {suited}.")
    table = read_table(CORPORA / f"{name}.jsonl")
    if task.kind == "chat" or besides or name in corpus_names(task, BESIDES):
        table = chosen.shaped({"train": table})["train"]
    mapping = _of_corpus(table, task)
    checked = check(table.rows, task, mapping, keep=(*METADATA, *chosen.keep, "split"), besides=besides)
    if checked.problems or table.problems:
        raise ProblemsError([*table.problems, *checked.problems], source=f"corpus:{name}")
    if task.is_classification and not task.labels:
        task = task.with_labels(mapping.label_names)
    splits: dict[str, list[Row]] = {split: [] for split in SPLIT_NAMES}
    for row in checked.rows:
        splits[row.pop("split")].append(row)
    return Source(task, splits, mapping, table.columns, (f"The splits of the corpus '{name}' are fixed.",))


def _of_corpus(table: Table, task: Task) -> ColumnMapping:
    """A bundled corpus has the columns of the task, and its labels as they are called."""
    reason = "A bundled corpus has the task's columns."
    if task.is_classification:
        rows = [row for _, row in table.rows]
        columns = {column: column for column in task.source_columns}
        return replace(guess(table.columns, rows, task, columns=columns, classes=table.classes), reason=reason)
    # A conversation holds its answer; raw text has none.
    target = task.target_column if task.target_column in table.columns else ""
    return ColumnMapping(task.input_columns, target, None, reason)


# ---- what is said of the rows --------------------------------------------------------------------------------


def _with_test(splits: dict[str, list[Row]], name: str, notes: list[str]) -> dict[str, list[Row]]:
    """The splits, of which validation is for the test where there is none."""
    if "test" in splits or "validation" not in splits:
        return splits
    notes.append(_validation_is_test(name))
    return {
        **{split: rows for split, rows in splits.items() if split != "validation"},
        "test": splits["validation"],
    }


def _validation_is_test(name: str) -> str:
    return f"The validation split of {name} is the test split here."


def _said(checked: Checked, given: int, task: Task, where: str) -> list[str]:
    """What became of the `given` rows, for a person."""
    if task.kind == "text":
        documents = len({row["document"] for row in checked.rows})
        what = "1 document" if documents == 1 else f"{documents:,} documents"
        passages = f"{len(checked.rows):,} passages of {what} of {where}"
        return [f"{passages}, cut at blank lines, long paragraphs at sentences."]
    return [*_left_out(given - len(checked.rows), task, where), *chats.said_of(checked.chats, where)]


def _one_label(rows: Sequence[Row], task: Task, where: str) -> list[str]:
    only = only_label(rows, task)
    return [] if only is None else [f"Every usable row of {where} is {only}."]


def _left_out_empty(count: int, where: str) -> list[str]:
    if count == 0:
        return []
    return [f"{count:,} row{'s' * (count > 1)} of {where} left out: a field that is needed is empty."]


def _left_out(count: int, task: Task, where: str) -> list[str]:
    if count == 0:
        return []
    rows = "1 row" if count == 1 else f"{count:,} rows"
    if not task.is_classification:
        return [f"{rows} of {where} left out: {'it' if count == 1 else 'they'} cannot be used."]
    why = "is neither positive nor negative" if task.polarity else "is none that is learned"
    return [f"{rows} of {where} left out: the label {why}, or the row cannot be used."]
