"""Updates of a page's components, put together; and what a form says once the page has taken them."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.blocks import Block

from ui.tabs.events import Updates


def merged(some: Updates, others: Updates) -> Updates:
    """Both updates of each component as one; where both say the same thing of it, the second counts."""
    found = some | others
    for each in some.keys() & others.keys():
        both = some[each], others[each]
        first, second = map(_as_update, both)
        if any(isinstance(said, dict) for said in both) and isinstance(first, dict) and isinstance(second, dict):
            found[each] = first | second
    return found


def after(given: dict[Any, Any], updates: Updates) -> dict[Any, Any]:
    """The values of a form's components once the page is updated."""
    now = dict(given)
    for each in given.keys() & updates.keys():
        update = _as_update(updates[each])
        if isinstance(update, dict) and "value" in update:
            now[each] = update["value"]
    return now


def _as_update(said: Any) -> Any:
    """An update as `gr.update` gives it; of a component that stands for one it stays what it is."""
    return said if isinstance(said, dict | Block) else gr.update(value=said)
