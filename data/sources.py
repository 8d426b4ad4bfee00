"""corpus:NAME | file:PATH | hub:REPO → a `datasets.DatasetDict` with the task's columns and three splits.

The one door for examples: whatever comes out of `open_source` has been mapped, validated and split. Knows
nothing about models, prompts or training.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from data.columns import ColumnMapping, guess
from data.problems import ProblemsError
from data.readers import hub
from data.readers.files import SUFFIXES, Table, names_a_file, read_splits, read_table
from data.readers.folders import is_folder, read_folder
from data.repeats import Repeats, one_row_a_text, without_overlap
from data.shapes import is_instructed, shaped
from data.splits import SPLIT_NAMES, split_rows
from data.tasks import TASKS, Task
from data.validate import MIN_ROWS_TO_SPLIT, Row, check_rows, only_label, without_empty
from plumbing.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

CORPORA = Path(__file__).parent / "corpora"
METADATA = ("topic", "style")
"""What a corpus' rows carry beside the task's columns."""
FORMS = "corpus:NAME, file:PATH or hub:OWNER/NAME, or the path of a file that ends in " + ", ".join(SUFFIXES)


@dataclass(frozen=True)
class Opened:
    """A source that is ready to train and test on."""

    spec: str
    task: Task
    splits: DatasetDict
    """train, validation and test; each with the task's two columns, `row` (its number in the source) and,
    for a corpus, its metadata."""
    mapping: ColumnMapping
    columns: tuple[str, ...]
    """The source's own columns, for whoever wants to choose others."""
    repeats: Repeats
    """The rows that the test split was made of: it has one a text."""
    notes: tuple[str, ...] = ()
    """Sentences for a person: how the rows were split, what was left out."""
    instructed: bool | None = None
    """Whether an instruction stands before each input; None where the source has none."""


@dataclass(frozen=True)
class OpenedTest:
    """A source that is ready to test on."""

    spec: str
    rows: Dataset
    """One row a text, as in `Opened.splits`."""
    mapping: ColumnMapping
    repeats: Repeats
    notes: tuple[str, ...] = ()


def open_source(
    spec: str,
    task: Task,
    *,
    test: str | None = None,
    columns: Mapping[str, str] | None = None,
    labels: Mapping[str, str | None] | None = None,
    skip_empty: bool = False,
) -> Opened:
    """Returns the source `spec` as three splits.

    `test` names a second source: its test split, or all rows of a file, are the test split, and `spec` gives
    only train and validation. `columns` and `labels` are explicit choices as in `data.columns.guess`; in the
    test source they hold where it has such columns. `skip_empty` leaves out rows with an empty field.

    Raises DataError if a source cannot be found or mapped, ProblemsError with everything wrong with its rows.
    """
    chosen = _Choices(task, dict(columns or {}), dict(labels or {}), skip_empty=skip_empty)
    source = _read(spec, chosen)
    if test is None:
        splits, how, notes = _with_own_test(source, task)
    else:
        another = not spec.startswith("corpus:")
        as_there = replace(
            chosen,
            columns={},
            usual=chosen.columns,
            for_another=another,
            usual_labels=source.mapping.labels,
            instructed=source.instructed,
        )
        splits, how, notes = _with_other_test(source, task, _read(test, as_there, is_test=True), test)
    splits["test"], repeats = one_row_a_text(splits["test"], task)
    _check_every_split(splits, spec)
    sizes = [f"{_sizes(splits)}; {how}."] if how else []
    return Opened(
        spec=spec,
        task=task,
        splits=_as_datasets(splits, task),
        mapping=source.mapping,
        columns=source.columns,
        repeats=repeats,
        notes=(*source.notes, *sizes, *notes, *repeats.sentences()),
        instructed=source.instructed,
    )


