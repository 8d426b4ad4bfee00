"""One decorator: an error that a person caused is shown as a toast, and everything on the page stays as it was."""

from __future__ import annotations

import functools
import html
import inspect
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import gradio as gr

from data.errors import UserError

Handler = TypeVar("Handler", bound=Callable[..., Any])


def toasts(handler: Handler) -> Handler:
    """`handler`, but a `UserError` becomes a toast and no output changes."""
    if inspect.isgeneratorfunction(handler):

        @functools.wraps(handler)
        def stream(*args: Any, **kwargs: Any) -> Iterator[Any]:
            try:
                yield from handler(*args, **kwargs)
            except UserError as error:
                show(error)
                yield gr.skip()

        return stream  # type: ignore[return-value]  # same signature, by functools.wraps

    @functools.wraps(handler)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return handler(*args, **kwargs)
        except UserError as error:
            show(error)
            return gr.skip()

    return call  # type: ignore[return-value]  # same signature, by functools.wraps


def show(error: UserError) -> None:
    """The toast alone. Gradio renders a toast's text as HTML, so it is escaped here."""
    gr.Warning(html.escape(str(error)).replace("\n", "<br>"), title="That does not work", duration=15)
