"""How the page's handlers are called: what waits in a queue, what shows its progress, what a second click means.

What waits, waits with its kind: one group for each `concurrency_id`, in which so many may be at work.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from ui.server.models_in_use import MODELS

Updates = dict[Any, Any]
"""Component → its new value; what is not in it stays."""

_LOOKS: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
CHAT: dict[str, Any] = _LOOKS | {
    "concurrency_limit": None,  # who waits and who is refused is up to `models_in_use.Line`
    "concurrency_id": "chat",
    "trigger_mode": "multiple",  # what is sent while an answer is still weighed is answered next, and not lost
}
QUICK: dict[str, Any] = _LOOKS | {"queue": False}
ACT: dict[str, Any] = _LOOKS | {"concurrency_limit": None, "concurrency_id": "act"}
"""What a person does and may be refused. Gradio shows no toast of a handler that does not wait in its queue."""
_AT_WORK = 4
"""So many are read, counted or started at once, everybody's together."""
SLOW: dict[str, Any] = _LOOKS | {
    "concurrency_limit": _AT_WORK, "concurrency_id": "estimate", "trigger_mode": "always_last"
}  # fmt: skip
ONCE: dict[str, Any] = _LOOKS | {"concurrency_limit": _AT_WORK, "concurrency_id": "start", "trigger_mode": "once"}
"""A second click while the first is being answered is no click."""


def stop_session(request: gr.Request) -> None:
    """Stop what this browser session has going."""
    MODELS.stop(request.session_hash)


def ask_first(ask: gr.Button, keep: gr.Button, asked: gr.Row) -> None:
    """`ask` shows a second question, and `keep` takes it away again."""

    def show(event: gr.EventData) -> gr.Row:
        return gr.Row(visible=event.target is ask)

    gr.on([ask.click, keep.click], show, None, asked, **QUICK)
