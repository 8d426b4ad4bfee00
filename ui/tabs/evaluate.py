"""The Evaluate tab: any tuned model on any test set, base against tuned; or any models (`any_models.py`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import gradio as gr

from data.tasks import STARTING_POINTS
from finetuning.limits import Limits
from plumbing.errors import DataError, UserError
from ui.drawing import reports, text
from ui.drawing.markup import tag
from ui.server import scratch
from ui.server.choices import find, options, place_of, places, shipped
from ui.server.judging import judging
from ui.server.models_in_use import short_name
from ui.server.toast import toasts
from ui.server.visitors import visitor_of
from ui.server.work import Work
from ui.tabs import data_form
from ui.tabs.any_models import AnyModels, build_any_models
from ui.tabs.data_form import Chosen, DataForm
from ui.tabs.events import ACT, EVALUATION, QUICK, Updates
from ui.tabs.fields import read_row_count, whole_or_all
from ui.tabs.report_view import ReportView, Shown, build_report_view
from ui.tabs.waiting import Waiting

if TYPE_CHECKING:
    from eval.compare import Result

ROWS_LABEL = "Test rows"
PAIR, ANY = "pair", "any"
"""What is compared: a tuned model with its base, or any models."""


@dataclass
class Evaluate:
    """The tab's components."""

    task: gr.Radio
    model: gr.Dropdown
    forms: dict[str, DataForm]
    groups: dict[str, gr.Column]
    rows: gr.Textbox
    few_shot: gr.Checkbox
    forgetting: gr.Checkbox
    run: gr.Button
    stop: gr.Button
    progress: gr.HTML
    view: ReportView
    any: AnyModels
    waiting: Waiting = field(default_factory=Waiting)

    @property
    def chosen(self) -> list[Any]:
        """The inputs of `show_own`."""
        return [self.model, self.view.shown]

    @property
    def drawn(self) -> list[Any]:
        """The outputs of `show_own` and `evaluate`."""
        return [self.progress, *self.view.outputs]

    def change_task(self, task: str, request: gr.Request) -> list[Any]:
        """Another task has other models and another form."""
        found = options(visitor_of(request), task)
        groups = [gr.Column(visible=name == task) for name in self.groups]
        return [gr.Dropdown(choices=found, value=found[0][1] if found else None), *groups]

    def name_columns(self, key: str | None, request: gr.Request) -> Updates:
        """The columns of other rows are called what the chosen model's task calls them."""
        form = self.forms[text.OWN]
        try:
            task = find(key, visitor_of(request)).task if key else None
        except UserError:  # which is said when it is evaluated
            task = None
        return form.named_for(task) if task and place_of(task) == text.OWN else gr.skip()

    def refresh(self, task: str, key: str | None, request: gr.Request) -> Any:
        """Runs that finished meanwhile; the choice stays."""
        found = options(visitor_of(request), task)
        keys = [known for _, known in found]
        return gr.Dropdown(choices=found, value=key if key in keys else (keys[0] if keys else None))

    def show_own(self, key: str | None, shown: Shown | None, request: gr.Request) -> Any:
        """The report that the chosen model came with, unless one of it is there already, or is being made."""
        if request.session_hash in self.waiting.going or (shown is not None and shown.key == key):
            return gr.skip()
        if key is None:
            return ["", *self.view.clear()]
        visitor = visitor_of(request)
        try:
            choice = find(key, visitor)
        except UserError as error:  # such as of a run that was deleted
            return [data_form.problems(error, visitor), *self.view.clear()]
        report = reports.report_of(choice.evaluation)
        said = text.OWN_REPORT.format(rows=report.n) if report else text.NO_OWN_REPORT
        return [tag("div", said, class_="ba-note"), *self.view.draw(choice.evaluation, choice.key, visitor)]

    @toasts
    def evaluate(
        self,
        task: str,
        key: str | None,
        rows: str | None,
        few_shot: bool,
        forgetting: bool,
        request: gr.Request,
        *values: Any,
    ) -> Iterator[Any]:
        """Compare on the chosen rows; progress while it lasts, then the report."""
        visitor = visitor_of(request)
        choice = find(key, visitor)
        if place_of(choice.task) != task:
            raise UserError("This model is for another task", got=choice.label, fix="Choose a model again.")
        names = list(self.forms)
        each = len(self.forms[task].inputs)
        start = names.index(task) * each
        chosen = data_form.read(choice.task, *values[start : start + each])
        if chosen is None:
            raise DataError("No test set is chosen", fix="Upload a file, or write the name of a data set.")
        if chosen.source != data_form.OWN:
            visitor.check_source(chosen.source)
        folder = scratch.new_folder()

        def keep(result: Result) -> None:
            from eval.report.folder import save

            save(result.report, result.rows, folder)

        job = judging(
            choice,
            visitor,
            keep,
            None if chosen.source == data_form.OWN else chosen.source,
            columns=chosen.columns,
            labels=chosen.labels,
            skip_empty=chosen.skip_empty,
            rows=read_row_count(rows, ROWS_LABEL, visitor),
            few_shot=bool(few_shot),
            forgetting=bool(forgetting),
        )
        work = Work(job, visitor, begins=f"Reading the rows, loading {short_name(choice.base)} …")
        unchanged = [gr.skip()] * len(self.view.outputs)
        yield from self.waiting.follow(
            work,
            visitor,
            request,
            begun=["", *self.view.clear()],
            shown=lambda bar: [bar, *unchanged],
            done=lambda: ["", *self.view.draw(folder, choice.key, visitor)],
        )


