"""The Train tab: two tasks, five numbered steps each. What runs is in its folder; this only reads it and draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from data.sources import Opened
from data.tasks import TASKS, Task
from finetuning.limits import Limits
from finetuning.recipe import Recipe, load_recipe
from finetuning.runs.folder import ACTIVE, RESUMABLE, Run
from plumbing.errors import DataError, RunError, UserError
from ui.drawing import text
from ui.drawing.markup import Markup, join, progress, tag
from ui.server import libraries
from ui.server.toast import toasts
from ui.server.visitors import Visitor, visitor_of
from ui.tabs import data_form, run_view, train_form
from ui.tabs.compare import ACT, QUICK
from ui.tabs.data_form import Chosen, DataForm
from ui.tabs.examples import examples, in_and_out
from ui.tabs.report_view import ReportView, build_report_view
from ui.tabs.train_form import TrainForm

POLL_S = 1.5
SLOW: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "trigger_mode": "always_last"}
ONCE = SLOW | {"trigger_mode": "once"}
"""A second click while the first is being answered is no click."""


@dataclass
class TrainTask:
    """One task's five steps."""

    task: Task
    data: DataForm
    data_summary: gr.HTML
    data_preview: gr.HTML
    tokens: gr.HTML
    weights: gr.HTML
    form: TrainForm
    estimate: gr.HTML
    start: gr.Button
    cancel: gr.Button
    resume: gr.Button
    state: gr.HTML
    loss: gr.HTML
    log_box: gr.Accordion
    log: gr.HTML
    waiting: gr.HTML
    """What step 5 is waiting for, until there is a report."""
    compare: gr.Button
    view: ReportView
    run_id: gr.Textbox
    """The run that is followed, kept by the page itself: a state here would be gone with the app, or for who looks
    at many pages."""
    drawn: gr.State
    """The fingerprint of what is drawn, so that a poll that finds nothing new changes nothing."""
    timer: gr.Timer
    """Polls while a run is followed. Whoever sets `run_id` sets it too: Gradio may lose a `State`'s change event
    while a page loads."""

    # ---- steps 1 to 4 ----

    def show_data(self, request: gr.Request, *values: Any) -> list[Any]:
        """Open the data; outputs: summary, preview, mapping row and its two dropdowns."""
        visitor = visitor_of(request)
        try:
            chosen = data_form.read(self.task, *values)
            if chosen is None:
                return [data_form.waiting(values[0]), "", gr.skip(), gr.skip(), gr.skip()]
            visitor.check_source(chosen.source)
            try:
                opened = self._open(chosen, visitor)
            except DataError as error:
                by_hand = [(chosen.columns or {}).get(column) for column in self.task.columns]
                found = data_form.column_updates(None, data_form.columns_of(chosen), by_hand)
                return [data_form.problems(error, visitor), "", *found]
        except UserError as error:
            return [data_form.problems(error, visitor), "", gr.skip(), gr.skip(), gr.skip()]
        summary, preview = data_form.summary(opened), data_form.preview(opened)
        return [summary, preview, *data_form.column_updates(opened)]

    def show_other_data(self, request: gr.Request, *values: Any) -> list[Any]:
        """As `show_data`, with the columns guessed anew."""
        return self.show_data(request, *data_form.without_columns(values))

    def show_tokens(self, request: gr.Request, *values: Any) -> Markup:
        """One row as the model sees it. What is wrong is said elsewhere."""
        libraries.ready()
        from finetuning.preparation import token_preview

        visitor = visitor_of(request)
        try:
            recipe = self._recipe(values, visitor)
            row = self._open(self._chosen(values, visitor), visitor).splits["train"][0]
            tokens = token_preview(recipe, row)
        except DataError:
            return Markup("")  # said above
        except UserError as error:
            return tag("div", visitor.shown(str(error)), class_="ba-note")
        caption = text.TOKENS_CAPTION if recipe.kind == "causal" else text.TOKENS_CAPTION_CLASSIFIER
        classes = ("ba-token", "ba-token ba-trained")
        spans = [tag("span", token, class_=classes[trained]) for token, trained in tokens]
        return join([tag("div", caption, class_="ba-note"), tag("div", *spans, class_="ba-tokens")])

    def show_estimate(self, request: gr.Request, *values: Any) -> list[Markup]:
        """Weights (step 3) and what the run will take (step 4)."""
        libraries.ready()
        from finetuning.estimates.estimate import estimate

        visitor = visitor_of(request)
        try:
            recipe = self._recipe(values, visitor)
            found = estimate(recipe)
        except DataError:
            return [Markup(""), Markup("")]  # said above
        except UserError as error:
            return [Markup(""), data_form.problems(error, visitor)]
        weights = train_form.weights_sentence(found.weight_mb, recipe.model.precision)
        few = data_form.too_few(recipe.data.test_rows) if recipe.data.test_rows else None
        said = join([tag("div", found.sentence(), class_="ba-estimate"), few])
        return [tag("div", weights, class_="ba-note"), said]

    @toasts
    def choose_recipe(self, name: str) -> list[Any]:
        """Another recipe fills the form anew."""
        if name not in {recipe.name for recipe in train_form.recipes_of(self.task.name)}:
            raise RunError("There is no such recipe", got=name)
        return train_form.values_of(load_recipe(name))

    @toasts
    def start_run(self, request: gr.Request, *values: Any) -> list[Any]:
        """Check the data, submit the run, watch it."""
        visitor = visitor_of(request)
        chosen = self._chosen(values, visitor)
        recipe = self._recipe(values, visitor, chosen)
        opened = self._open(chosen, visitor)  # every problem is shown before a model is loaded
        with visitor.starting():
            recipe = self._recipe(values, visitor, train_form.kept(chosen, visitor))
            run = visitor.started(recipe)
            if run is None:
                with train_form.in_labels():
                    run = visitor.submit(recipe, opened)
            else:
                gr.Info(text.SAME_RUN)
        return [run.id, "", gr.Timer(active=True)]

    # ---- following a run ----

    def find_run(self, request: gr.Request) -> list[Any]:
        """The visitor's run that is being worked on, for a page that was just opened; outputs: `watched`."""
        run = run_view.newest(visitor_of(request), self.task.name, active=True)
        return [run.id if run else "", "", gr.Timer(active=run is not None)]

    def poll(self, run_id: str | None, drawn: str, request: gr.Request) -> Any:
        """Draw the run again if its folder changed; once it is gone, that it is."""
        if not run_id:
            return gr.skip()
        visitor = visitor_of(request)
        try:
            run = visitor.run(run_id)
        except RunError:
            return ["", "", gr.Timer(active=False), *self._nothing()]
        now = run_view.fingerprint(run)
        if run.state() == "queued":  # its place changes with the runs before it
            now += f" {run_view.queue_place(run)}"
        if now == drawn:
            return gr.skip()
        return [run_id, now, gr.skip(), *self._draw(run, visitor)]

    def _nothing(self) -> list[Any]:
        hidden = gr.Button(visible=False)
        return [
            tag("div", text.RUN_GONE, class_="ba-note"),
            "",
            gr.Accordion(visible=False),
            "",
            hidden,
            hidden,
            gr.HTML(visible=True),
            hidden,
            *self.view.clear(),
        ]

    def _draw(self, run: Run, visitor: Visitor) -> list[Any]:
        state = run.state()
        finished = state == "finished"
        return [
            run_view.state_line(run, visitor),
            run_view.loss(run),
            gr.Accordion(visible=True),
            run_view.log(run, visitor),
            gr.Button(visible=state in ACTIVE),
            gr.Button(visible=state in RESUMABLE),
            gr.HTML(visible=not finished),
            gr.Button(visible=finished),
            *(self.view.draw(run.evaluation, f"run:{run.id}", visitor) if finished else self.view.clear()),
        ]

    @property
    def followed(self) -> list[Any]:
        """The outputs of `poll`."""
        drawn = [
            self.state,
            self.loss,
            self.log_box,
            self.log,
            self.cancel,
            self.resume,
            self.waiting,
            self.compare,
        ]
        return [*self.watched, *drawn, *self.view.outputs]

    @property
    def seen(self) -> list[Any]:
        """The inputs of `poll`: which run is followed, and how it was drawn last."""
        return [self.run_id, self.drawn]

    @property
    def watched(self) -> list[Any]:
        """What is `seen`, and the timer that asks once there is a run."""
        return [*self.seen, self.timer]

    @property
    def inputs(self) -> list[Any]:
        return [*self.data.inputs, *self.form.inputs]

    def _chosen(self, values: tuple[Any, ...], visitor: Visitor) -> Chosen:
        chosen = data_form.read(self.task, *values[: len(self.data.inputs)])
        if chosen is None:
            raise DataError("No data is chosen", fix="Upload a file, or write the name of a data set.")
        visitor.check_source(chosen.source)
        return chosen

    def _recipe(self, values: tuple[Any, ...], visitor: Visitor, chosen: Chosen | None = None) -> Recipe:
        fields = values[len(self.data.inputs) :]
        recipe = train_form.read(self.task.name, chosen or self._chosen(values, visitor), *fields)
        with train_form.in_labels():
            visitor.check_recipe(recipe)
        return recipe

    def _open(self, chosen: Chosen, visitor: Visitor) -> Opened:
        libraries.ready()
        from data.sources import open_source

        opened = open_source(
            chosen.source, self.task, columns=chosen.columns, labels=chosen.labels, skip_empty=chosen.skip_empty
        )
        visitor.check_rows(opened.splits, self.task)
        return opened


