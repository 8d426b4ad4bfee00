"""Any two models in Compare: two names, and the button that puts them side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from finetuning.limits import Limits
from ui.drawing import text
from ui.drawing.markup import tag
from ui.server.naming import offered, offered_to_all
from ui.server.visitors import visitor_of


@dataclass
class OtherModels:
    """The components."""

    box: gr.Accordion
    """Around the others; what can be chosen is looked up when it is opened."""
    left: gr.Dropdown
    right: gr.Dropdown
    use: gr.Button

    @property
    def named(self) -> list[Any]:
        """The inputs and outputs of `refresh`."""
        return [self.left, self.right]

    def refresh(self, left: str | None, right: str | None, request: gr.Request) -> list[Any]:
        """What can be chosen now; the choice stays."""
        found = offered(visitor_of(request))
        return [gr.update(choices=found, value=value) for value in (left, right)]


def build_other_models(limits: Limits | None = None) -> OtherModels:
    """Lay the components out, folded up."""
    found = offered_to_all(limits)
    said = text.ANY_NAMES if limits is None else text.ANY_NAMES_PUBLIC
    with gr.Accordion(text.OTHER_MODELS, open=False, elem_id="others") as box:
        gr.HTML(tag("div", said, class_="ba-note"), elem_classes="ba-plain")
        with gr.Row():
            left, right = (
                gr.Dropdown(
                    found, value=None, label=side, allow_custom_value=limits is None,
                    elem_id=f"other-{side.casefold()}", min_width=280,
                )
                for side in text.OTHER_SIDES
            )  # fmt: skip
        with gr.Row(elem_classes="ba-actions"):
            use = gr.Button(text.OTHER_USE, scale=0, elem_id="other-use")
    return OtherModels(box, left, right, use)
