"""The heavy libraries, imported on first need or in the background, and by one thread at a time.

A thread that imports `transformers` while another is half through it sees a module without its classes (`datasets`
looks into it whenever it pickles), so whoever is about to use them passes through here first.
"""

from __future__ import annotations

import gc
import inspect
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()
_imported = threading.Event()


def ready() -> None:
    """Return once torch, transformers, peft and datasets are wholly imported: seconds the first time."""
    if _imported.is_set():
        return
    with _lock, without_collections():
        import datasets  # noqa: F401
        import torch  # noqa: F401
        from peft import PeftModel  # noqa: F401
        from transformers import (  # noqa: F401
            AutoConfig,
            AutoModelForCausalLM,
            AutoModelForSequenceClassification,
            AutoTokenizer,
            BitsAndBytesConfig,
            GenerationConfig,
            PreTrainedTokenizerBase,
        )
    _imported.set()


def are_ready() -> bool:
    """Whether `ready` would return at once."""
    return _imported.is_set()


def import_gradio() -> None:
    """Import Gradio as fast as it goes.

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


def import_in_background() -> None:
    """Begin to import them now, so that whoever needs them first waits less."""
    threading.Thread(target=ready, name="libraries", daemon=True).start()


@contextmanager
def without_collections() -> Iterator[None]:
    """Import without looking for garbage: there is hardly any, and looking takes a quarter of the time.

    What was made meanwhile is never looked through again.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
