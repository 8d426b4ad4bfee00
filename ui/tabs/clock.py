"""A clock that strikes only while somebody looks: Gradio's own timer goes on in a tab that nobody sees."""

from __future__ import annotations

import gradio as gr

from ui.drawing.markup import Markup, tag

# A tab of Gradio's that is not open is not laid out, so nothing in it has a parent to stand in.
_JS = """
setInterval(() => {
  if (element.querySelector('[data-on]') && element.offsetParent && !document.hidden) trigger('click');
}, EVERY_MS);
"""


def build_clock(every_s: float, *, on: bool = False) -> gr.HTML:
    """It is `click`ed every so many seconds while it is set on, its tab is open, and the page is seen."""
    js = _JS.replace("EVERY_MS", f"{1000 * every_s:.0f}")
    return gr.HTML(set_to(on), elem_classes=["ba-plain", "ba-clock"], js_on_load=js)


def set_to(on: bool) -> Markup:
    """The clock's value."""
    return tag("i", data_on="") if on else Markup("")
