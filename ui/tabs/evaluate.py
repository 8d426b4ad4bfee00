"""The Evaluate tab: any tuned model on any test set, base against tuned; or any models (`any_form.py`).

What it asks for is a job in the queue of runs; what comes of it is shown by `judged.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from data.tasks import STARTING_POINTS
from finetuning.limits import Limits
from plumbing.errors import DataError, UserError
from ui.drawing import reports, text
from ui.drawing.markup import tag
from ui.server.choices import find, options, place_of, places, shipped
from ui.server.judging import ask_evaluation
from ui.server.toast import toasts
from ui.server.visitors import visitor_of
from ui.tabs import data_form
from ui.tabs.any_models import AnyModels, build_any_models
from ui.tabs.data_form import Chosen, DataForm
from ui.tabs.events import ACT, QUICK, Updates
from ui.tabs.fields import read_row_count, whole_or_all
from ui.tabs.judged import Judged, build_judged
from ui.tabs.report_view import ReportView, Shown

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
    any: AnyModels
    judged: Judged

    @property
    def view(self) -> ReportView:
        return self.judged.view

    @property
    def chosen(self) -> list[Any]:
        """The inputs of `show_own`."""
        return [self.model, self.view.shown, self.judged.job_id]

    @property
    def drawn(self) -> list[Any]:
        """The outputs of `show_own` and `evaluate`."""
        return self.judged.followed

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

    def come_back(self, key: str | None, shown: Shown | None, job_id: str | None, request: gr.Request) -> Any:
        """For who opens the tab: what was opened here stays, and what goes on is followed."""
        return gr.skip() if job_id else self.show_own(key, shown, job_id, request)

    def show_own(self, key: str | None, shown: Shown | None, job_id: str | None, request: gr.Request) -> Any:
        """The report that the chosen model came with, unless one of it is there already, or is being made.

        What this visitor has going is followed, also on a page that was opened only now.
        """
        visitor = visitor_of(request)
        if (job := self.judged.going_on(job_id, visitor)) is not None:
            return gr.skip() if job.id == job_id else self.judged.shown(job, visitor)
        if shown is not None and shown.key == key:
            return gr.skip()
        if key is None:
            return self.judged.said("", visitor)
        try:
            choice = find(key, visitor)
        except UserError as error:  # such as of a run that was deleted
            return self.judged.said(data_form.problems(error, visitor), visitor)
        report = reports.report_of(choice.evaluation)
        said = text.OWN_REPORT.format(rows=report.n) if report else text.NO_OWN_REPORT
        drawn = self.view.draw(choice.evaluation, choice.key, visitor)
        return self.judged.said(tag("div", said, class_="ba-note"), visitor, drawn)

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
        """Ask for a comparison on the chosen rows, and show how far it is."""
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
        count = read_row_count(rows, ROWS_LABEL, visitor)
        yield from self.judged.asked(
            lambda: ask_evaluation(
                choice,
                visitor,
                None if chosen.source == data_form.OWN else chosen.source,
                columns=chosen.columns,
                labels=chosen.labels,
                skip_empty=chosen.skip_empty,
                rows=count,
                few_shot=bool(few_shot),
                forgetting=bool(forgetting),
            ),
            visitor,
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
        any_form, any_run = build_any_models(limits)
    judged = build_judged()
    tab = Evaluate(**parts, any=AnyModels(any_form, any_run, judged), judged=judged)
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
    return {
        "task": task, "model": model, "forms": forms, "groups": groups, "rows": rows, "few_shot": few_shot,
        "forgetting": forgetting, "run": run,
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
        gr.on([form.file.upload, form.file.clear], _show_columns, form.file, form.reading, **QUICK)
        # Another name is another data set. In the page itself, for it happens with every letter.
        form.hub.input(None, None, form.said_of_rows, js=data_form.AS_GUESSED, **QUICK)
    inputs: list[Any] = [tab.task, tab.model, tab.rows, tab.few_shot, tab.forgetting]
    for form in tab.forms.values():
        inputs += form.inputs
    tab.run.click(tab.evaluate, inputs, tab.drawn, trigger_mode="once", **ACT)
    tab.any.run.click(tab.any.compare, tab.any.form.inputs, tab.any.drawn, trigger_mode="once", **ACT)


def _show_columns(file: str | None) -> list[Any]:
    """An uploaded file's columns, so that others than the guessed ones can be chosen; none without a file."""
    columns = data_form.columns_of(Chosen(f"file:{file}", None, None)) if file else []
    return data_form.guessed(bool(file), columns)
