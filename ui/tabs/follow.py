"""A run that is followed where it was started: its state, progress, loss, log, and at its end the report.

What runs is in its folder; this only reads it and draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from finetuning.runs.folder import ACTIVE, RESUMABLE, Run
from plumbing.errors import RunError
from ui.drawing import text
from ui.drawing.markup import tag
from ui.server.choices import of_run as choice_of
from ui.server.visitors import Visitor, visitor_of
from ui.tabs import run_view
from ui.tabs.clock import build_clock, set_to
from ui.tabs.events import ACT, QUICK
from ui.tabs.report_view import ReportView, build_report_view
from ui.tabs.take import build_take, closed, connect_take, of_run

POLL_S = 1.5


@dataclass
class Follow:
    """The components, and what they do."""

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
    """The fingerprint of what is drawn, so that a look that finds nothing new changes nothing."""
    clock: gr.HTML
    """On while the run goes on. Whoever sets `run_id` sets it too: Gradio may lose a `State`'s change event while a
    page loads."""

    def look(self, run_id: str | None, drawn: str, request: gr.Request) -> Any:
        """The run again where its folder changed; once it is gone, that it is.

        Where none is followed yet, the newest of the visitor's that is being worked on.
        """
        visitor = visitor_of(request)
        if not run_id:
            found = run_view.newest(visitor, lambda _: True, active=True)
            return gr.skip() if found is None else self.shown(found, visitor)
        try:
            run = visitor.run(run_id)
        except RunError:
            return ["", "", set_to(False), *self._nothing()]
        return self.shown(run, visitor, drawn)

    def shown(self, run: Run, visitor: Visitor, drawn: str = "") -> list[Any]:
        """The run, unless it is drawn as it is now already; it is asked about for as long as it goes on."""
        now, state = run_view.fingerprint(run), run.state()
        clock = set_to(state in ACTIVE)
        if state == "queued":  # its place changes with the runs before it
            now += f" {run_view.queue_place(run)}"
        if now == drawn:
            return [gr.skip(), gr.skip(), clock, *[gr.skip()] * (len(self.followed) - 3)]
        return [run.id, now, clock, *self._draw(run, visitor)]

    def change(self, run_id: str | None, drawn: str, event: gr.EventData, request: gr.Request) -> Any:
        """Ask the run to stop after this step, or let it go on, by the button that was clicked; and show it."""
        (run_view.cancel if event.target is self.cancel else run_view.resume)(run_id, request)
        return self.look(run_id, drawn, request)

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
        """The outputs of `look`, and of whatever else shows a run."""
        drawn = [self.state, self.loss, self.log_box, self.log, self.cancel, self.resume]
        return [*self.seen, self.clock, *drawn, self.waiting, self.compare, self.take, *self.view.outputs]

    @property
    def seen(self) -> list[Any]:
        """The inputs of `look`: which run is followed, and how it was drawn last."""
        return [self.run_id, self.drawn]


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
    return waiting, compare, take, view, run_id, gr.State(""), build_clock(POLL_S)


def connect(follow: Follow, *opened: Any) -> None:
    """Connect what needs nothing but the run; `opened` are the triggers of a page where somebody begins to look."""
    clicks = [follow.cancel.click, follow.resume.click]
    gr.on(clicks, follow.change, follow.seen, follow.followed, **ACT)
    gr.on([follow.clock.click, *opened], follow.look, follow.seen, follow.followed, **QUICK)
    connect_take(follow.take, follow.run_id, of_run)
