"""corpus:NAME | file:PATH | hub:REPO → a `datasets.DatasetDict` with the task's columns and three splits.

The one door for examples: whatever comes out of `open_source` has been mapped, validated and split. Knows
nothing about models, prompts or training.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from data.columns import ColumnMapping
from data.origins import Choices, Source, read_source
from data.preferences import besides_in
from data.problems import Problem, ProblemsError
from data.repeats import Repeats, one_row_a_text, without_overlap
from data.specs import CORPORA as CORPORA
from data.specs import METADATA as METADATA
from data.specs import absolute_spec as absolute_spec
from data.specs import corpus_names as corpus_names
from data.specs import shown_spec as shown_spec
from data.splits import SPLIT_NAMES, split_rows
from data.tasks import Task
from data.tasks.task import LIKED
from data.validate import Row
from plumbing.errors import DataError
from plumbing.printable import one_line

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

FEW_ROWS = 3
"""Rows of a label below which it cannot be in every split."""
SHOWN = 6


@dataclass(frozen=True)
class Divided:
    """A source as three splits of plain rows, before any library holds them."""

    spec: str
    task: Task
    """With the labels of its training rows, where it had none."""
    splits: dict[str, list[Row]]
    mapping: ColumnMapping
    columns: tuple[str, ...]
    repeats: Repeats
    notes: tuple[str, ...] = ()
    instructed: bool | None = None

    def by_column(self) -> dict[str, dict[str, list[Any]]]:
        """The splits as lists of values by column, as `data.hygiene` reads them."""
        columns = (*self.task.columns, *besides_in(self.splits["train"]), "row")
        return {
            split: {column: [row[column] for row in rows] for column in columns}
            for split, rows in self.splits.items()
        }

    def opened(self) -> Opened:
        """Returns the same as data sets."""
        return Opened(
            spec=self.spec,
            task=self.task,
            splits=_as_datasets(self.splits, self.task),
            mapping=self.mapping,
            columns=self.columns,
            repeats=self.repeats,
            notes=self.notes,
            instructed=self.instructed,
        )


@dataclass(frozen=True)
class Opened:
    """A source that is ready to train and test on."""

    spec: str
    task: Task
    """That was asked for; a classification without labels has those of the training rows."""
    splits: DatasetDict
    """train, validation and test; each with the task's columns, `row` (its number in the source), of raw text
    `document` and whether it `ends` with the row, and for a corpus its metadata."""
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
    task: Task | None = field(default=None, compare=False)
    """That was asked for, with labels."""


def open_source(
    spec: str,
    task: Task,
    *,
    test: str | None = None,
    columns: Mapping[str, str] | None = None,
    labels: Mapping[str, str | None] | None = None,
    skip_empty: bool = False,
    besides: Sequence[str] = (),
) -> Opened:
    """Returns the source `spec` as three splits.

    `test` names a second source: its test split, or all rows of a file, are the test split, and `spec` gives
    only train and validation. `columns` and `labels` are explicit choices as in `data.columns.guess`; in the
    test source they hold where it has such columns. `skip_empty` leaves out rows with an empty field.

    `besides` are columns that every row has to have beside its task's, of `data.tasks.task.BESIDES`: the worse
    answer of a pair whose better one is the target, or the thumb of an answer. Of pairs where thumbs are asked for,
    each gives two rows. `columns` may name them, too.

    Raises DataError if a source cannot be found or mapped, ProblemsError with everything wrong with its rows.
    """
    chosen = Choices(task, dict(columns or {}), dict(labels or {}), skip_empty=skip_empty, besides=tuple(besides))
    return divide(spec, read_source(spec, chosen), chosen, test=test).opened()


def divide(spec: str, source: Source, chosen: Choices, *, test: str | None = None) -> Divided:
    """Returns a source that was read, as three splits; see `open_source`."""
    task = source.task
    if test is None:
        splits, how, notes = _with_own_test(source, task)
    else:
        another = not spec.startswith("corpus:")
        as_there = replace(
            chosen,
            task=task,
            columns={},
            usual=chosen.columns,
            for_another=another,
            usual_labels=source.mapping.labels,
            instructed=source.instructed,
        )
        splits, how, notes = _with_other_test(source, task, read_source(test, as_there, is_test=True), test)
    splits["test"], repeats = one_row_a_text(splits["test"], task)
    _check_thumbs(splits["test"], spec)
    if not chosen.task.labels and task.is_classification:
        learned, said = _labels_learned(splits, task, spec)
        task = chosen.task.with_labels(learned)
        notes += said
    _check_every_split(splits, spec, repeats)
    sizes = [f"{_sizes(splits)}; {how}."] if how else []
    return Divided(
        spec=spec,
        task=task,
        splits=splits,
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
    besides: Sequence[str] = (),
    keep: Sequence[str] = (),
) -> OpenedTest:
    """Returns the test rows of the source `spec`: its test split, else validation, else all rows, as of a file.

    `usual_columns` are choices that were made for other rows: they hold where there are such columns here. What
    was guessed of the rows that were `trained_on` holds here, too, where it can. `keep` are columns of the source
    that come along, as texts, beside the task's. See `open_source` for the rest, also for errors.
    """
    usual = dict(usual_columns or {})
    chosen = Choices(
        task,
        dict(columns or {}),
        dict(labels or {}),
        skip_empty,
        usual,
        for_another=True,
        besides=tuple(besides),
        keep=tuple(keep),
    )
    if trained_on is not None:
        own = task if task.labels else trained_on.task
        chosen = replace(chosen, task=own, usual_labels=trained_on.mapping.labels, instructed=trained_on.instructed)
    source = read_source(spec, chosen, is_test=True)
    _check_kept(keep, source, spec)
    rows, repeats = one_row_a_text(source.test_rows, source.task)
    if not rows:
        raise _nothing_left("test", spec, repeats)
    _check_thumbs(rows, spec)
    notes = (*source.notes, *repeats.sentences())
    # As texts, since a column of a data set has one type and that of a file may have several.
    rows = [row | {name: "" if row.get(name) is None else str(row[name]) for name in keep} for row in rows]
    return OpenedTest(spec, _as_dataset(rows, source.task), source.mapping, repeats, notes, source.task)


# ---- three splits ------------------------------------------------------------------------------------------


def _with_own_test(source: Source, task: Task) -> tuple[dict[str, list[Row]], str, list[str]]:
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
    source: Source, task: Task, test: Source, test_spec: str
) -> tuple[dict[str, list[Row]], str, list[str]]:
    splits, how, notes = _with_validation(source, task, test=test.test_rows)
    read = test.mapping.reason
    same = (test.mapping.inputs, test.mapping.target) == (source.mapping.inputs, source.mapping.target)
    known = test_spec.startswith("corpus:") or read == source.mapping.reason or (same and not task.polarity)
    guessed = [] if known else [f"There {read}"]
    return splits, how, [f"The test split is {shown_spec(test_spec)}.", *guessed, *notes, *test.notes]


def _with_validation(source: Source, task: Task, *, test: list[Row]) -> tuple[dict[str, list[Row]], str, list[str]]:
    if "validation" in source.splits:
        splits, how = dict(source.splits), ""
    else:
        splits = split_rows(source.splits["train"], task, test_fraction=0)
        how = "the validation rows are taken from training by a hash of each text"
    splits, notes = without_overlap({**splits, "test": test}, task)
    return splits, how, notes


def _labels_learned(splits: dict[str, list[Row]], task: Task, spec: str) -> tuple[list[str], list[str]]:
    """The labels of the training rows, in their order, and what is to be said of those that are rare.

    Raises ProblemsError if a row of another split has a label that none of them has.
    """
    counts = Counter(row[task.target_column] for row in splits["train"])
    unseen = [row for split in SPLIT_NAMES for row in splits[split] if row[task.target_column] not in counts]
    if unseen:
        problems = [
            Problem(
                f"No training row has the label {row[task.target_column]!r}, so it cannot be learned",
                "Add rows with it to those that are trained on, or remove the row.",
                row["row"],
                task.target_column,
            )
            for row in unseen
        ]
        raise ProblemsError(problems, source=shown_spec(spec).removeprefix("file:"))
    if len(counts) < 2:
        only = next(iter(counts), "")
        problem = Problem(f"Every row that is left to train on is {only!r}", "Add rows with another label.")
        raise ProblemsError([problem], source=shown_spec(spec).removeprefix("file:"))
    labels = [label for label in task.labels if label in counts]
    everywhere = Counter(row[task.target_column] for split in SPLIT_NAMES for row in splits[split])
    rare = [label for label in labels if everywhere[label] < FEW_ROWS]
    if not rare:
        return labels, []
    shown = ", ".join(f"{one_line(label)} ({everywhere[label]})" for label in rare[:SHOWN])
    more = f" and {len(rare) - SHOWN:,} others" if len(rare) > SHOWN else ""
    what = "One label has" if len(rare) == 1 else f"{len(rare):,} labels have"
    note = f"{what} fewer than {FEW_ROWS} rows, too few to be learned and tested: {shown}{more}."
    return labels, [note]


def _sizes(splits: Mapping[str, Sequence[Row]]) -> str:
    train, validation, test = (f"{len(splits[name]):,}" for name in SPLIT_NAMES)
    return f"{train} rows to train on, {validation} to validate, {test} to test"


def _check_every_split(splits: Mapping[str, Sequence[Row]], spec: str, of_test: Repeats) -> None:
    for name in SPLIT_NAMES:
        if not splits[name]:
            raise _nothing_left(name, spec, of_test if name == "test" else None)


def _check_kept(keep: Sequence[str], source: Source, spec: str) -> None:
    """Columns that come along are there, and are none that the row has already."""
    for name in keep:
        if name not in source.columns:
            there = ", ".join(map(one_line, source.columns))
            raise DataError(f"{shown_spec(spec)} has no such column", got=name, fix=f"There are: {there}.")
        if name in (*source.task.columns, "row"):
            fix = "Call it something else in the file."
            raise DataError("A column of that name is what the task reads or answers", got=name, fix=fix)


def _check_thumbs(test: Sequence[Row], spec: str) -> None:
    """Of answers with thumbs some have to be good ones: what is written is compared with these."""
    if test and LIKED in test[0] and not any(row[LIKED] for row in test):
        raise DataError(
            "No answer of the test split has a thumb up",
            got=spec,
            fix="Add good answers: what the model writes is compared with them.",
        )


def _nothing_left(split: str, spec: str, repeats: Repeats | None = None) -> DataError:
    if repeats is not None and repeats.contradictory:
        return DataError(
            "Every text that could be tested is there with different labels, so no answer to it is right",
            got=shown_spec(spec),
            fix="Let each text have one label.",
        )
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

    target = task.target_column
    if target and any(isinstance(row[target], list) for row in rows):
        # A column has one type, so where one row has several references every row has a list.
        rows = [{**row, target: task.references(row)} for row in rows]
    return Dataset.from_list(list(rows))
