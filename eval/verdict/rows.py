"""Which rows the sides of a verdict are compared on: one a text, new to all of them, the same for all.

A file or another source is read with the task that was given, or the one that its columns propose; without a
source, the rows are those that a run among the sides was judged on. A row that any side was trained on is left out
for all, so that all pairs are judged on the same rows; whoever wants may keep them. Opens no side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from data.origins import Choices
from data.proposed_task import propose_task
from data.readers.files import names_a_file, read_splits
from data.readers.folders import is_folder, read_folder
from data.repeats import Repeats
from data.samples import sample
from data.sources import open_test, shown_spec
from data.specs import path_of
from data.tasks import TASKS, Task
from data.tasks.saved import TASK_FILE, load_task
from data.tasks.task import Input, Kind, as_text
from eval.findings import findings_of
from eval.provenance import hash_rows
from eval.report.sections import DataInfo, Selection
from eval.sides.side import Asked
from eval.verdict.schema import Known
from eval.verdict.slices import LABEL, LENGTH, by_length, by_name, by_value
from eval.verdict.trained import Learned, learned_by
from models.tuned import tuned_in
from plumbing import doors
from plumbing.errors import DataError
from plumbing.printable import one_line

if TYPE_CHECKING:
    from datasets import Dataset

    from data.readers.table import Table

_WHICH_TASK = {
    "command": "Say what kind of task it is: --task classification, generation or chat. Where it is not clear "
    "which column is read and which is the answer: --set data.columns.text=… --set data.columns.label=…; of "
    "generation data.columns.input=… and data.columns.output=….",
    "page": "Say what kind of task it is, and which column is read and which is the answer.",
}
_KEEP = {"command": "add --keep-trained-rows", "page": "keep the rows that were trained on"}
_GIVE_ROWS = {"command": "Give rows: --data FILE.", "page": "Give rows: a file of your own."}


@dataclass(frozen=True)
class TestRows:
    """The rows of a verdict."""

    __test__ = False  # no class of tests

    task: Task
    """With its labels."""
    inputs: list[Input]
    references: list[list[str]]
    slices: list[dict[str, str]]
    """Of each row, what it was divided by → its value."""
    data: DataInfo
    known: list[Known]
    """Of each side, in the order that they were asked for."""
    notes: tuple[str, ...] = ()
    why: str = ""
    """Why this task, in a sentence, where it was proposed."""


def open_rows(
    source: str | None,
    asked: Sequence[Asked],
    *,
    task: Task | None = None,
    kind: Kind | None = None,
    columns: Mapping[str, str] | None = None,
    labels: Mapping[str, str | None] | None = None,
    skip_empty: bool = False,
    count: int | None = None,
    keep_trained: bool = False,
    slices: Sequence[str] = (),
    check: Callable[[Dataset, Task], None] | None = None,
) -> TestRows:
    """The rows to compare the sides on.

    Args:
        source: a data source, of which the test split is taken, or all rows of a file. None for those that a run
            among the sides was judged on, which has its report.
        asked: the sides, the base first.
        task: what is asked; None proposes it from the columns.
        kind: of a task that is proposed.
        columns: see `data.sources.open_source`.
        labels: the same.
        skip_empty: leave out rows with an empty field.
        count: judge a fixed sample of so many, every label in its share.
        keep_trained: judge rows that a side was trained on, too.
        slices: columns of the source by which the rows are divided, beside label and length.
        check: looks at all rows that the source has; raises where they are not to be judged here.

    Raises:
        DataError: the source cannot be read, it is not clear what is asked, the task has no answers, or no row is
            left.
    """
    if source is None:
        return _of_run(asked, count=count, keep_trained=keep_trained, slices=slices)
    named, called = dict(columns or {}), dict(labels or {})
    own = [name for name in slices if name not in (LABEL, LENGTH)]
    why = ""
    if task is None:
        task, why = _proposed(source, named, kind, own)
    _require_answers(task)
    found = open_test(source, task, columns=named, labels=called, skip_empty=skip_empty, keep=own)
    task = found.task or task
    if check is not None:
        check(found.rows, task)
    how = Choices(task, named, called, skip_empty, for_another=True)
    return _chosen(
        source,
        found.rows,
        task,
        found.repeats,
        [learned_by(one, how) for one in asked],
        [*([why] if why else []), f"How the rows are read: {found.mapping.reason}", *found.notes],
        count=count,
        keep_trained=keep_trained,
        columns=own,
        why=why,
    )


def _require_answers(task: Task) -> None:
    if task.kind == "text":
        raise DataError(
            "Raw texts have no answers to compare",
            got=task.name,
            fix="Give rows with an input and an answer, a label or a conversation.",
        )


# ---- which task ------------------------------------------------------------------------------------------------


def _proposed(
    source: str, columns: Mapping[str, str], kind: Kind | None, slices: Sequence[str]
) -> tuple[Task, str]:
    """The task that the source's columns propose, and why; of a bundled corpus its own.

    Where that is not clear, `slices` are columns that are none of the task's.
    """
    from data.readers import hub

    if source.startswith("corpus:"):
        own = [task for task in TASKS.values() if task.corpus == source]
        if not own:
            raise DataError(
                "It is not known which task this corpus is for", got=source, fix=_WHICH_TASK[doors.current()]
            )
        return own[0], ""
    name = source.partition(":")[2] if source.startswith(("hub:", "file:")) else source
    if source.startswith("hub:"):
        tables = hub.read_hub(name)
    elif source.startswith("file:") or names_a_file(source):
        path = path_of(name)
        read = read_folder if is_folder(path) else read_splits
        tables = read(path, header_names=tuple(columns.values()), raw=None)
    else:
        return next(iter(TASKS.values())), ""  # what is wrong with the name is said where it is opened
    propose = partial(propose_task, chosen=columns, kind=kind, fix=_WHICH_TASK[doors.current()])
    try:
        found = propose(tables)
    except DataError:
        there = tables["train"].columns
        if lacking := [column for column in slices if column not in there]:
            known = ", ".join(map(one_line, there))
            raise DataError("The rows have no such column", got=lacking[0], fix=f"There are: {known}.") from None
        if not slices:
            raise
        found = propose({split: _without(table, slices) for split, table in tables.items()})
    found = found.named(path_of(name))
    return found.task, found.why


def _without(table: Table, columns: Sequence[str]) -> Table:
    rows = tuple(
        (number, {name: value for name, value in row.items() if name not in columns}) for number, row in table.rows
    )
    return replace(table, columns=tuple(name for name in table.columns if name not in columns), rows=rows)


# ---- rows of a run ---------------------------------------------------------------------------------------------


def _of_run(asked: Sequence[Asked], *, count: int | None, keep_trained: bool, slices: Sequence[str]) -> TestRows:
    """The rows that the first run among the sides was judged on, as its report has them."""
    from eval.gate import frozen_rows
    from eval.report.folder import REPORT_FILE

    for one in asked:
        run = path_of(one.text)
        run = run.parent if run.name in ("adapter", "model") else run
        if not (run / "eval" / REPORT_FILE).is_file():
            continue
        tuned = run if (run / TASK_FILE).is_file() else tuned_in(run)  # what ships lies beside its report
        report_task = load_task(tuned)
        if report_task is None:
            raise DataError(f"The run has no {TASK_FILE}", got=str(tuned), fix=_GIVE_ROWS[doors.current()])
        _require_answers(report_task)
        if own := [name for name in slices if name not in (LABEL, LENGTH)]:
            raise DataError(
                "The rows of a run's report have no columns to divide them by", got=own[0], fix="Give the file."
            )
        report, rows, dataset = frozen_rows(run / "eval", report_task)
        dataset = dataset.add_column("row", list(range(1, len(rows) + 1)))
        how = Choices(report_task, {}, {}, for_another=True)
        return _chosen(
            report.data.spec,
            dataset,
            report_task,
            Repeats(len(rows)),
            [learned_by(each, how) for each in asked],
            [f"The {len(rows):,} rows are those that {run.name} was judged on."],
            count=count,
            keep_trained=keep_trained,
            columns=[],
            split=report.data.split,
        )
    raise DataError(
        "It is not known which rows to compare the sides on",
        fix=f"{_GIVE_ROWS[doors.current()]} Only a run that was judged has its own.",
    )


# ---- the choice ------------------------------------------------------------------------------------------------


def _chosen(
    spec: str,
    rows: Dataset,
    task: Task,
    repeats: Repeats,
    learned: Sequence[Learned | None],
    notes: list[str],
    *,
    count: int | None,
    keep_trained: bool,
    columns: Sequence[str],
    split: str = "test",
    why: str = "",
) -> TestRows:
    texts = [as_text(given) for given in rows[task.input_column][:]]
    seen = [[bool(one and one.finds(text)) for one in learned] for text in texts]
    of_any = {place for place, sides in enumerate(seen) if any(sides)}
    known = [
        Known(known_by=None, trained_on=None)
        if one is None
        else Known(known_by=one.known_by, trained_on=sum(sides[index] for sides in seen))
        for index, one in enumerate(learned)
    ]
    notes = [*notes, *dict.fromkeys(said for one in learned if one for said in one.notes)]
    eligible = len(rows) if keep_trained else len(rows) - len(of_any)
    if not eligible:
        raise DataError(
            "Every row was trained on by one side or another, so none can show what was learned",
            got=f"{len(rows):,} rows of {shown_spec(spec)}",
            fix=f"Give rows that no side was trained on, or {_KEEP[doors.current()]}.",
        )
    if of_any and not keep_trained:
        rows = rows.select([place for place in range(len(rows)) if place not in of_any])
    judged = sample(rows, count, task)
    found = list(judged)
    inputs = [task.input_of(row) for row in found]
    references = [task.references(row) for row in found]
    divided, said = _divided(found, task, inputs, references, columns)
    said_by = [one.known_by for one in learned if one]
    return TestRows(
        task=task,
        inputs=inputs,
        references=references,
        slices=divided,
        data=DataInfo(
            spec=shown_spec(spec),
            split=split,
            test_sha256=hash_rows([as_text(given) for given in inputs], references),
            selection=Selection(
                given=repeats.given,
                repeated=repeats.repeated,
                merged=bool(repeats.repeated) and task.kind == "generation",
                contradictory=repeats.contradictory,
                trained_on=len(of_any) if said_by else None,
                trained_kept=bool(of_any) and keep_trained,
                known_by=min(said_by, key=("run", "recipe", "file").index) if said_by else None,
                eligible=eligible,
                notes=notes,
            ),
            findings=_findings(judged, task, learned),
        ),
        known=known,
        notes=tuple(said),
        why=why,
    )


def _findings(judged: Dataset, task: Task, learned: Sequence[Learned | None]) -> Any:
    """What is odd about the rows beside those that were trained on; None where these are not here."""
    train = [row for one in learned if one for row in one.rows]
    if not train:
        return None
    columns = (*task.columns, "row")
    kept = [row for row in train if not task.labels or row[task.target_column] in task.labels]

    def by_column(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
        return {column: [row[column] for row in rows] for column in columns}

    splits = {"train": by_column(kept), "validation": by_column([]), "test": by_column(list(judged))}
    return findings_of(splits, task)


def _divided(
    rows: Sequence[Mapping[str, Any]],
    task: Task,
    inputs: Sequence[Input],
    references: Sequence[Sequence[str]],
    columns: Sequence[str],
) -> tuple[list[dict[str, str]], list[str]]:
    """Of each row what it is divided by → its value; and what was put together, in sentences."""
    parts = [by_value(column, [row[column] for row in rows]) for column in dict.fromkeys(columns)]
    asked = len(parts)
    if task.is_classification:
        parts.append(by_name(LABEL, [each[0] for each in references]))
    parts.append(by_length([as_text(given) for given in inputs]))
    # That few rows are not divided by length is no news: nobody asked.
    notes = [note for place, part in enumerate(parts) if part.values or place < asked for note in part.notes]
    divided: list[dict[str, str]] = [{} for _ in rows]
    for part in parts:
        for row, value in zip(divided, part.values or [], strict=bool(part.values)):
            row[part.by] = value
    return divided, notes


def with_metric(rows: TestRows, metric: str) -> TestRows:
    """The same rows, judged by another metric than the task's own."""
    return replace(rows, task=replace(rows.task, metric=metric))
