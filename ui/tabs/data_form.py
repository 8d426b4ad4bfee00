"""Which examples: bundled, a file, or the Hub; which columns; and what there is to know or to mend.

Used by the Train and the Evaluate tab. Draws what `data` finds; decides nothing about the rows.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from data.preferences import besides_in
from data.problems import SHOWN, ProblemsError
from data.readers.files import SUFFIXES
from data.sources import Opened
from data.splits import SPLIT_NAMES
from data.tasks import Task
from data.tasks.own import USUAL
from eval.statistics import fewest_rows, smallest_difference
from plumbing import doors
from plumbing.errors import DataError, UserError
from plumbing.printable import one_line
from ui.drawing import text
from ui.drawing.markup import Child, Markup, cell, join, sentences, table, tag
from ui.server.visitors import Visitor

PREVIEW_ROWS = 3
SHOWN_LABELS = 12
FEW_ROWS = 100
"""With fewer test rows it is said how large a difference has to be to be found."""
OWN = "own"
"""The rows that a tuned model's own run set aside for its test."""
GUESS = "guess"
"""The value of a column dropdown that leaves the choice to the guess."""
LABELS_HINT = "guessed; or 1=negative, 5=positive, 3=skip"
FILE_TYPES = [*SUFFIXES, ".gz"]
AS_GUESSED = f"() => ['{GUESS}', '{GUESS}', '', false]"
"""What a page does by itself to `DataForm.said_of_rows` of other rows."""


@dataclass(frozen=True)
class Chosen:
    """What the form says."""

    source: str
    """As `data.sources` names it; or `OWN`."""
    columns: dict[str, str] | None
    labels: dict[str, str | None] | None
    skip_empty: bool = False


@dataclass
class DataForm:
    """The form's components; `inputs` is what `read` takes."""

    kind: gr.Radio
    file: gr.File
    hub: gr.Textbox
    mapping: gr.Row
    input_column: gr.Dropdown
    target_column: gr.Dropdown
    labels: gr.Textbox
    skip_empty: gr.Checkbox
    also: gr.Dropdown | None = None
    """Another column, which stands before the input; None where the task is known, and has its columns."""

    @property
    def inputs(self) -> list[Any]:
        return [
            self.kind, self.file, self.hub, self.input_column, self.target_column, self.labels, self.skip_empty,
            *([self.also] if self.also else []),
        ]  # fmt: skip

    @property
    def parts(self) -> list[Any]:
        """The outputs of `visible_parts`."""
        return [self.file, self.hub, *self.reading]

    @property
    def reading(self) -> list[Any]:
        """How the rows are read: the outputs of `guessed`."""
        return [self.mapping, self.input_column, self.target_column, self.labels, self.skip_empty]

    @property
    def said_of_rows(self) -> list[Any]:
        """What a person has said of how the rows are read, and what counts for no others."""
        return [self.input_column, self.target_column, self.labels, self.skip_empty]

    @property
    def columns(self) -> list[Any]:
        """The dropdowns of columns."""
        return [self.input_column, self.target_column, *([self.also] if self.also else [])]

    @property
    def other_source(self) -> list[Any]:
        """The triggers of other rows: the columns are guessed anew."""
        return [self.file.upload, self.hub.submit]

    @property
    def other_reading(self) -> list[Any]:
        """The triggers of the same rows read in another way."""
        return [*(each.input for each in self.columns), self.labels.submit, self.skip_empty.input]

    def named_for(self, task: Task, *, answered: bool = True) -> dict[Any, Any]:
        """Updates that call the fields what a task calls them, and show those only that it has.

        `answered` says whether what is learned has a column of its own, as in a conversation it has not.
        """
        also = {self.also: gr.update(visible=task.kind in ("classification", "generation"))} if self.also else {}
        return also | {
            self.input_column: gr.update(label=doors.field(f"data.columns.{task.input_columns[-1]}")),
            self.target_column: gr.update(
                label=doors.field(f"data.columns.{task.target_column}"),
                visible=answered and bool(task.target_column),
            ),
            self.labels: gr.update(visible=task.is_classification),
        }


