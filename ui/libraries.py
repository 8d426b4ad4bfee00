"""The heavy libraries, imported on first need and by one thread at a time.

A thread that imports `transformers` while another is half through it sees a module without its classes (`datasets`
looks into it whenever it pickles), so whoever is about to use them passes through here first.
"""

from __future__ import annotations

import threading

_lock = threading.Lock()


def ready() -> None:
    """Return once torch, transformers, peft and datasets are wholly imported: seconds the first time."""
    with _lock:
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