def open_test(
    spec: str,
    task: Task,
    *,
    columns: Mapping[str, str] | None = None,
    labels: Mapping[str, str | None] | None = None,
    usual_columns: Mapping[str, str] | None = None,
    skip_empty: bool = False,
    trained_on: Opened | None = None,
) -> OpenedTest:
    """Returns the test rows of the source `spec`: its test split, else validation, else all rows, as of a file.

    `usual_columns` are choices that were made for other rows: they hold where there are such columns here. What
    was guessed of the rows that were `trained_on` holds here, too, where it can. See `open_source` for the rest,
    also for errors.
    """
    usual = dict(usual_columns or {})
    chosen = _Choices(task, dict(columns or {}), dict(labels or {}), skip_empty, usual, for_another=True)
    if trained_on is not None:
        chosen = replace(chosen, usual_labels=trained_on.mapping.labels, instructed=trained_on.instructed)
    source = _read(spec, chosen, is_test=True)
    rows, repeats = one_row_a_text(source.test_rows, task)
    if not rows:
        raise _nothing_left("test", spec)
    return OpenedTest(spec, _as_dataset(rows, task), source.mapping, repeats, (*source.notes, *repeats.sentences()))


def absolute_spec(spec: str) -> str:
    """Returns `spec` so that it names the same rows from any folder: a file by its whole path."""
    kind, _, rest = spec.partition(":")
    if kind in ("corpus", "hub") or (kind != "file" and not names_a_file(spec)):
        return spec
    return f"file:{_path(rest if kind == 'file' else spec).absolute()}"


def shown_spec(spec: str) -> str:
    """Returns the source `spec` as a report names it: only the name of a file, not its folder, there or not."""
    kind, _, rest = spec.partition(":")
    if kind in ("corpus", "hub"):
        return spec
    if kind == "file" or names_a_file(spec) or "/" in spec:
        path = rest if kind == "file" else spec
        return f"file:{Path(path).name or path}"
    return spec


def corpus_names(task: Task | None = None) -> tuple[str, ...]:
    """Returns the names of the bundled corpora that `task` can use, or that any task can."""
    tasks = [task] if task else list(TASKS.values())
    names = sorted(path.stem for path in CORPORA.glob("*.jsonl"))
    return tuple(name for name in names if any(set(t.columns) <= _corpus_columns(name) for t in tasks))


# ---- one source, under the splits that it has itself -------------------------------------------------------


@dataclass(frozen=True)
class _Choices:
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

    def mapping(self, table: Table, *, known_columns: Mapping[str, str] | None = None) -> ColumnMapping:
        rows = [row for _, row in table.rows]
        columns = {**(known_columns or {}), **self.columns}
        free = set(table.columns) - set(columns.values())
        columns = {**{name: column for name, column in self.usual.items() if column in free}, **columns}
        return guess(
            table.columns,
            rows,
            self.task,
            columns=columns,
            labels=self.labels,
            for_another=self.for_another,
            usual_labels=self.usual_labels,
        )


@dataclass(frozen=True)
class _Source:
    """A source after mapping and validation. A file has one split, called train until it is divided."""

    splits: dict[str, list[Row]]
    mapping: ColumnMapping
    columns: tuple[str, ...]
    notes: tuple[str, ...] = ()
    instructed: bool | None = None

    @property
    def test_rows(self) -> list[Row]:
        return self.splits.get("test", self.splits["train"])


def _read(spec: str, chosen: _Choices, *, is_test: bool = False) -> _Source:
    kind, _, rest = spec.partition(":")
    if kind == "corpus":
        return _corpus(rest, chosen.task)
    if kind == "hub":
        return _hub(rest, chosen, is_test=is_test)
    if kind == "file" or names_a_file(spec):
        return _file(_path(rest if kind == "file" else spec), chosen, is_test=is_test)
    raise DataError("This is not a source of examples", got=spec, fix=f"Write {FORMS}.")


def _path(written: str) -> Path:
    try:
        return Path(written).expanduser()
    except RuntimeError:  # `~somebody` whom this machine does not know
        return Path(written)