def build_train(task_name: str, limits: Limits | None = None) -> TrainTask:
    """Lay out the five steps of a task and connect them, but for what leads to other tabs."""
    task = TASKS[task_name]
    recipe = load_recipe(task.recipe)
    with gr.Column(elem_classes="ba-step"):
        gr.HTML(_step(1, task.learns), elem_classes="ba-plain")
        gr.HTML(in_and_out(examples(task)[0]), elem_classes="ba-plain")
    with gr.Column(elem_classes="ba-step"):
        gr.HTML(_step(2), elem_classes="ba-plain")
        data = data_form.build_data_form(task, task_name, hub_allowed=limits is None or limits.hub)
        summary = gr.HTML(
            progress("Reading the rows …", 0, 0), elem_id=f"{task_name}-data", elem_classes="ba-plain"
        )
        preview = gr.HTML(elem_id=f"{task_name}-preview", elem_classes="ba-plain")
        tokens = gr.HTML(elem_id=f"{task_name}-tokens", elem_classes="ba-plain")
    with gr.Column(elem_classes="ba-step"):
        gr.HTML(_step(3), elem_classes="ba-plain")
        chosen, base_fields = train_form.build_base(recipe, limits)
        weights = gr.HTML(elem_id=f"{task_name}-weights", elem_classes="ba-plain")
    with gr.Column(elem_classes="ba-step"):
        gr.HTML(_step(4), elem_classes="ba-plain")
        settings = train_form.build_settings(recipe, limits)
        if limits is not None:
            gr.HTML(tag("div", limits.sentence(), class_="ba-note"), elem_classes="ba-plain")
        estimate = gr.HTML(elem_id=f"{task_name}-estimate", elem_classes="ba-plain")
        with gr.Row(elem_classes="ba-actions"):
            start = gr.Button("Start", variant="primary", scale=0, elem_id=f"{task_name}-start")
            cancel = gr.Button("Cancel", scale=0, visible=False, elem_id=f"{task_name}-cancel")
            resume = gr.Button("Resume", scale=0, visible=False, elem_id=f"{task_name}-resume")
        state = gr.HTML(elem_id=f"{task_name}-state", elem_classes="ba-plain")
        loss = gr.HTML(elem_id=f"{task_name}-loss", elem_classes="ba-plain")
        with gr.Accordion("Log", open=False, visible=False) as log_box:
            log = gr.HTML(elem_id=f"{task_name}-log", elem_classes="ba-plain")
    with gr.Column(elem_classes="ba-step"):
        gr.HTML(_step(5), elem_classes="ba-plain")
        waiting = gr.HTML(tag("div", text.EVALUATE_WAITING, class_="ba-note"), elem_classes="ba-plain")
        with gr.Row(elem_classes="ba-actions"):
            compare = gr.Button(
                "Compare with this run", variant="primary", scale=0, visible=False, elem_id=f"{task_name}-compare"
            )
        view = build_report_view(task_name)
    tab = TrainTask(
        task, data, summary, preview, tokens, weights, TrainForm(chosen, [*base_fields, *settings]), estimate,
        start, cancel, resume, state, loss, log_box, log, waiting, compare, view,
        run_view.id_box(f"{task_name}-run"), gr.State(""),
        gr.Timer(POLL_S, active=False),
    )  # fmt: skip
    _connect(tab)
    return tab


