"""The heavy libraries, imported on first need or in the background, and by one thread at a time.

A thread that imports `transformers` while another is half through it sees a module without its classes (`datasets`
looks into it whenever it pickles), so whoever is about to use them passes through here first.
"""

from __future__ import annotations

import gc
import importlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()
_imported = threading.Event()


def ready() -> None:
    """Return once torch, transformers and peft are wholly imported: seconds the first time."""
    if _imported.is_set():
        return
    with _lock, without_collections():
        _import_bitsandbytes()
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


def _import_bitsandbytes() -> None:
    """Import it without torch's compiler, which takes more than two seconds.

    It wraps its operators for processors that it has no kernels for in `torch.compile`, and peft imports it. Those
    operators are as right without.
    """
    torch: Any = importlib.import_module("torch")

    def uncompiled(function: Any = None, **_: Any) -> Any:
        return function if function is not None else lambda wrapped: wrapped

    compiled = torch.compile
    torch.compile = uncompiled
    try:
        import bitsandbytes  # noqa: F401
    finally:
        torch.compile = compiled


def are_ready() -> bool:
    """Whether `ready` would return at once."""
    return _imported.is_set()


def import_in_background() -> None:
    """Begin to import them now, and what reads rows, so that whoever needs them first waits less."""

    def import_all() -> None:
        ready()
        with _lock, without_collections():
            import datasets  # noqa: F401

    threading.Thread(target=import_all, name="libraries", daemon=True).start()


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
