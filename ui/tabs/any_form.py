"""The form for any models: which, on which rows, by what; and what it says, as `python -m eval compare` takes it.

Which names a visitor may use is decided in `ui.server.naming`, for every call anew.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from data.tasks import TASKS, Task
from data.tasks.own import USUAL
from data.tasks.task import MAX_INSTRUCTION_CHARS, Kind
from eval.asked.request import Request
from eval.metrics import possible_primaries
from finetuning.limits import Limits
from plumbing import doors
from plumbing.errors import DataError, RecipeError, UserError
from ui.drawing import text
from ui.drawing.markup import tag
from ui.server.naming import TUNED_HERE, offered, offered_to_all, side_named
from ui.server.visitors import Visitor, visitor_of
from ui.tabs import data_form
from ui.tabs.data_form import GUESS, OWN, DataForm
from ui.tabs.events import QUICK, Updates
from ui.tabs.fields import read_row_count, whole_or_all

TOLD = "told"
"""The task is what the rows are for."""
USUAL_METRIC = "usual"
ROWS_LABEL = "Rows at most"
_KINDS: tuple[Kind, ...] = ("classification", "generation", "chat")
"""Those whose rows have an answer."""


@dataclass
class AnyForm:
    """The components."""

    base: gr.Dropdown
    tuned: gr.Dropdown
    rows: gr.Textbox
    task: gr.Dropdown
    metric: gr.Dropdown
    margin: gr.Textbox
    instruction: gr.Textbox
    options: gr.Textbox
    data: DataForm

    @property
    def inputs(self) -> list[Any]:
        """Whose values `asked` takes."""
        said = [self.base, self.tuned, self.rows, self.task, self.metric, self.margin, self.instruction]
        return [*said, self.options, *self.data.inputs]

    @property
    def named(self) -> list[Any]:
        """The inputs and outputs of `refresh`."""
        return [self.base, self.tuned]

    @property
    def called(self) -> list[Any]:
        """The outputs of `change_task`."""
        return [self.data.input_column, self.data.target_column, self.data.labels]

    def refresh(self, base: str | None, tuned: list[str] | None, request: gr.Request) -> list[Any]:
        """What can be chosen now; the choice stays as far as it can."""
        visitor = visitor_of(request)
        found = offered(visitor)
        known = {value for _, value in found}
        kept = [value for value in tuned or [] if value in known or not visitor.is_stranger]
        if not base or (visitor.is_stranger and base not in known):
            base = _first_base(found)
        return [gr.update(choices=found, value=base), gr.update(choices=found, value=kept)]

    def change_task(self, task: str | None) -> Updates:
        """Another task's columns have other names."""
        return self.data.named_for(_task(task) or USUAL["classification"])

    def named_in(self, values: Sequence[Any]) -> list[str]:
        """What the form's values call the sides, the base first."""
        base, tuned = values[:2]
        return [base or "", *(tuned or [])]

    def asked(self, values: Sequence[Any], visitor: Visitor) -> Request:
        """What the form's values ask for, of a visitor who may ask it.

        Raises:
            UserError: something is missing, makes no sense, or is not for this visitor.
        """
        _, _, rows, task, metric, margin, instruction, options, *of_rows = values
        source, settings = _read_rows(of_rows, task, visitor)
        sides = self.named_in(values)
        if len(sides) < 2:
            raise UserError("There is nothing to compare the base with", fix="Choose a model under “Tuned”.")
        if (limits := visitor.limits) and len(sides) > limits.sides:
            fix = f"Choose {limits.sides - 1} besides the base."
            raise UserError(f"This public page compares up to {limits.sides} models", got=len(sides), fix=fix)
        first, *others = (side_named(side, visitor).text for side in sides)
        return Request(
            base=first,
            tuned=others,
            data=source,
            task=None if task in (None, TOLD) else task,
            settings=settings,
            metric=_read_metric(metric),
            instruction=_read_instruction(instruction),
            options=_read_options(options, visitor),
            rows=read_row_count(rows, ROWS_LABEL, visitor),
            margin=_read_margin(margin),
        )


def _task(task: str | None) -> Task | None:
    """The task of that name, or the usual one of that kind; None where the rows say it."""
    if task is None or task == TOLD:
        return None
    known = TASKS | {kind: USUAL[kind] for kind in _KINDS}
    if task not in known:
        raise RecipeError("There is no such task", got=task[:100], fix="Choose one from the list.")
    return known[task]


def _metrics() -> list[tuple[str, str]]:
    """(title, name) of the metrics that a verdict may rest on, of every kind of task.

    Not of the chosen one: Gradio's list that is open while its choices become fewer ends with an error in the page,
    and whoever goes on from the task by the Tab key has opened this one.
    """
    found = {
        metric.name: f"{metric.title} · {of}"
        for kind, of in text.ANY_METRIC_OF.items()
        for metric in possible_primaries(kind)
    }
    return [(title, name) for name, title in found.items()]


def _corpora() -> list[tuple[str, str]]:
    return [each for task in TASKS.values() if task.target_column for each in data_form.corpora_of(task)]


