"""One decorator: an error that a person caused is shown as a toast, and everything on the page stays as it was."""

from __future__ import annotations

import functools
import html
import inspect
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import gradio as gr

from plumbing.errors import UserError
from plumbing.redaction import redact
from ui.drawing import text
from ui.server.visitors import Visitor, visitor_of, without_paths

Handler = TypeVar("Handler", bound=Callable[..., Any])


def toasts(handler: Handler) -> Handler:
    """`handler`, but a `UserError` becomes a toast and no output changes.

    Not for a handler that does not wait in Gradio's queue: nobody would see the toast.
    """
    if inspect.isgeneratorfunction(handler):

        @functools.wraps(handler)
        def stream(*args: Any, **kwargs: Any) -> Iterator[Any]:
            try:
                yield from handler(*args, **kwargs)
            except UserError as error:
                show(error, _visitor(args, kwargs))
                yield gr.skip()

        return stream  # type: ignore[return-value]  # same signature, by functools.wraps

    @functools.wraps(handler)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return handler(*args, **kwargs)
        except UserError as error:
            show(error, _visitor(args, kwargs))
            return gr.skip()

    return call  # type: ignore[return-value]  # same signature, by functools.wraps


def show(error: UserError, visitor: Visitor | None = None) -> None:
    """The toast alone. Gradio renders a toast's text as HTML, so it is escaped here."""
    said = visitor.shown(str(error)) if visitor else without_paths(redact(str(error)))
    gr.Warning(html.escape(said[:2000]).replace("\n", "<br>"), title=text.REFUSED, duration=15)


def _visitor(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Visitor | None:
    """Who the handler's request is from; None where it takes none: then nobody is shown a path."""
    for value in (*args, *kwargs.values()):
        if isinstance(value, gr.Request):
            return visitor_of(value)
    return None
