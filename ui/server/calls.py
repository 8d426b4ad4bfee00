"""What a call of one of the page's handlers has to look like, checked before Gradio sees it.

Handlers are reachable by anyone who can send HTTP, with any values. Here each value is held against the component
that it claims to come from, so that a handler gets the types that its page would have sent.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NoReturn

import gradio as gr
from gradio.components import Component
from gradio.components.api_component import Api

from ui.server.values import fits, is_number, is_own_file, is_text
from ui.server.visitors import Visitor

if TYPE_CHECKING:
    from gradio.block_function import BlockFunction

BODY_BYTES = 1_000_000
"""The largest JSON body: a long conversation fits many times."""
CHOSEN = 50
"""Values of a list from which several can be chosen."""
NEVER_EMPTY = (gr.Radio, gr.Checkbox)
"""Components whose page always sends a value; whatever else may be empty, its handler knows what to do then."""
SESSION = re.compile(r"[A-Za-z0-9_-]{6,64}")


class RefusedError(Exception):
    """This request is not one that the page makes. Carries the HTTP status and a sentence."""

    def __init__(self, status: int, said: str) -> None:
        self.status, self.said = status, said
        super().__init__(status, said)


def check_tool_call(body: bytes) -> dict[str, Any]:
    """The message in `body` to Gradio's MCP server, which gives its values to the handlers unchecked.

    Raises:
        RefusedError: it is not one, or something in it names a file, which Gradio would fetch.
    """
    values = read_json(body)
    inside: list[Any] = [values]
    for each in inside:
        if isinstance(each, dict):
            if "path" in each:
                raise RefusedError(403, "No file can be given here. Name a source, or use the API.")
            inside.extend(each.values())
        elif isinstance(each, list):
            inside.extend(each)
    return values


def read_json(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`; a `RefusedError` if it is anything else."""
    try:
        values = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise RefusedError(400, "The body is not JSON.") from None
    if not isinstance(values, dict):
        raise RefusedError(400, "The body is not a JSON object.")
    return values


def checked_call(blocks: gr.Blocks, values: dict[str, Any], visitor: Visitor) -> dict[str, Any]:
    """The body of a call with the keys that the page sends, and no others.

    Raises:
        RefusedError: no such handler, too few or too many values, or one that its component cannot have.
    """
    session = checked_session(values.get("session_hash"))
    index, trigger = values.get("fn_index"), values.get("trigger_id")
    handler = blocks.fns.get(index) if isinstance(index, int) and not isinstance(index, bool) else None
    if handler is None or handler.fn is None:  # what the page does by itself has nothing to call here
        raise RefusedError(404, "There is no such handler.")
    if trigger is not None and not isinstance(trigger, int):
        raise RefusedError(400, "There is no such component.")
    data, event_data = values.get("data"), values.get("event_data")
    if not isinstance(data, list) or len(data) != len(handler.inputs):
        raise RefusedError(400, f"This handler takes {len(handler.inputs)} values.")
    return {
        "session_hash": session,
        "fn_index": index,
        "trigger_id": trigger,
        "data": _checked_values(blocks, handler, data, session, visitor),
        "event_data": _checked_event(event_data),
    }


def checked_session(session: object) -> str:
    """The id of a page that is open; a `RefusedError` if it cannot be one."""
    if not isinstance(session, str) or not SESSION.fullmatch(session):
        raise RefusedError(400, "This is not a session.")
    return session


def _checked_values(
    blocks: gr.Blocks, handler: BlockFunction, data: list[Any], session: str, visitor: Visitor
) -> list[Any]:
    state = blocks.app.state_holder[session]
    checked: list[Any] = []
    for block, value in zip(handler.inputs, data, strict=True):
        if block.stateful:
            checked.append(None)  # a state is kept here, never sent
            continue
        component = state.get(block._id, block)
        assert isinstance(component, Component)
        if _offers(block, value) and not _offers(component, value):
            value = component.value  # the page is being given other choices, and will show this one
        _check_type(component, value, visitor)
        if not isinstance(component, gr.File):
            try:
                component.preprocess(value)
            except Exception:  # whatever a component raises for a value that it cannot have
                _refuse(component)
        checked.append(value)
    return checked


def _offers(component: object, value: object) -> bool:
    """Whether `value` is one of what there is to choose from."""
    if isinstance(component, gr.Radio) or (isinstance(component, gr.Dropdown) and not component.multiselect):
        return any(value == offered for _, offered in component.choices)
    return False


def _check_type(component: Component, value: object, visitor: Visitor) -> None:
    if isinstance(component, Api):
        if not fits(value, component.api_info(), visitor):
            _refuse(component)
        return
    if value is None:
        if isinstance(component, NEVER_EMPTY):
            _refuse(component)
        return
    if isinstance(component, gr.File):
        if not is_own_file(value, visitor):
            raise RefusedError(403, "This is not a file that you uploaded. Upload it again.")
    elif isinstance(component, gr.Number | gr.Slider):
        if not is_number(value):
            _refuse(component)
    elif isinstance(component, gr.Checkbox):
        if not isinstance(value, bool):
            _refuse(component)
    elif isinstance(component, gr.Dropdown) and component.multiselect:
        if not isinstance(value, list) or len(value) > CHOSEN or not all(map(is_text, value)):
            _refuse(component)
    elif not is_text(value):
        _refuse(component)


def _checked_event(event_data: object) -> dict[str, str] | None:
    """What was clicked: a flat mapping of short texts, or nothing that is used."""
    if not isinstance(event_data, dict) or len(event_data) > 8:
        return None
    return {str(key)[:100]: value[:200] for key, value in event_data.items() if isinstance(value, str)}


def _refuse(component: Component) -> NoReturn:
    said = str(getattr(component, "label", None) or component.get_block_name())
    raise RefusedError(422, f"This cannot be the value of “{said}”.")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)
