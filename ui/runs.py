"""The Runs tab: every run in a table, newest first; a click opens one. A damaged run does not hide the others."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import gradio as gr

from data.errors import RunError, UserError
from finetuning.runs import ACTIVE, RESUMABLE, Run, list_runs, open_run
from ui import reports, run_view, text
from ui.choices import all_choices
from ui.compare import QUICK
from ui.markup import Child, Markup, join, table, tag
from ui.report_view import ReportView, build_report_view
from ui.toast import toasts

POLL_S = 3.0
SHOWN = 100
# A click anywhere in a row opens its run; the button in it is there for the keyboard.
_ON_CLICK = """
element.addEventListener('click', event => {
  const row = event.target.closest('tr');
  const button = row && row.querySelector('[data-run]');
  if (button) trigger('click', {run: button.dataset.run});
});
"""


@dataclass
class Runs:
    """The tab's components."""

    table: gr.HTML
    detail: gr.Column
    title: gr.HTML
    state: gr.HTML
    loss: gr.HTML
    view: ReportView
    recipe: gr.HTML
    log: gr.HTML
    compare: gr.Button
    cancel: gr.Button
    resume: gr.Button
    run_id: gr.State
    listed: gr.State
    drawn: gr.State

    @toasts
    def open(self, event: gr.EventData) -> list[Any]:
        """The run that was clicked."""
        run = open_run(str(event._data.get("run", "")))  # the id is checked against the folder
        return [run.id, run_view.fingerprint(run), *self._draw(run)]

    def refresh(self, listed: str) -> Any:
        """The table again, if a run came or changed."""
        now = " ".join(run_view.fingerprint(run) for run in list_runs()[:SHOWN])
        return gr.skip() if now == listed and listed else [now or "none", run_table()]

    @toasts
    def poll(self, run_id: str | None, drawn: str) -> Any:
        """The open run again, if it changed."""
        if run_id is None:
            return gr.skip()
        run = open_run(run_id)
        now = run_view.fingerprint(run)
        return gr.skip() if now == drawn else [now, *self._draw(run)]

    def _draw(self, run: Run) -> list[Any]:
        key = f"run:{run.id}"
        state = run_view.state_of(run)
        return [
            gr.Column(visible=True),
            _title(run),
            run_view.state_line(run, with_id=False),
            run_view.loss(run),
            tag("pre", _recipe(run), class_="ba-log ba-upwards"),
            run_view.log(run),
            gr.Button(visible=any(choice.key == key for choice in all_choices())),
            gr.Button(visible=state in ACTIVE),
            gr.Button(visible=state in RESUMABLE),
            *self.view.draw(run.evaluation, key),
        ]

    @property
    def followed(self) -> list[Any]:
        """The outputs of `poll`."""
        shown = [self.title, self.state, self.loss, self.recipe, self.log, self.compare, self.cancel, self.resume]
        return [self.drawn, self.detail, *shown, *self.view.outputs]


def run_table() -> Markup:
    """All runs; one that cannot be read says so."""
    runs = list_runs()[:SHOWN]
    if not runs:
        return tag("div", text.NO_RUNS, class_="ba-empty-chart")
    headers = ["run", "task", "state", "base → tuned", "when", "took"]
    return table(headers, map(_row, runs), class_="ba-table ba-rows", label="Runs")


def _row(run: Run) -> list[Child]:
    try:
        recipe, status = run.recipe(), run.status()
    except UserError:
        name = tag("button", run.id, data_run=run.id, type="button")
        return [name, "", run_view.state_chip("damaged"), "", "", ""]
    name = tag("button", recipe.name, data_run=run.id, type="button")
    return [
        join([name, tag("div", run.id[-20:], class_="ba-small")]),
        recipe.task_definition.title,
        run_view.state_chip(status.state),
        reports.primary_score(run.evaluation),
        time.strftime("%d %b %H:%M", time.localtime(status.created)),
        run_view.minutes(status),
    ]


def _title(run: Run) -> Markup:
    try:
        title = run.recipe().title
    except RunError:
        title = "A damaged run"
    return tag("div", title, tag("small", run.id), class_="ba-run-title")


def _recipe(run: Run) -> str:
    try:
        return (run.folder / "recipe.yaml").read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return f"recipe.yaml cannot be read: {error.strerror}"


def build_runs() -> Runs:
    """Lay the tab out and connect it."""
    gr.HTML(tag("div", text.RUNS_INTRO, class_="ba-note"), elem_classes="ba-plain")
    listing = gr.HTML(run_table, elem_id="runs-table", elem_classes="ba-plain", js_on_load=_ON_CLICK)
    with gr.Column(visible=False, elem_id="runs-detail") as detail:
        title = gr.HTML(elem_classes="ba-plain")
        state = gr.HTML(elem_id="runs-state", elem_classes="ba-plain")
        with gr.Row(elem_classes="ba-actions"):
            compare = gr.Button("Compare with this run", variant="primary", scale=0, elem_id="runs-compare")
            cancel = gr.Button("Cancel", scale=0, visible=False, elem_id="runs-cancel")
            resume = gr.Button("Resume", scale=0, visible=False, elem_id="runs-resume")
        view = build_report_view("runs")
        loss = gr.HTML(elem_id="runs-loss", elem_classes="ba-plain")
        with gr.Accordion("Recipe", open=False):
            recipe = gr.HTML(elem_id="runs-recipe", elem_classes="ba-plain")
        with gr.Accordion("Log", open=False):
            log = gr.HTML(elem_id="runs-log", elem_classes="ba-plain")
    tab = Runs(
        listing, detail, title, state, loss, view, recipe, log, compare, cancel, resume,
        gr.State(None), gr.State(""), gr.State(""),
    )  # fmt: skip
    listing.click(tab.open, None, [tab.run_id, *tab.followed], **QUICK)
    cancel.click(run_view.cancel, tab.run_id, None, **QUICK)
    resume.click(run_view.resume, tab.run_id, None, **QUICK)
    timer = gr.Timer(POLL_S)
    timer.tick(tab.refresh, tab.listed, [tab.listed, tab.table], **QUICK)
    timer.tick(tab.poll, [tab.run_id, tab.drawn], tab.followed, **QUICK)
    return tab


def choice_of(run_id: str | None) -> Any:
    """The choice of a finished run; a `RunError` if it cannot be compared."""
    for choice in all_choices():
        if choice.key == f"run:{run_id}":
            return choice
    raise RunError("This run has no adapter to compare with", got=run_id, fix="Choose a finished run.")