def _connect(tab: TrainTask) -> None:
    data, form = tab.data, tab.form
    other_kind = data.kind.input(data_form.visible_parts, data.kind, data.parts, **QUICK).then
    for trigger in (other_kind, *data.other_source):
        fill(tab, trigger)
    for trigger in data.other_reading:
        fill(tab, trigger, tab.show_data)
    form.recipe.input(tab.choose_recipe, form.recipe, form.fields, **ACT).then(
        tab.show_tokens, tab.inputs, tab.tokens, **SLOW
    )
    for field in form.fields:
        field.change(tab.show_estimate, tab.inputs, [tab.weights, tab.estimate], **SLOW)
    started = tab.start.click(tab.start_run, tab.inputs, tab.watched, **ONCE)
    started.then(tab.poll, tab.seen, tab.followed, **QUICK)
    tab.cancel.click(run_view.cancel, tab.run_id, None, **ACT)
    tab.resume.click(run_view.resume, tab.run_id, None, **ACT)
    tab.timer.tick(tab.poll, tab.seen, tab.followed, **QUICK)


def fill(tab: TrainTask, trigger: Any, show: Callable[..., Any] | None = None) -> None:
    """Read the data, estimate and draw a row's tokens when `trigger` happens: not before anybody looks."""
    data = tab.data
    shown = [tab.data_summary, tab.data_preview, data.mapping, data.input_column, data.target_column]
    trigger(show or tab.show_other_data, data.inputs, shown, **SLOW).then(
        tab.show_estimate, tab.inputs, [tab.weights, tab.estimate], **SLOW
    ).then(tab.show_tokens, tab.inputs, tab.tokens, **SLOW)


def _step(number: int, said: str = "") -> Markup:
    title = tag("h2", text.STEPS[number])
    return tag("div", tag("b", number), title, tag("span", said) if said else None, class_="ba-step-title")
