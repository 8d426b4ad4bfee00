"""Gradio, imported as fast as it goes."""

from __future__ import annotations

import inspect
from typing import Any

from models.libraries import without_collections


def import_gradio() -> None:
    """Import Gradio without its type stubs.

    It writes type stubs for editors beside the module of each of its components, at every import, which takes a
    third of it. It does not where a component has no file, and so none has one meanwhile.
    """
    getfile = inspect.getfile

    def no_file_of_a_component(object: Any) -> str:
        if isinstance(object, type) and object.__module__.startswith("gradio."):
            raise OSError("no stub is wanted")
        return getfile(object)

    with without_collections():
        inspect.getfile = no_file_of_a_component
        try:
            import gradio  # noqa: F401
        finally:
            inspect.getfile = getfile
