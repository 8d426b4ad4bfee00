"""The page: its top line, its tabs, and what leads from one tab to another."""

from __future__ import annotations

import gradio as gr

from ui import text
from ui.compare import CHAT, build_compare
from ui.markup import tag


def build_page() -> gr.Blocks:
    """The whole page, ready to launch. Loads no model."""
    with gr.Blocks(title=text.TITLE, analytics_enabled=False) as page:
        with gr.Row(equal_height=True):
            gr.HTML(_top(), elem_classes="ba-plain")
            status = gr.HTML(_no_model(), elem_id="status", elem_classes="ba-plain")
        with gr.Tabs(elem_id="tabs") as tabs, gr.Tab("Compare", id="compare"):
            compare = build_compare(status)
        page.load(
            compare.run_example(0), [compare.task, compare.model], compare.outputs, **CHAT
        )
        # page.unload(stop_session)
    return page


def _top() -> str:
    name = tag("h1", "Before/", tag("span", "After"))
    return tag("div", name, tag("span", text.TAGLINE, class_="ba-tagline"), class_="ba-top")


def _no_model() -> str:
    return tag("div", tag("i"), "no model open yet", class_="ba-status")
