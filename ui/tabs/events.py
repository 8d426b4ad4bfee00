"""How the page's handlers are called: what waits in a queue, what shows its progress, what a second click means."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ui.server.models_in_use import MODELS

Updates = dict[Any, Any]
"""Component → its new value; what is not in it stays."""

CHAT: dict[str, Any] = {
    "concurrency_limit": None,  # who waits and who is refused is up to `models_in_use.Line`
    "concurrency_id": "chat",
    "trigger_mode": "multiple",  # what is sent while an answer is still weighed is answered next, and not lost
    "show_progress": "hidden",
    "api_visibility": "private",
}
QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
ACT: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden", "api_visibility": "private"}
"""What a person does and may be refused. Gradio shows no toast of a handler that does not wait in its queue."""
SLOW: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "trigger_mode": "always_last"}
ONCE = SLOW | {"trigger_mode": "once"}
"""A second click while the first is being answered is no click."""


def stop_session(request: gr.Request) -> None:
    """Stop what this browser session has going."""
    MODELS.stop(request.session_hash)