def _read_rows(values: Sequence[Any], task: str | None, visitor: Visitor) -> tuple[str | None, list[str]]:
    """The source that the form names, None for the rows of a side that was judged; and how it is read."""
    kind, file, hub = values[:3]
    corpora = [source for _, source in _corpora()]
    source = data_form.source_of(kind, file, hub, [OWN, *corpora])
    if source is None:
        raise DataError("No test set is chosen", fix="Upload a file, or write the name of a data set.")
    if source == OWN:
        return None, []
    visitor.check_source(source)
    if source in corpora:
        return source, []
    known = _task(task)
    if known is None and any(value not in (None, "", GUESS) for value in values[3:6]):
        raise UserError(text.ANY_TASK_FIRST, fix=f"Choose it under “{text.ANY_TASK}”.")
    chosen = data_form.read(known or USUAL["classification"], *values)
    assert chosen is not None, "the source is there"
    settings = [f"data.columns.{name}={column}" for name, column in (chosen.columns or {}).items()]
    settings += [f"{doors.LABELS}.{value}={label or 'null'}" for value, label in (chosen.labels or {}).items()]
    return source, [*settings, *([f"{doors.SKIP_EMPTY}=true"] if chosen.skip_empty else [])]


def _read_metric(metric: str | None) -> str | None:
    """One from the list: of any other the name may be that of code on this machine."""
    if metric is None or metric == USUAL_METRIC:
        return None
    if metric not in [name for _, name in _metrics()]:
        raise RecipeError("There is no such metric", got=metric[:100], fix="Choose one from the list.")
    return metric


def _read_instruction(written: str | None) -> str | None:
    said = (written or "").strip()
    if len(said) > MAX_INSTRUCTION_CHARS:
        raise RecipeError(f"The instruction has more than {MAX_INSTRUCTION_CHARS:,} characters", fix="Shorten it.")
    return said or None


def _read_options(written: str | None, visitor: Visitor) -> list[str]:
    """How sides are opened, an option a line. They name files of this machine: not for strangers."""
    lines = [line.strip() for line in (written or "").splitlines() if line.strip()]
    if lines and visitor.is_stranger:
        raise UserError("This public page opens every model in its own way", fix="Leave the options out.")
    return lines


def _read_margin(written: str | None) -> float | None:
    said = (written or "").strip()
    if not said:
        return None
    try:
        margin = float(said)
    except ValueError:
        margin = math.nan
    if not 0 < margin < math.inf:
        raise RecipeError(f"“{text.ANY_MARGIN}” is a number above 0", got=said[:50], fix="Write 0.02, or nothing.")
    return margin


# ---- laying it out -----------------------------------------------------------------------------------------


def build_any_form(limits: Limits | None = None) -> AnyForm:
    """Lay the components out, and connect the task with what depends on it."""
    found = offered_to_all(limits)
    said = text.ANY_NAMES if limits is None else text.ANY_NAMES_PUBLIC
    gr.HTML(tag("div", f"{text.ANY_INTRO} {said}", class_="ba-note"), elem_classes="ba-plain")
    write = limits is None
    with gr.Row():
        base = gr.Dropdown(
            found,
            value=_first_base(found),
            label="Base",
            elem_id="any-base",
            scale=2,
            min_width=280,
            allow_custom_value=write,
        )
        tuned = gr.Dropdown(
            found, value=[], multiselect=True, label="Tuned, one or more", elem_id="any-tuned", scale=3,
            min_width=280, allow_custom_value=write,
        )  # fmt: skip
        most = limits.test_rows if limits else None
        rows = whole_or_all(None, label=ROWS_LABEL, most=most, elem_id="any-rows", min_width=120)
    gr.HTML(tag("div", "Rows", class_="ba-small"), elem_classes="ba-plain")
    hub_allowed = limits is None or limits.hub
    data = data_form.build_data_form(
        "any", task=None, corpora=_corpora(), hub_allowed=hub_allowed, own=text.ANY_OWN_ROWS
    )
    with gr.Accordion("More", open=False, elem_id="any-more"):
        task, metric, margin = _build_by_what()
        instruction = gr.Textbox(
            label=text.INSTRUCTION, info=text.ANY_INSTRUCTION_INFO, lines=1, max_lines=6, elem_id="any-instruction"
        )
        options = gr.Textbox(
            label=text.ANY_OPTIONS, info=text.ANY_OPTIONS_INFO, lines=1, max_lines=6, visible=write,
            elem_id="any-options",
        )  # fmt: skip
    form = AnyForm(base, tuned, rows, task, metric, margin, instruction, options, data)
    task.input(form.change_task, task, form.called, **QUICK)
    return form


def _build_by_what() -> tuple[gr.Dropdown, gr.Dropdown, gr.Textbox]:
    """What is asked, what it is scored by, and the loss that does not matter."""
    titles = [(each.title, name) for name, each in TASKS.items() if each.target_column]
    kinds = [(text.KINDS[kind], kind) for kind in _KINDS]
    with gr.Row():
        task = gr.Dropdown(
            [(text.ANY_TASK_TOLD, TOLD), *kinds, *titles], value=TOLD, label=text.ANY_TASK, elem_id="any-task"
        )
        metric = gr.Dropdown(
            [(text.ANY_METRIC_OWN, USUAL_METRIC), *_metrics()],
            value=USUAL_METRIC, label="Metric", elem_id="any-metric",
        )  # fmt: skip
        margin = gr.Textbox(
            label=text.ANY_MARGIN, info=text.ANY_MARGIN_INFO, placeholder="0.02", max_lines=1, elem_id="any-margin"
        )
    return task, metric, margin


def _first_base(found: Sequence[tuple[str, str]]) -> str | None:
    """The first of those that were not tuned here."""
    return next((value for _, value in found if not value.startswith(TUNED_HERE)), None)
