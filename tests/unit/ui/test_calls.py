"""What a call may hold while the page is being changed under it."""

import asyncio
from types import SimpleNamespace

import gradio as gr
import pytest
from gradio.state_holder import SessionState

from ui.server.calls import RefusedError, checked_call
from ui.server.visitors import LOCAL

SESSION = "session000001"


def test_what_was_offered_before_other_choices_came_is_taken_for_what_is_chosen_of_them():
    async def inside_a_loop():  # else Gradio makes loops of its own, and closes none
        with gr.Blocks() as page:
            rows, said = gr.Radio(["reviews", "a file"], value="reviews"), gr.Textbox()
            rows.change(str, rows, said)
        return page, rows

    page, rows = asyncio.run(inside_a_loop())
    session = SessionState(page)
    page.app = SimpleNamespace(state_holder={SESSION: session})
    session[rows._id] = gr.Radio(["dialogues", "a file"], value="dialogues")

    def called(value: object) -> list[object]:
        return checked_call(page, {"session_hash": SESSION, "fn_index": 0, "data": [value]}, LOCAL)["data"]

    assert called("reviews") == called("dialogues") == ["dialogues"] and called("a file") == ["a file"]
    for never in ("/etc/passwd", ["reviews"], 3):
        with pytest.raises(RefusedError, match="cannot be the value"):
            called(never)
