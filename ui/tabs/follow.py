"""A run that is followed where it was started: its state, progress, loss, log, and at its end the report.

What runs is in its folder; this only reads it and draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from finetuning.recipe import Recipe
from finetuning.runs.folder import ACTIVE, RESUMABLE, Run
from plumbing.errors import RunError
from ui.drawing import text
from ui.drawing.markup import tag
from ui.server.choices import of_run as choice_of
from ui.server.visitors import Visitor, visitor_of
from ui.tabs import run_view
from ui.tabs.events import ACT, QUICK
from ui.tabs.report_view import ReportView, build_report_view
from ui.tabs.take import build_take, closed, connect_take, of_run

POLL_S = 1.5


@dataclass
class Follow:
    """The components, and what they do."""

    belongs: Callable[[Recipe], bool]
    """Whether a run of this recipe is one of those that are followed here."""
    cancel: gr.Button
    resume: gr.Button
    state: gr.HTML
    loss: gr.HTML
    log_box: gr.Accordion
    log: gr.HTML
    waiting: gr.HTML
    """What the report is waiting for, until there is one."""
    compare: gr.Button
    take: gr.HTML
    view: ReportView
    run_id: gr.Textbox
    """The run that is followed, kept by the page itself: a state here would be gone with the app, or for who looks
    at many pages."""
    drawn: gr.State
    """The fingerprint of what is drawn, so that a poll that finds nothing new changes nothing."""
    timer: gr.Timer
    """Polls while a run is followed. Whoever sets `run_id` sets it too: Gradio may lose a `State`'s change event
    while a page loads."""

    def find_run(self, request: gr.Request) -> list[Any]:
        """The visitor's run that is being worked on, for a page that was just opened; outputs: `watched`."""
        run = run_view.newest(visitor_of(request), self.belongs, active=True)
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
            "",
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
            closed(choice_of(run)) if finished else "",
            *(self.view.draw(run.evaluation, f"run:{run.id}", visitor) if finished else self.view.clear()),
        ]

    @property
    def followed(self) -> list[Any]:
        """The outputs of `poll`."""
        drawn = [self.state, self.loss, self.log_box, self.log, self.cancel, self.resume]
        return [*self.watched, *drawn, self.waiting, self.compare, self.take, *self.view.outputs]

    @property
    def seen(self) -> list[Any]:
        """The inputs of `poll`: which run is followed, and how it was drawn last."""
        return [self.run_id, self.drawn]

    @property
    def watched(self) -> list[Any]:
        """What is `seen`, and the timer that asks once there is a run."""
        return [*self.seen, self.timer]


def build_start(name: str) -> tuple[Any, ...]:
    """The Start button, and what is seen of a run while it goes on: the first components of a `Follow`."""
    with gr.Row(elem_classes="ba-actions"):
        start = gr.Button("Start", variant="primary", scale=0, elem_id=f"{name}-start")
        cancel = gr.Button("Cancel", scale=0, visible=False, elem_id=f"{name}-cancel")
        resume = gr.Button("Resume", scale=0, visible=False, elem_id=f"{name}-resume")
    state = gr.HTML(elem_id=f"{name}-state", elem_classes="ba-plain")
    loss = gr.HTML(elem_id=f"{name}-loss", elem_classes="ba-plain")
    with gr.Accordion("Log", open=False, visible=False) as log_box:
        log = gr.HTML(elem_id=f"{name}-log", elem_classes="ba-plain")
    return start, cancel, resume, state, loss, log_box, log


def build_end(name: str) -> tuple[Any, ...]:
    """What is seen of a run once it has ended: the other components of a `Follow`."""
    waiting = gr.HTML(tag("div", text.EVALUATE_WAITING, class_="ba-note"), elem_classes="ba-plain")
    with gr.Row(elem_classes="ba-actions"):
        compare = gr.Button(
            "Compare with this run", variant="primary", scale=0, visible=False, elem_id=f"{name}-compare"
        )
    take = build_take(name)
    view = build_report_view(name)
    run_id = run_view.id_box(f"{name}-run")
    return waiting, compare, take, view, run_id, gr.State(""), gr.Timer(POLL_S, active=False)


def connect(follow: Follow) -> None:
    """Connect what needs nothing but the run."""
    follow.cancel.click(run_view.cancel, follow.run_id, None, **ACT)
    follow.resume.click(run_view.resume, follow.run_id, None, **ACT)
    connect_take(follow.take, follow.run_id, of_run)
    follow.timer.tick(follow.poll, follow.seen, follow.followed, **QUICK)
