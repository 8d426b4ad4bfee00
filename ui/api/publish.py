"""How a function becomes an endpoint: its types and words, who calls it, and what is said where it is refused.

Endpoints lie on a page of Gradio's of their own, which the door shows to nobody: so the page that people open has
not one component or listener more. They are not queued ones: those Gradio's MCP server asks by one session for
everybody. Who waits for whom is up to `models_in_use.Line`, as on the page.
"""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Callable, Sequence
from typing import Any, get_type_hints

import gradio as gr
from gradio.components.api_component import Api
from gradio.events import api
from gradio.utils import get_function_description

from plumbing.errors import UserError
from ui.api import comparing, exporting, models, training
from ui.drawing import text
from ui.server.values import UPLOAD, fits
from ui.server.visitors import Visitor, visitor_of

API_PAGE = "api"
"""The page of Gradio's."""
ENDPOINTS: tuple[Callable[..., Any], ...] = (
    models.list_models,
    comparing.compare,
    training.estimate,
    training.start_run,
    training.run_status,
    training.cancel_run,
    exporting.export,
    comparing.evaluate,
)
"""Each takes the request first."""
FILE = {
    "oneOf": [
        {"type": "null"},
        {"type": "object", "format": UPLOAD, "properties": {"path": {"type": "string"}}, "required": ["path"]},
    ]
}
"""The schema of a parameter called `file`."""


FOR_PROGRAMS = ("api_info", "api_info_as_input", "api_info_as_output", "example_inputs")
"""What Gradio says of a component to whoever calls an endpoint that has it; no page needs it."""


class Page(gr.Blocks):
    """A page that can have endpoints: browsers do not hear of the other one, or they would draw a bar of pages."""

    def get_config_file(self) -> Any:
        config: Any = super().get_config_file()
        config["pages"] = [each for each in config["pages"] if each[0] != API_PAGE]
        called = set(config["page"].get(API_PAGE, {}).get("components", ()))
        for component in config["components"]:
            if component["id"] not in called:
                for name in FOR_PROGRAMS:
                    component.pop(name, None)
        return config


def publish(page: gr.Blocks, endpoints: Sequence[Callable[..., Any]] = ENDPOINTS) -> None:
    """Make endpoints of a page, within its context and before all else in it, so that their names are theirs."""
    page.pages.append((API_PAGE, "API", False))
    page.current_page = API_PAGE
    for function in endpoints:
        _publish(page, function)
    page.current_page = ""


def _publish(page: gr.Blocks, function: Callable[..., Any]) -> None:
    parameters = [name for name in inspect.signature(function).parameters if name != "request"]
    schemas: list[dict[str, Any]] = []
    api(_endpoint(function, schemas), queue=False, concurrency_limit=None)
    made = list(page.fns.values())[-1]
    _, said, _ = get_function_description(function)
    for name, each in zip(parameters, made.inputs, strict=True):
        assert isinstance(each, Api)
        schema: dict[str, Any] = FILE if name == "file" else each.api_info()
        schemas.append(schema)
        each._api_info = {**schema, "additional_description": said[name]}
        each.label = name
    [answer] = made.outputs
    assert isinstance(answer, Api)
    answer.label = "answer"


def _endpoint(function: Callable[..., Any], schemas: Sequence[dict[str, Any]]) -> Callable[..., Any]:
    """`function` as Gradio calls it; `schemas` of its values are there by then.

    The door has held what comes by HTTP against the schemas already, and Gradio's MCP server has not.
    """

    def call(request: Any, *values: Any) -> Any:
        # Gradio's MCP server gives the request of the web server as it is, and writes an object as Python does.
        over_mcp = not isinstance(request, gr.Request)
        caller = gr.Request(request) if over_mcp else request
        visitor = visitor_of(caller)
        try:
            names = [name for name in call.__signature__.parameters if name != "request"]  # type: ignore[attr-defined]
            for name, value, schema in zip(names, values, schemas, strict=True):
                if not fits(value, schema, visitor):
                    raise UserError(f"This cannot be the value of “{name}”", fix="See docs/api.md.")
            answer = function(caller, *values)
            return json.dumps(answer, ensure_ascii=False) if over_mcp else answer
        except UserError as error:
            raise _refusal(error, visitor) from None
        except Exception:
            logging.getLogger(__name__).exception("The endpoint %s failed", function.__name__)
            raise gr.Error(text.NOT_ANSWERED, print_exception=False) from None

    call.__name__, call.__doc__ = function.__name__, function.__doc__
    call.__annotations__ = get_type_hints(function)
    call.__signature__ = inspect.signature(function, eval_str=True)  # type: ignore[attr-defined]
    return call


def _refusal(error: UserError, visitor: Visitor) -> gr.Error:
    return gr.Error(visitor.shown(str(error))[:2000], title=text.REFUSED, print_exception=False)
