"""Any models in the Evaluate tab: what `python -m eval compare` does, by a form.

From what is asked to a verdict is `eval.asked`'s, as at the command line; a worker goes that way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from finetuning.limits import Limits
from ui.server.judging import ask_verdict
from ui.server.naming import label_of
from ui.server.toast import toasts
from ui.server.visitors import visitor_of
from ui.tabs.any_form import AnyForm, build_any_form
from ui.tabs.judged import Judged
from ui.tabs.verdict_view import VerdictView


@dataclass
class AnyModels:
    """The components, and what they do."""

    form: AnyForm
    run: gr.Button
    judged: Judged

    @property
    def view(self) -> VerdictView:
        return self.judged.verdict

    @property
    def drawn(self) -> list[Any]:
        """The outputs of `compare`."""
        return self.judged.followed

    @toasts
    def compare(self, request: gr.Request, *values: Any) -> Iterator[Any]:
        """Ask for a comparison on the chosen rows, and show how far it is."""
        visitor = visitor_of(request)
        asked = self.form.asked(values, visitor)
        names = [label_of(side, visitor) for side in self.form.named_in(values)]
        yield from self.judged.asked(lambda: ask_verdict(asked, names, visitor), visitor)


def build_any_models(limits: Limits | None = None) -> tuple[AnyForm, gr.Button]:
    """Lay the form out, and the button that asks."""
    form = build_any_form(limits)
    with gr.Row(elem_classes="ba-actions"):
        run = gr.Button("Compare", variant="primary", scale=0, elem_id="any-run")
    return form, run
