"""Any models in the Evaluate tab: what `python -m eval compare` does, by a form.

From the form to a verdict is `eval.asked`'s, as at the command line. Which names a visitor may use is decided in
`ui.server.naming`, for every call anew.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from data.tasks import TASKS, Task
from data.tasks.own import USUAL
from data.tasks.task import MAX_INSTRUCTION_CHARS, Kind
from eval.asked.request import Request
from eval.metrics import possible_primaries
from finetuning.limits import Limits
from models import libraries
from plumbing import doors
from plumbing.errors import DataError, RecipeError, UserError
from ui.drawing import text, verdicts
from ui.drawing.markup import Markup, counted, progress, tag
from ui.server.models_in_use import share_cores
from ui.server.naming import TUNED_HERE, offered, offered_to_all, servers_for, side_named
from ui.server.toast import toasts
from ui.server.visitors import Visitor, visitor_of
from ui.server.work import TimeLeft, Work
from ui.tabs import data_form
from ui.tabs.data_form import GUESS, OWN, DataForm
from ui.tabs.events import ACT, QUICK, Updates
from ui.tabs.fields import read_whole_or_all, whole_or_all
from ui.tabs.verdict_view import VerdictView, build_verdict_view, kept

if TYPE_CHECKING:
    from eval.sides.side import About, Prompted

TOLD = "told"
"""The task is what the rows are for."""
USUAL_METRIC = "usual"
ROWS_LABEL = "Rows at most"
_KINDS: tuple[Kind, ...] = ("classification", "generation", "chat")
"""Those whose rows have an answer."""


@dataclass
class AnyModels:
    """The components, and what they do."""

    base: gr.Dropdown
    tuned: gr.Dropdown
    form: DataForm
    rows: gr.Textbox
    task: gr.Dropdown
    metric: gr.Dropdown
    margin: gr.Textbox
    instruction: gr.Textbox
    run: gr.Button
    stop: gr.Button
    progress: gr.HTML
    prompts: gr.HTML
    view: VerdictView
    going: dict[str, Work] = field(default_factory=dict)
    """Open pages' sessions → the comparison that is going on there."""

    @property
    def inputs(self) -> list[Any]:
        """The inputs of `compare`."""
        said = [self.base, self.tuned, self.rows, self.task, self.metric, self.margin, self.instruction]
        return [*said, *self.form.inputs]

    @property
    def drawn(self) -> list[Any]:
        """The outputs of `compare`."""
        return [self.progress, self.prompts, *self.view.outputs]

    @property
    def called(self) -> list[Any]:
        """The outputs of `change_task`."""
        return [self.metric, self.form.input_column, self.form.target_column, self.form.labels]

    def refresh(self, base: str | None, tuned: list[str] | None, request: gr.Request) -> list[Any]:
        """What can be chosen now; the choice stays as far as it can."""
        visitor = visitor_of(request)
        found = offered(visitor)
        known = {value for _, value in found}

        def may(value: str) -> bool:
            return value in known or not visitor.is_stranger

        base = base if base and may(base) else _first_base(found)
        return [
            gr.Dropdown(choices=found, value=base),
            gr.Dropdown(choices=found, value=list(filter(may, tuned or []))),
        ]

    def change_task(self, task: str | None) -> Updates:
        """Another task has other metrics, and its columns have other names."""
        metrics = [(text.ANY_METRIC_OWN, USUAL_METRIC), *_metrics(task)]
        known = _task(task)
        called = self.form.named_for(known) if known else {}
        return called | {self.metric: gr.Dropdown(choices=metrics, value=USUAL_METRIC)}

    @toasts
    def compare(
        self,
        base: str | None,
        tuned: list[str] | None,
        rows: str | None,
        task: str | None,
        metric: str | None,
        margin: str | None,
        instruction: str | None,
        request: gr.Request,
        *values: Any,
    ) -> Iterator[Any]:
        """Compare on the chosen rows: the prompts and progress while it lasts, then the verdict."""
        visitor = visitor_of(request)
        source, settings = _read_rows(values, task, visitor)
        sides = [base, *(tuned or [])]
        if (limits := visitor.limits) and len(sides) > limits.sides:
            fix = f"Choose {limits.sides - 1} besides the base."
            raise UserError(f"This public page compares up to {limits.sides} models", got=len(sides), fix=fix)
        if len(sides) < 2:
            raise UserError("There is nothing to compare the base with", fix="Choose a model under “Tuned”.")
        first, *others = (side_named(side, visitor).text for side in sides)
        asked = Request(
            base=first,
            tuned=others,
            data=source,
            task=None if task in (None, TOLD) else task,
            settings=settings,
            metric=_read_metric(metric),
            instruction=_read_instruction(instruction),
            rows=_read_count(rows, visitor),
            margin=_read_margin(margin),
        )
        told: list[Markup] = []
        made: list[Path] = []
        work = Work(_job(asked, visitor, told, made), visitor, begins="Reading the rows …")
        page = request.session_hash or ""
        self.going[page] = work
        try:  # ends also where whoever asked has gone
            yield from self._follow(work, told, made, visitor)
        finally:
            self.going.pop(page, None)

    def _follow(self, work: Work, told: list[Markup], made: list[Path], visitor: Visitor) -> Iterator[Any]:
        unchanged = [gr.skip()] * len(self.view.outputs)
        yield ["", "", *self.view.clear()]
        left, shown = TimeLeft(), 0
        try:
            for what, done, total in work.in_turn():
                said = counted(what, done, total) + left.said(what, done, total, time.monotonic())
                prompts = verdicts.prompts(told) if len(told) > shown else gr.skip()
                shown = len(told)
                yield [progress(said, done, total), prompts, *unchanged]
        except DataError as error:
            yield [data_form.problems(error, visitor), gr.skip(), *unchanged]
            return
        except Exception:  # whatever it is, nothing is being done any more
            yield ["", gr.skip(), *unchanged]
            raise
        if work.was_stopped:
            yield [tag("div", text.STOPPED_HERE, class_="ba-note"), gr.skip(), *unchanged]
            return
        yield ["", "", *self.view.draw(made[0], visitor)]

    def stop_comparison(self, request: gr.Request) -> None:
        """End what this page has going."""
        if work := self.going.get(request.session_hash or ""):
            work.stop()


