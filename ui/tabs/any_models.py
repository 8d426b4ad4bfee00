"""Any models in the Evaluate tab: what `python -m eval compare` does, by a form.

From what is asked to a verdict is `eval.asked`'s, as at the command line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from eval.asked.request import Request
from finetuning.limits import Limits
from models import libraries
from ui.drawing import verdicts
from ui.drawing.markup import Markup
from ui.server.models_in_use import share_cores
from ui.server.naming import servers_for
from ui.server.toast import toasts
from ui.server.visitors import Visitor, visitor_of
from ui.server.work import Work
from ui.tabs.any_form import AnyForm, build_any_form
from ui.tabs.events import EVALUATION, QUICK
from ui.tabs.verdict_view import VerdictView, build_verdict_view, kept
from ui.tabs.waiting import Waiting

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
    waiting: Waiting = field(default_factory=Waiting)

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
        unchanged = [gr.skip()] * len(self.view.outputs)
        drawn = 0

        def shown(bar: Any) -> list[Any]:
            """With the prompts, where more of them are known than are on the page."""
            nonlocal drawn
            more, drawn = len(told) > drawn, len(told)
            return [bar, verdicts.prompts(told) if more else gr.skip(), *unchanged]

        yield from self.waiting.follow(
            work,
            visitor,
            request,
            begun=["", "", *self.view.clear()],
            shown=shown,
            done=lambda: ["", "", *self.view.draw(made[0], visitor)],
        )


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
    run.click(tab.compare, form.inputs, tab.drawn, **EVALUATION)
    stop.click(tab.waiting.stop, None, None, **QUICK)
    return tab