def _corpus(name: str, task: Task) -> _Source:
    if name not in corpus_names():
        raise DataError("There is no such corpus", got=name, fix=f"There are: {', '.join(corpus_names())}.")
    if name not in corpus_names(task):
        suited = " or ".join(f"corpus:{other}" for other in corpus_names(task))
        raise DataError(f"This corpus is not for the task '{task.name}'", got=name, fix=f"Use {suited}.")
    table = read_table(CORPORA / f"{name}.jsonl")
    labels: dict[str, str | None] | None = {label: label for label in task.labels} or None
    mapping = ColumnMapping(
        task.input_column, task.target_column, labels, "A bundled corpus has the task's columns."
    )
    rows, problems = check_rows(table.rows, task, mapping, keep=(*METADATA, "split"))
    if problems or table.problems:
        raise ProblemsError([*table.problems, *problems], source=f"corpus:{name}")
    splits: dict[str, list[Row]] = {split: [] for split in SPLIT_NAMES}
    for row in rows:
        splits[row.pop("split")].append(row)
    return _Source(splits, mapping, table.columns, (f"The splits of the corpus '{name}' are fixed.",))


def _corpus_columns(name: str) -> set[str]:
    with (CORPORA / f"{name}.jsonl").open(encoding="utf-8") as lines:
        return set(json.loads(next(lines)))


def _file(path: Path, chosen: _Choices, *, is_test: bool) -> _Source:
    """A file, or a folder of files; with splits of its own, or with one, called train until it is divided."""
    header_names = tuple((chosen.usual | chosen.columns).values())
    read = read_folder if is_folder(path) else read_splits
    raw = read(path, header_names=header_names)
    tables, instructed = shaped(raw, chosen.task, instructed=chosen.instructed), is_instructed(raw, chosen.task)
    del raw
    notes: list[str] = []
    if is_test:
        judged = next(name for name in ("test", "validation", "train") if name in tables)
        notes += [_validation_is_test(path.name)] if judged == "validation" else []
        tables = {"train": tables[judged]}
    if not tables["train"].rows:
        raise ProblemsError(tables["train"].problems, source=path.name)
    mapping = chosen.mapping(tables["train"])
    splits: dict[str, list[Row]] = {}
    for split, table in tables.items():
        where = path.name if len(tables) == 1 else f"{path.name}, {split}"
        kept = without_empty(table.rows, mapping) if chosen.skip_empty else table.rows
        minimum = MIN_ROWS_TO_SPLIT if len(tables) == 1 and not is_test else 1
        trained_on = split == "train" and not is_test
        rows, problems = check_rows(kept, chosen.task, mapping, minimum=minimum, trained_on=trained_on)
        problems = [*table.problems, *problems]
        if problems:
            raise ProblemsError(sorted(problems, key=lambda problem: problem.row or 0), source=where)
        notes += [*table.notes, *_left_out_empty(len(table.rows) - len(kept), where)]
        notes += _left_out(len(kept) - len(rows), where)
        notes += [] if trained_on else _one_label(rows, chosen.task, where)
        splits[split] = rows
    return _Source(
        _with_test(splits, path.name, notes),
        mapping,
        tables["train"].columns,
        tuple(dict.fromkeys(notes)),
        instructed,
    )


def _hub(name: str, chosen: _Choices, *, is_test: bool) -> _Source:
    """Rows that cannot be used are left out and counted: unlike a file, nobody here can mend them."""
    task = chosen.task
    raw = hub.read_hub(name)
    tables, instructed = shaped(raw, task, instructed=chosen.instructed), is_instructed(raw, task)
    del raw
    mapping = chosen.mapping(tables["train"], known_columns=hub.known_columns(name, task))
    splits: dict[str, list[Row]] = {}
    notes: list[str] = []
    for split, table in tables.items():
        rows, problems = check_rows(table.rows, task, mapping)
        if not rows and split != "train":
            notes.append(f"The {split} split of {name} has no labels, so it is not used.")
            continue
        trained_on = split == "train" and not is_test
        if not rows or (trained_on and only_label(rows, task) is not None):
            raise ProblemsError(problems, source=name)
        where = f"the {split} split of {name}"
        notes += [*table.notes, *_left_out(len(table.rows) - len(rows), where), *_one_label(rows, task, where)]
        splits[split] = rows
    return _Source(
        _with_test(splits, name, notes),
        mapping,
        tables["train"].columns,
        tuple(dict.fromkeys(notes)),
        instructed,
    )


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