def _job(asked: Request, visitor: Visitor, told: list[Markup], made: list[Path]) -> Callable[[Work], None]:
    """What compares, fills `told` with how each side is asked, and `made` with the folder of the verdict."""

    def compare(work: Work) -> None:
        libraries.ready()
        from eval.asked.comparing import compared

        def on_prompt(key: str, about: About, prompted: Prompted) -> None:
            told.append(verdicts.asked(key, about, prompted))
            work.tell(f"{about.name} is open", 0, 0)

        share_cores()
        found, rows = compared(
            asked,
            on_progress=work.tell,
            on_fetch=work.tell,
            on_prompt=on_prompt,
            servers=servers_for(visitor),
            check=lambda given, task: visitor.check_rows({"test": given}, task),
        )
        made.append(kept(found, rows, visitor))

    return compare


# ---- what the form says ------------------------------------------------------------------------------------


def _task(task: str | None) -> Task | None:
    """The task of that name, or the usual one of that kind; None where the rows say it."""
    if task is None or task == TOLD:
        return None
    known = TASKS | {kind: USUAL[kind] for kind in _KINDS}
    if task not in known:
        raise RecipeError("There is no such task", got=task[:100], fix="Choose one from the list.")
    return known[task]


def _metrics(task: str | None) -> list[tuple[str, str]]:
    """(title, name) of the metrics that a verdict may rest on; of all kinds where the rows say the task."""
    known = _task(task)
    kinds = [known.kind] if known else _KINDS
    found = {metric.name: metric.title for kind in kinds for metric in possible_primaries(kind)}
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
    if metric not in [name for _, name in _metrics(None)]:
        raise RecipeError("There is no such metric", got=metric[:100], fix="Choose one from the list.")
    return metric


