"""What was just moved to the trash, and the button that takes it out again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from ui.drawing import text
from ui.drawing.markup import tag
from ui.tabs.run_view import id_box


@dataclass
class Deleted:
    """The components; `outputs` is what `of` and `nothing` fill."""

    row: gr.Row
    said: gr.HTML
    undo: gr.Button
    run_id: gr.Textbox

    @property
    def outputs(self) -> list[Any]:
        return [self.row, self.said, self.run_id]

    def of(self, run_id: str, called: str) -> list[Any]:
        """Say that it is in the trash."""
        said = tag("div", text.DELETED.format(what=called), class_="ba-note", role="status")
        return [gr.Row(visible=True), said, run_id]

    def nothing(self) -> list[Any]:
        return [gr.Row(visible=False), "", ""]


def build_deleted(name: str) -> Deleted:
    """Lay the components out; ids begin with `name`."""
    with gr.Row(visible=False, elem_classes="ba-actions ba-asked", elem_id=f"{name}-deleted") as row:
        said = gr.HTML(elem_classes="ba-plain")
        undo = gr.Button("Undo", scale=0, size="sm", elem_id=f"{name}-undo")
    return Deleted(row, said, undo, id_box(f"{name}-thrown"))