def corpora_of(task: Task) -> list[tuple[str, str]]:
    """(label, source) of the bundled corpora of a task."""
    return [(f"Bundled {task.corpus.partition(':')[2]}", task.corpus)] if task.corpus else []


def sources(
    corpora: Sequence[tuple[str, str]], *, hub_allowed: bool = True, any_task: bool = False
) -> list[tuple[str, str]]:
    """(label, value) of where rows may come from: the first is chosen at first.

    Args:
        corpora: (label, source) of what is bundled and can be chosen.
        hub_allowed: whether rows may come from the Hub.
        any_task: what is learned comes out of the rows, of which a file is the first choice.
    """
    others = [(text.SOURCES["file"], "file"), *([(text.SOURCES["hub"], "hub")] if hub_allowed else [])]
    return [*others, *corpora] if any_task else [*corpora, *others]


def build_data_form(
    name: str,
    *,
    task: Task | None,
    corpora: Sequence[tuple[str, str]],
    hub_allowed: bool = True,
    own: str = "",
    also: bool = False,
) -> DataForm:
    """The components, with ids that start with `name`.

    Args:
        name: begins their ids.
        task: what its columns are called after; None for one that is not known yet.
        corpora: (label, source) of what is bundled and can be chosen.
        hub_allowed: whether rows may come from the Hub.
        own: what the rows are called that a tuned model was judged on, which come first; empty for none.
        also: whether there may be another column, which stands before the input.
    """
    known = sources(corpora, hub_allowed=hub_allowed)
    known = [(own, OWN), *known] if own else known
    called = task or USUAL["classification"]
    kind = gr.Radio(
        known, value=known[0][1], label=text.SOURCE, show_label=False, elem_id=f"{name}-source", container=False
    )
    file = gr.File(
        label=text.DATA_FORMATS, file_types=FILE_TYPES, visible=known[0][1] == "file", height=110,
        elem_id=f"{name}-file",
    )  # fmt: skip
    hub = gr.Textbox(
        label="Data set on the Hub, then Enter", placeholder="owner/name", visible=False, elem_id=f"{name}-hub"
    )

    def column(what: str, label: str | None, usual: str = "guessed") -> gr.Dropdown:
        return gr.Dropdown(
            [(usual, GUESS)], value=GUESS, allow_custom_value=True, elem_id=f"{name}-{what}-column", label=label
        )

    with gr.Row(visible=False, elem_id=f"{name}-mapping") as mapping:
        input_column = column("input", doors.field(f"data.columns.{called.input_columns[-1]}"))
        target_column = column("target", doors.field(f"data.columns.{called.target_column}"))
        before = column("also", text.ALSO, "nothing else") if also else None
        labels = gr.Textbox(
            label=f"{doors.FIELDS[doors.LABELS]}, then Enter",
            placeholder=labels_hint(task),
            visible=called.is_classification,
            elem_id=f"{name}-labels",
        )
        skip_empty = gr.Checkbox(
            False, label=doors.FIELDS[doors.SKIP_EMPTY], container=False, elem_id=f"{name}-skip-empty"
        )
    return DataForm(kind, file, hub, mapping, input_column, target_column, labels, skip_empty, before)


def labels_hint(task: Task | None) -> str:
    """How labels are mapped, by examples."""
    return LABELS_HINT if task and task.polarity else "as they are; or bug=defect, spam=skip"


def source_of(kind: str | None, file: str | None, hub: str | None, known: Sequence[str]) -> str | None:
    """The source that the form's values name; None while a file or a name is still missing.

    `known` are the sources that can be chosen as they are.
    """
    if kind in known:
        return kind
    if kind == "file" and file:
        return f"file:{file}"
    return f"hub:{hub.strip()}" if kind == "hub" and hub and hub.strip() else None


def read(
    task: Task,
    kind: str,
    file: str | None,
    hub: str,
    input_column: str,
    target_column: str,
    labels: str,
    skip_empty: bool | None = False,
    also: str | None = None,
) -> Chosen | None:
    """What the form's values ask for; None while a file or a name is still missing."""
    as_it_is = [OWN, *(corpus for _, corpus in corpora_of(task))]
    source = source_of(kind, file, hub, as_it_is)
    if source is None:
        return None
    if source in as_it_is:
        return Chosen(source, None, None)
    wanted, target = task.source_columns[: len(task.input_columns)], task.target_column
    picked = {wanted[-1]: input_column, **({target: target_column} if target else {})}
    if len(wanted) > 1 and also:
        picked[wanted[0]] = also
    columns = {name: column for name, column in picked.items() if column and column != GUESS}
    return Chosen(
        source, columns or None, read_labels(labels) if task.is_classification else None, bool(skip_empty)
    )


