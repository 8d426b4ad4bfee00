"""The Runs tab: every run in a table, newest first, a page at a time; a click opens one.

A damaged run does not hide the others, nor does one that is deleted while somebody looks at it. Only the runs of
the page that is shown are read, and a poll reads no more than when their files changed.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Any

import gradio as gr

from finetuning.runs.folder import ACTIVE, RESUMABLE, Run
from plumbing.errors import RunError, UserError
from ui.drawing import reports, text, votes
from ui.drawing.markup import Child, Markup, clicked, join, table, tag
from ui.server.ballots import votes_on
from ui.server.choices import Choice, of_run
from ui.server.toast import toasts
from ui.server.visitors import Visitor, visitor_of
from ui.tabs import run_view
from ui.tabs.clock import build_clock
from ui.tabs.events import ACT, QUICK, ask_first
from ui.tabs.report_view import ReportView, build_report_view

POLL_S = 3.0
SHOWN = 50
"""Runs on a page of the table."""
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
    votes: gr.HTML
    loss: gr.HTML
    view: ReportView
    recipe: gr.HTML
    log: gr.HTML
    compare: gr.Button
    cancel: gr.Button
    resume: gr.Button
    delete: gr.Button
    asked: gr.Row
    """Around the second question before a run is deleted."""
    really: gr.Button
    keep: gr.Button
    pages: gr.Row
    newer: gr.Button
    older: gr.Button
    page: gr.State
    """Which page of the table is shown, from 0."""
    run_id: gr.Textbox
    listed: gr.State
    drawn: gr.State
    clock: gr.HTML
    """Strikes while the tab is looked at."""

    @toasts
    def open(self, event: gr.EventData, request: gr.Request) -> list[Any]:
        """The run that was clicked."""
        visitor = visitor_of(request)
        run = visitor.run(clicked(event, "run"))
        return [run.id, _seen(run, visitor), *self._draw(run, visitor)]

    def refresh(self, listed: str, page: int, request: gr.Request) -> Any:
        """The table again, if a run came, went or changed."""
        runs = visitor_of(request).runs()
        page = min(page, _last_page(runs))
        shown = runs[page * SHOWN : (page + 1) * SHOWN]
        now = f"{len(runs)} {page} " + " ".join(map(run_view.fingerprint, shown))
        if now == listed:
            return gr.skip()
        several = gr.Row(visible=len(runs) > SHOWN)
        newer, older = gr.Button(interactive=page > 0), gr.Button(interactive=page < _last_page(runs))
        return [now, page, run_table(runs, page), several, newer, older]

    def turn(self, page: int, event: gr.EventData, request: gr.Request) -> Any:
        """Newer runs or older ones, by the button that was clicked."""
        step = -1 if event.target is self.newer else 1
        return self.refresh("", max(0, page + step), request)

    def poll(self, run_id: str | None, drawn: str, request: gr.Request) -> Any:
        """The open run again, if it changed; nothing more of it once it is gone."""
        if not run_id:
            return gr.skip()
        visitor = visitor_of(request)
        try:
            run = visitor.run(run_id)
        except RunError:
            return self._closed()
        now = _seen(run, visitor)
        return gr.skip() if now == drawn else [run_id, now, *self._draw(run, visitor)]

    @toasts
    def delete_run(self, run_id: str | None, request: gr.Request) -> list[Any]:
        """Move the open run to the trash; asked a second time before."""
        from finetuning.runs.launch import trash

        trash(visitor_of(request).run(run_id))
        gr.Info("The run is in the trash, for a week.", title="Deleted")
        return self._closed()

    def _closed(self) -> list[Any]:
        unchanged = [gr.skip()] * (len(self.followed) - 3)
        return ["", "", gr.Column(visible=False), *unchanged]

    def _draw(self, run: Run, visitor: Visitor) -> list[Any]:
        state = run.state()
        return [
            gr.Column(visible=True),
            _title(run),
            run_view.state_line(run, visitor, with_id=False),
            _votes(run, visitor),
            run_view.loss(run),
            tag("pre", visitor.shown(_recipe(run)), class_="ba-log ba-upwards"),
            run_view.log(run, visitor),
            gr.Button(visible=of_run(run) is not None),
            gr.Button(visible=state in ACTIVE),
            gr.Button(visible=state in RESUMABLE),
            gr.Button(visible=state not in ACTIVE),
            gr.Row(visible=False),
            *self.view.draw(run.evaluation, f"run:{run.id}", visitor),
        ]

    @property
    def listing(self) -> list[Any]:
        """The outputs of `refresh`."""
        return [self.listed, self.page, self.table, self.pages, self.newer, self.older]

    @property
    def followed(self) -> list[Any]:
        """The outputs of `poll`."""
        shown = [self.title, self.state, self.votes, self.loss, self.recipe, self.log]
        asked = [self.compare, self.cancel, self.resume, self.delete, self.asked]
        return [self.run_id, self.drawn, self.detail, *shown, *asked, *self.view.outputs]


def run_table(runs: list[Run], page: int = 0) -> Markup:
    """A page of the runs; one that cannot be read says so."""
    if not runs:
        return tag("div", text.NO_RUNS, class_="ba-empty-chart")
    headers = ["run", "task", "state", "base → tuned", "when", "took"]
    shown = runs[page * SHOWN : (page + 1) * SHOWN]
    parts = [table(headers, map(_row, shown), class_="ba-table ba-rows", label="Runs")]
    if len(runs) > SHOWN:
        first = page * SHOWN + 1
        parts.append(tag("div", f"{first:,} to {first + len(shown) - 1:,} of {len(runs):,} runs", class_="ba-note"))
    return tag("div", *parts, class_="ba-stack")


def _last_page(runs: list[Run]) -> int:
    return max(0, len(runs) - 1) // SHOWN


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
    except UserError:
        title = "A damaged run"
    return tag("div", title, tag("small", run.id), class_="ba-run-title")


def _votes(run: Run, visitor: Visitor) -> gr.HTML:
    """What votes in Compare say of what the run has tuned."""
    try:
        choice = of_run(run)
        drawn = votes.line(votes.so_far(votes_on(choice, visitor))) if choice else Markup("")
    except UserError as error:
        drawn = tag("div", visitor.shown(str(error)), class_="ba-note")
    return gr.HTML(value=drawn, visible=bool(drawn))


def _seen(run: Run, visitor: Visitor) -> str:
    """Changes whenever something that is drawn of an open run has changed: of votes the visitor's own on it."""
    votes = 0
    with contextlib.suppress(RunError):  # which is said where votes are drawn
        votes = sum(vote.models.tuned == f"run:{run.id}" for vote in visitor.votes())
    return f"{run_view.fingerprint(run)} {votes}"


