"""The heavy libraries, imported on first need or in the background, and by one thread at a time.

A thread that imports `transformers` while another is half through it sees a module without its classes (`datasets`
looks into it whenever it pickles), so whoever is about to use them passes through here first.
"""

from __future__ import annotations

import gc
import importlib
import math
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()
_imported = threading.Event()
_mended: list[Any] = []
"""Libraries of operators, which are theirs only as long as they are held."""


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
    _unpack_rows_of_any_length(torch)


def _unpack_rows_of_any_length(torch: Any) -> None:
    """Mend bitsandbytes' unpacking of 4-bit weights on a CPU, for whoever calls it.

    With AVX-512 it takes a wrong scale where a row ends within a block. The weights lie one after the other, so
    they are unpacked in rows of a block each, or of one weight where the last block is not full.
    """
    unpack = torch.library.get_kernel("bitsandbytes::dequantize_4bit", "CPU")

    def unpacked(
        keys: Any, packed: Any, scales: Any, block: int, quant_type: str, shape: Sequence[int], dtype: Any
    ) -> Any:
        count, rows = math.prod(shape), shape
        if shape[-1] % block != 0:
            rows = (count // block, block) if count % block == 0 else (count, 1)
        return unpack.call_boxed(keys, packed, scales, block, quant_type, rows, dtype).reshape(shape)

    _mended.append(torch.library.Library("bitsandbytes", "IMPL"))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Warning only once for all operators")
        _mended[-1].impl("dequantize_4bit", unpacked, "CPU", with_keyset=True, allow_override=True)


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