def build_evaluate(limits: Limits | None = None) -> Evaluate:
    """Lay the tab out and connect it."""
    what = gr.Radio(
        [(text.PAIR, PAIR), (text.ANY_MODELS, ANY)],
        value=PAIR, show_label=False, container=False, label="What is compared", elem_id="evaluate-what",
    )  # fmt: skip
    with gr.Column() as of_pair:
        parts = _build_pair(limits)
    with gr.Column(visible=False) as of_any:
        tab = Evaluate(**parts, any=build_any_models(limits))
    what.input(
        lambda chosen: [gr.Column(visible=chosen != ANY), gr.Column(visible=chosen == ANY)],
        what,
        [of_pair, of_any],
        **QUICK,
    )
    _connect(tab)
    return tab


def _build_pair(limits: Limits | None) -> dict[str, Any]:
    """The components for a tuned model and its base, by their names in `Evaluate`."""
    hub_allowed = limits is None or limits.hub
    first, *_ = STARTING_POINTS
    found = shipped(first)
    gr.HTML(tag("div", text.EVALUATE_INTRO, class_="ba-note"), elem_classes="ba-plain")
    with gr.Row():
        task = gr.Radio(
            places(),
            value=first,
            label="Task",
            elem_id="evaluate-task",
            min_width=450,
        )
        model = gr.Dropdown(
            found,
            value=found[0][1] if found else None,
            label="Tuned model",
            elem_id="evaluate-model",
            min_width=280,
        )
        most = limits.test_rows if limits else None
        rows = whole_or_all(
            None, label=ROWS_LABEL, most=most, info=text.FEWER_ROWS, elem_id="evaluate-rows", min_width=120
        )
    forms, groups = {}, {}
    gr.HTML(tag("div", "Test set", class_="ba-small"), elem_classes="ba-plain")
    for _, name in places():
        known = STARTING_POINTS.get(name)
        corpora = data_form.corpora_of(known) if known else []
        with gr.Column(visible=name == first) as group:
            forms[name] = data_form.build_data_form(
                f"evaluate-{name}", task=known, corpora=corpora, hub_allowed=hub_allowed, own=text.OWN_ROWS
            )
        groups[name] = group
    with gr.Row(elem_classes="ba-checks"):
        few_shot = gr.Checkbox(
            False, label=text.FEW_SHOT, container=False, min_width=320, elem_id="evaluate-few-shot"
        )
        forgetting = gr.Checkbox(
            False, label=text.FORGETTING, container=False, min_width=320, elem_id="evaluate-forgetting"
        )
    gr.HTML(tag("div", text.LONGER, class_="ba-note"), elem_classes="ba-plain")
    with gr.Row(elem_classes="ba-actions"):
        run = gr.Button("Evaluate", variant="primary", scale=0, elem_id="evaluate-run")
        stop = gr.Button("Stop", scale=0, elem_id="evaluate-stop")
    bar = gr.HTML(elem_id="evaluate-progress", elem_classes="ba-plain")
    view = build_report_view("evaluate")
    return {
        "task": task, "model": model, "forms": forms, "groups": groups, "rows": rows, "few_shot": few_shot,
        "forgetting": forgetting, "run": run, "stop": stop, "progress": bar, "view": view,
    }  # fmt: skip


def _connect(tab: Evaluate) -> None:
    tab.task.input(tab.change_task, tab.task, [tab.model, *tab.groups.values()], **QUICK).then(
        tab.show_own, tab.chosen, tab.drawn, **ACT
    )
    tab.model.input(tab.show_own, tab.chosen, tab.drawn, **ACT)
    own = tab.forms[text.OWN]
    called = [own.input_column, own.target_column, own.labels]
    tab.model.change(tab.name_columns, tab.model, called, **QUICK)
    for form in (*tab.forms.values(), tab.any.form.data):
        form.kind.input(data_form.visible_parts, form.kind, form.parts, **QUICK)
        form.file.upload(_show_columns, form.file, form.reading, **QUICK)
    inputs: list[Any] = [tab.task, tab.model, tab.rows, tab.few_shot, tab.forgetting]
    for form in tab.forms.values():
        inputs += form.inputs
    tab.run.click(tab.evaluate, inputs, tab.drawn, **EVALUATION)
    tab.stop.click(tab.waiting.stop, None, None, **QUICK)


def _show_columns(file: str | None) -> list[Any]:
    """An uploaded file's columns, so that others than the guessed ones can be chosen."""
    columns = data_form.columns_of(Chosen(f"file:{file}", None, None)) if file else []
    return data_form.guessed(bool(file), columns)