def _recipe(run: Run) -> str:
    try:
        return (run.folder / "recipe.yaml").read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return f"recipe.yaml cannot be read: {error.strerror}"


def build_runs(*, public: bool) -> Runs:
    """Lay the tab out and connect it."""
    intro = text.RUNS_STRANGER if public else text.RUNS_INTRO
    gr.HTML(tag("div", intro, class_="ba-note"), elem_classes="ba-plain")
    listing = gr.HTML(elem_id="runs-table", elem_classes="ba-plain", js_on_load=_ON_CLICK)
    with gr.Row(visible=False, elem_classes="ba-actions") as pages:
        newer = gr.Button("Newer", scale=0, size="sm", elem_id="runs-newer")
        older = gr.Button("Older", scale=0, size="sm", elem_id="runs-older")
    with gr.Column(visible=False, elem_id="runs-detail") as detail:
        title = gr.HTML(elem_classes="ba-plain")
        state = gr.HTML(elem_id="runs-state", elem_classes="ba-plain")
        voted = gr.HTML(visible=False, elem_id="runs-votes", elem_classes="ba-plain")
        with gr.Row(elem_classes="ba-actions"):
            compare = gr.Button("Compare with this run", variant="primary", scale=0, elem_id="runs-compare")
            cancel = gr.Button("Cancel", scale=0, visible=False, elem_id="runs-cancel")
            resume = gr.Button("Resume", scale=0, visible=False, elem_id="runs-resume")
            delete = gr.Button("Delete", scale=0, visible=False, elem_id="runs-delete")
        with gr.Row(visible=False, elem_classes="ba-actions ba-asked", elem_id="runs-asked") as asked:
            gr.HTML(tag("div", text.DELETE_ASKED, class_="ba-strong"), elem_classes="ba-plain")
            really = gr.Button("Delete it", variant="stop", scale=0, elem_id="runs-really")
            keep = gr.Button("Keep it", scale=0, elem_id="runs-keep")
        view = build_report_view("runs")
        loss = gr.HTML(elem_id="runs-loss", elem_classes="ba-plain")
        with gr.Accordion("Recipe", open=False):
            recipe = gr.HTML(elem_id="runs-recipe", elem_classes="ba-plain")
        with gr.Accordion("Log", open=False):
            log = gr.HTML(elem_id="runs-log", elem_classes="ba-plain")
    tab = Runs(
        listing, detail, title, state, voted, loss, view, recipe, log, compare, cancel, resume, delete, asked,
        really, keep, pages, newer, older, gr.State(0), run_view.id_box("runs-run"), gr.State(""), gr.State(""),
        build_clock(POLL_S, on=True),
    )  # fmt: skip
    _connect(tab)
    return tab


def _connect(tab: Runs) -> None:
    tab.table.click(tab.open, None, tab.followed, **ACT)
    tab.cancel.click(run_view.cancel, tab.run_id, None, **ACT)
    tab.resume.click(run_view.resume, tab.run_id, None, **ACT)
    ask_first(tab.delete, tab.keep, tab.asked)
    listed = [tab.listed, tab.page]
    tab.really.click(tab.delete_run, tab.run_id, tab.followed, **ACT).then(
        tab.refresh, listed, tab.listing, **QUICK
    )
    gr.on([tab.newer.click, tab.older.click], tab.turn, tab.page, tab.listing, **QUICK)
    tab.clock.click(tab.poll, [tab.run_id, tab.drawn], tab.followed, **QUICK)


def connect_opening(tab: Runs, select: Any) -> None:
    """The table is looked up when the tab is opened, as well as later."""
    gr.on([select, tab.clock.click], tab.refresh, [tab.listed, tab.page], tab.listing, **QUICK)


def choice_of(run_id: str | None, visitor: Visitor) -> Choice:
    """The choice of a finished run; a `RunError` if it cannot be compared."""
    choice = of_run(visitor.run(run_id))
    if choice is None:
        raise RunError("This run has no adapter to compare with", got=run_id, fix="Choose a finished run.")
    return choice