def read_labels(written: str) -> dict[str, str | None] | None:
    """`1=negative, 5=positive, 3=skip` → a label map; None for nothing written."""
    if not written or not written.strip():
        return None
    found: dict[str, str | None] = {}
    value = ""
    for part in written.split(","):
        # A value may hold commas and signs of equality, such as 4,5; what it means holds neither.
        value += f",{part}" if value else part
        raw, equals, label = value.rpartition("=")
        if not equals:
            continue
        if not raw.strip():
            break
        found[raw.strip()] = None if label.strip() == "skip" else label.strip()
        value = ""
    if value.strip():
        raise DataError("Labels are mapped as value=label", got=value, fix="For example 0=negative, 1=positive.")
    return found


def visible_parts(kind: str) -> list[Any]:
    """Updates of `DataForm.parts` after the kind of source changed. Of a file the row is shown once it is there."""
    return [gr.File(visible=kind == "file", value=None), gr.Textbox(visible=kind == "hub"), *guessed(kind == "hub")]


def guessed(visible: bool, columns: Sequence[str] = ()) -> list[Any]:
    """Updates of `DataForm.reading` for other rows: nothing that was said of the ones before counts for them.

    Args:
        visible: whether what is guessed may be said instead, as of any data but ours.
        columns: that the rows have; where they are not known, any name can be written.
    """
    choices = [("guessed", GUESS), *((one_line(name), name) for name in columns)]
    dropdowns = [gr.Dropdown(choices=choices, value=GUESS) for _ in range(2)]
    return [gr.Row(visible=visible), *dropdowns, "", False]


def without_columns(form: DataForm) -> dict[Any, Any]:
    """A form's columns left to the guess: those that were chosen belong to other rows."""
    return dict.fromkeys(form.columns, GUESS) | {form.labels: "", form.skip_empty: False}


def column_updates(
    form: DataForm, opened: Opened | None, columns: Sequence[str] = (), chosen: Sequence[str | None] = (None, None)
) -> dict[Any, Any]:
    """Updates for mapping row and column dropdowns, once the columns are known.

    Args:
        form: whose.
        opened: the data; None where it could not be opened as a whole.
        columns: those that it has then; where they are not known, any name can be written.
        chosen: the columns of input and target that were chosen by hand. They stay: whoever has to choose both
            chooses one after the other.
    """
    if opened and _is_corpus(opened):
        return {form.mapping: gr.Row(visible=False)}
    both = (form.input_column, form.target_column)
    names = [(one_line(name), name) for name in (opened.columns if opened else columns)]
    also = {form.also: gr.update(choices=[("nothing else", GUESS), *names])} if form.also else {}
    if opened is not None:
        now: list[str | None] = [opened.mapping.inputs[-1], opened.mapping.target]
    elif names:
        now = [column if column in columns else None for column in chosen]
    else:
        names = [("guessed", GUESS), *((one_line(column), column) for column in chosen if column)]
        now = [column or GUESS for column in chosen]
    updates = {each: gr.update(choices=names, value=column) for each, column in zip(both, now, strict=True)}
    return {form.mapping: gr.Row(visible=True)} | also | updates


def columns_of(chosen: Chosen) -> list[str]:
    """The columns of a file that could not be opened as a whole, so that others can be chosen."""
    from pathlib import Path

    from data.readers.files import read_table

    kind, _, path = chosen.source.partition(":")
    try:
        return list(read_table(Path(path)).columns) if kind == "file" else []
    except DataError:
        return []


def waiting(kind: str) -> Markup:
    """What is still missing for a source of this kind."""
    what = "Choose a file." if kind == "file" else "Write the name of a data set, such as stanfordnlp/sst2."
    return tag("div", what, class_="ba-note")


# ---- drawings ----------------------------------------------------------------------------------------------


