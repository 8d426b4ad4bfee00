"""What an engine needs of what was tuned here: for llama.cpp, an adapter as a GGUF file beside the base's."""

from __future__ import annotations

from pathlib import Path

from models.adapters import BaseOrigin
from models.sources import resolve


def to_gguf(adapter: Path, target: Path) -> None:
    """Write the adapter of a folder as a GGUF file, whole or not at all.

    Raises:
        ModelError: it is no plain LoRA, or its base is none of the architectures that are written, or not here.
    """
    from transformers import AutoConfig

    from finetuning.export.gguf.lora import write_lora_gguf
    from finetuning.export.work import Work

    base = resolve(BaseOrigin.load(adapter).name)
    config = AutoConfig.from_pretrained(base.path, local_files_only=True, trust_remote_code=False)
    write_lora_gguf(adapter, config, target, Work())
