"""Any models in the Evaluate tab: what `python -m eval compare` does, by a form.

From what is asked to a verdict is `eval.asked`'s, as at the command line.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from eval.asked.request import Request
from finetuning.limits import Limits
from models import libraries
from plumbing.errors import DataError
from ui.drawing import text, verdicts
from ui.drawing.markup import Markup, counted, progress, tag
from ui.server.models_in_use import share_cores
from ui.server.naming import servers_for
from ui.server.toast import toasts
from ui.server.visitors import Visitor, visitor_of
from ui.server.work import TimeLeft, Work
from ui.tabs import data_form
from ui.tabs.any_form import AnyForm, build_any_form
from ui.tabs.events import ACT, QUICK
from ui.tabs.verdict_view import VerdictView, build_verdict_view, kept

if TYPE_CHECKING:
    from eval.sides.side import About, Prompted


@dataclass
class AnyModels:
    """The components, and what they do."""

    form: AnyForm
    run: gr.Button
    stop: gr.Button
    progress: gr.HTML
    prompts: gr.HTML
    view: VerdictView
    going: dict[str, Work] = field(default_factory=dict)
    """Open pages' sessions → the comparison that is going on there."""

    @property
    def drawn(self) -> list[Any]:
        """The outputs of `compare`."""
        return [self.progress, self.prompts, *self.view.outputs]

    @toasts
    def compare(self, request: gr.Request, *values: Any) -> Iterator[Any]:
        """Compare on the chosen rows: the prompts and progress while it lasts, then the verdict."""
        visitor = visitor_of(request)
        told: list[Markup] = []
        made: list[Path] = []
        job = _job(self.form.asked(values, visitor), visitor, told, made)
        work = Work(job, visitor, begins="Reading the rows …")
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
        work.tell("Reading the rows", 0, 0)
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


def build_any_models(limits: Limits | None = None) -> AnyModels:
    """Lay the components out and connect them, but for those of the rows."""
    form = build_any_form(limits)
    with gr.Row(elem_classes="ba-actions"):
        run = gr.Button("Compare", variant="primary", scale=0, elem_id="any-run")
        stop = gr.Button("Stop", scale=0, elem_id="any-stop")
    bar = gr.HTML(elem_id="any-progress", elem_classes="ba-plain")
    prompts = gr.HTML(elem_id="any-prompts", elem_classes="ba-plain")
    tab = AnyModels(form, run, stop, bar, prompts, build_verdict_view("any"))
    run.click(tab.compare, form.inputs, tab.drawn, **ACT)
    stop.click(tab.stop_comparison, None, None, **QUICK)
    return tab