def summary(opened: Opened, *, said: Sequence[str] = ()) -> Markup:
    """Counts, what the hygiene check found, and how the columns were read; `said` is what the rows are."""
    counts = " · ".join(f"{len(opened.splits[name]):,} {name}" for name in SPLIT_NAMES)
    lines = [*said, *_labels(opened), *_hygiene(opened), *opened.notes]
    lines += [] if _is_corpus(opened) else [opened.mapping.reason]
    return join([tag("div", counts, class_="ba-strong"), too_small(opened), sentences(lines)])


def _labels(opened: Opened) -> list[str]:
    """Which labels there are, with how many rows each."""
    if not opened.task.is_classification:
        return []
    counts = Counter(label for name in SPLIT_NAMES for label in opened.splits[name][opened.task.target_column])
    shown = [f"{one_line(label)} {counts[label]:,}" for label in opened.task.labels[:SHOWN_LABELS]]
    more = len(opened.task.labels) - SHOWN_LABELS
    return [f"{len(opened.task.labels)} labels: {', '.join(shown)}{f' and {more:,} more' if more > 0 else ''}."]


def too_small(opened: Opened) -> Markup | None:
    """What so few test rows, or such, cannot show; said before anything is trained."""
    test, task = opened.splits["test"], opened.task
    if few := too_few(len(test)):
        return few
    if task.is_classification and len(labels := set(test[task.target_column])) == 1:
        return _warning(text.ONE_LABEL.format(label=labels.pop()))
    if task.is_classification and len(test) < FEW_ROWS:
        least = smallest_difference(len(test))
        return tag("div", text.FEW.format(rows=len(test), least=least), class_="ba-note")
    return None


def too_few(rows: int) -> Markup | None:
    """That no verdict is possible on so many test rows; None where one is."""
    least = fewest_rows()
    return _warning(text.TOO_FEW.format(rows=rows, s="s" * (rows != 1), least=least)) if rows < least else None


def _warning(said: str) -> Markup:
    return tag("div", tag("div", said, class_="ba-strong"), class_="ba-problems")


def preview(opened: Opened) -> Markup:
    """The first training rows."""
    task = opened.task
    rows = opened.splits["train"].select(range(min(PREVIEW_ROWS, len(opened.splits["train"]))))
    besides = besides_in(rows)

    def cells(row: Mapping[str, Any]) -> list[Child]:
        more = (cell(_besides(row[each])) for each in besides)
        return [row["row"], cell(task.text_of(row)), *_target(task, row), *more]

    return table(["row", *task.columns, *besides], map(cells, rows))


def problems(error: UserError, visitor: Visitor) -> Markup:
    """Everything that is wrong with the data, with rows and remedies."""
    if not isinstance(error, ProblemsError):
        return tag("div", tag("div", visitor.shown(str(error)), class_="ba-strong"), class_="ba-problems")
    shown: list[Child] = [tag("li", visitor.shown(str(problem))) for problem in error.problems[:SHOWN]]
    if len(error.problems) > SHOWN:
        shown.append(tag("li", f"and {len(error.problems) - SHOWN} more"))
    title = tag("div", visitor.shown(f"{error.problem}."), class_="ba-strong")
    return tag("div", title, tag("ul", *shown), class_="ba-problems")


def _besides(value: str | bool) -> str:
    return value if isinstance(value, str) else "up" if value else "down"


def _target(task: Task, row: Mapping[str, Any]) -> list[Markup]:
    return [cell(" / ".join(task.references(row)))] if task.target_column else []


def _is_corpus(opened: Opened) -> bool:
    return opened.spec.startswith("corpus:")


def _hygiene(opened: Opened) -> list[str]:
    if _is_corpus(opened):
        return list(_corpus_hygiene(opened.spec, opened.task, besides_in(opened.splits["train"])))
    from data.hygiene import inspect

    return inspect(opened.splits, opened.task).sentences()


@functools.cache
def _corpus_hygiene(spec: str, task: Task, besides: tuple[str, ...]) -> tuple[str, ...]:
    """A corpus does not change while the app runs."""
    from data.hygiene import inspect
    from data.sources import open_source

    return tuple(inspect(open_source(spec, task, besides=besides).splits, task).sentences())