def _one_label(rows: Sequence[Row], task: Task, where: str) -> list[str]:
    only = only_label(rows, task)
    return [] if only is None else [f"Every usable row of {where} is {only}."]


def _left_out_empty(count: int, where: str) -> list[str]:
    if count == 0:
        return []
    return [f"{count:,} row{'s' * (count > 1)} of {where} left out: a field that is needed is empty."]


def _left_out(count: int, where: str) -> list[str]:
    if count == 0:
        return []
    rows = "1 row" if count == 1 else f"{count:,} rows"
    return [f"{rows} of {where} left out: the label is neither positive nor negative, or the row cannot be used."]


# ---- three splits ------------------------------------------------------------------------------------------


def _with_own_test(source: _Source, task: Task) -> tuple[dict[str, list[Row]], str, list[str]]:
    """The splits, how they were made, and what else there is to say."""
    if set(source.splits) == set(SPLIT_NAMES):
        splits, notes = without_overlap(source.splits, task)
        return splits, "", notes
    if "test" in source.splits:
        return _with_validation(source, task, test=source.splits["test"])
    splits = split_rows(source.splits["train"], task)
    kind = "each text" if not task.is_classification else "each text, the labels in like shares"
    return splits, f"divided by a hash of {kind}: the same rows always give the same test split", []


def _with_other_test(
    source: _Source, task: Task, test: _Source, test_spec: str
) -> tuple[dict[str, list[Row]], str, list[str]]:
    splits, how, notes = _with_validation(source, task, test=test.test_rows)
    read = test.mapping.reason
    guessed = [] if test_spec.startswith("corpus:") or read == source.mapping.reason else [f"There {read}"]
    return splits, how, [f"The test split is {shown_spec(test_spec)}.", *guessed, *notes, *test.notes]


def _with_validation(
    source: _Source, task: Task, *, test: list[Row]
) -> tuple[dict[str, list[Row]], str, list[str]]:
    if "validation" in source.splits:
        splits, how = dict(source.splits), ""
    else:
        splits = split_rows(source.splits["train"], task, test_fraction=0)
        how = "the validation rows are taken from training by a hash of each text"
    splits, notes = without_overlap({**splits, "test": test}, task)
    return splits, how, notes


def _sizes(splits: Mapping[str, Sequence[Row]]) -> str:
    train, validation, test = (f"{len(splits[name]):,}" for name in SPLIT_NAMES)
    return f"{train} rows to train on, {validation} to validate, {test} to test"


def _check_every_split(splits: Mapping[str, Sequence[Row]], spec: str) -> None:
    for name in SPLIT_NAMES:
        if not splits[name]:
            raise _nothing_left(name, spec)


def _nothing_left(split: str, spec: str) -> DataError:
    return DataError(
        f"No row is left for the {split} split",
        got=spec,
        fix="Add rows whose texts differ from each other and from the test set.",
    )


def _as_datasets(splits: Mapping[str, Sequence[Row]], task: Task) -> DatasetDict:
    from datasets import DatasetDict

    return DatasetDict({name: _as_dataset(splits[name], task) for name in SPLIT_NAMES})


def _as_dataset(rows: Sequence[Row], task: Task) -> Dataset:
    from datasets import Dataset

    if any(isinstance(row[task.target_column], list) for row in rows):
        # A column has one type, so where one row has several references every row has a list.
        rows = [{**row, task.target_column: task.references(row)} for row in rows]
    return Dataset.from_list(list(rows))