def _read_instruction(written: str | None) -> str | None:
    said = (written or "").strip()
    if len(said) > MAX_INSTRUCTION_CHARS:
        raise RecipeError(f"The instruction has more than {MAX_INSTRUCTION_CHARS:,} characters", fix="Shorten it.")
    return said or None


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


def _read_count(written: str | None, visitor: Visitor) -> int | None:
    wanted = read_whole_or_all(written, ROWS_LABEL)
    most = visitor.limits.test_rows if visitor.limits else None
    if wanted and most and wanted > most:
        raise UserError(f"This public page evaluates on up to {most:,} rows", got=wanted, fix=f"Write {most}.")
    return wanted or most


# ---- laying it out -----------------------------------------------------------------------------------------


def build_any_models(limits: Limits | None = None) -> AnyModels:
    """Lay the components out and connect them, but for those of the rows."""
    found = offered_to_all(limits)
    said = text.ANY_NAMES if limits is None else text.ANY_NAMES_PUBLIC
    gr.HTML(tag("div", f"{text.ANY_INTRO} {said}", class_="ba-note"), elem_classes="ba-plain")
    may_write = {"allow_custom_value": limits is None}
    with gr.Row():
        base = gr.Dropdown(found, value=_first_base(found), label="Base", elem_id="any-base", scale=2, **may_write)
        tuned = gr.Dropdown(
            found, value=[], multiselect=True, label="Tuned, one or more", elem_id="any-tuned", scale=3, **may_write
        )
        most = limits.test_rows if limits else None
        rows = whole_or_all(
            None, label=ROWS_LABEL, most=most, info=text.FEWER_ROWS, elem_id="any-rows", min_width=120
        )
    gr.HTML(tag("div", "Rows", class_="ba-small"), elem_classes="ba-plain")
    hub_allowed = limits is None or limits.hub
    form = data_form.build_data_form("any", task=None, corpora=_corpora(), hub_allowed=hub_allowed, own=True)
    with gr.Accordion("More", open=False, elem_id="any-more"):
        with gr.Row():
            titles = [(each.title, name) for name, each in TASKS.items() if each.target_column]
            kinds = [(text.KINDS[kind], kind) for kind in _KINDS]
            task = gr.Dropdown(
                [(text.ANY_TASK_TOLD, TOLD), *kinds, *titles], value=TOLD, label=text.ANY_TASK, elem_id="any-task"
            )
            metric = gr.Dropdown(
                [(text.ANY_METRIC_OWN, USUAL_METRIC), *_metrics(None)],
                value=USUAL_METRIC, label="Metric", elem_id="any-metric",
            )  # fmt: skip
            margin = gr.Textbox(
                label=text.ANY_MARGIN, info=text.ANY_MARGIN_INFO, placeholder="0.02", max_lines=1,
                elem_id="any-margin",
            )  # fmt: skip
        instruction = gr.Textbox(
            label=text.INSTRUCTION, info=text.ANY_INSTRUCTION_INFO, lines=1, max_lines=6, elem_id="any-instruction"
        )
    with gr.Row(elem_classes="ba-actions"):
        run = gr.Button("Compare", variant="primary", scale=0, elem_id="any-run")
        stop = gr.Button("Stop", scale=0, elem_id="any-stop")
    bar = gr.HTML(elem_id="any-progress", elem_classes="ba-plain")
    prompts = gr.HTML(elem_id="any-prompts", elem_classes="ba-plain")
    view = build_verdict_view("any")
    tab = AnyModels(base, tuned, form, rows, task, metric, margin, instruction, run, stop, bar, prompts, view)
    task.input(tab.change_task, task, tab.called, **QUICK)
    run.click(tab.compare, tab.inputs, tab.drawn, **ACT)
    stop.click(tab.stop_comparison, None, None, **QUICK)
    return tab


def _first_base(found: Sequence[tuple[str, str]]) -> str | None:
    """The first of those that were not tuned here."""
    return next((value for _, value in found if not value.startswith(TUNED_HERE)), None)
