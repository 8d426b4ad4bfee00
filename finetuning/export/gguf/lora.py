"""A LoRA by itself as a GGUF file, which llama.cpp puts onto the base's file (`--lora`)."""

from __future__ import annotations

import math
from contextlib import closing
from pathlib import Path
from typing import Any

from finetuning.export.gguf.architectures import architecture_of, as_stored
from finetuning.export.gguf.writing import names_of
from finetuning.export.tuned import Tuned
from finetuning.export.work import Work, whole_file
from models.adapter_files import PREFIX, WEIGHTS_FILE, read_config
from plumbing.errors import ModelError


def write_lora_gguf(tuned: Tuned, config: Any, target: Path, work: Work) -> list[str]:
    """Write the adapter's update as the file `target`, in float32.

    Args:
        tuned: a LoRA of peft's.
        config: of the base that it stands on.
        target: the file.
        work: told how far it is.

    Returns:
        What there is to say of it, in sentences.

    Raises:
        ModelError: it is no plain LoRA, or the base is none of the architectures that are written.
        Stopped: see `Work`.
    """
    import gguf
    from safetensors.torch import load_file

    tuned.require_adapter()
    settings = read_config(tuned.folder)
    more = ("use_dora", "modules_to_save", "lora_bias", "rank_pattern", "alpha_pattern")
    odd = [name for name in more if settings.get(name)]
    if settings.get("peft_type") != "LORA" or odd:
        raise ModelError(
            "Only a plain LoRA is written as a GGUF file of its own",
            got=odd or settings.get("peft_type"),
            fix="Take the model that it is merged into: gguf.",
        )
    architecture = architecture_of(config)
    names = names_of(architecture, config)
    rank, alpha = int(settings["r"]), float(settings["lora_alpha"])
    with whole_file(target) as making:
        writer = gguf.GGUFWriter(making, architecture.name)
        with closing(writer):
            writer.add_type("adapter")
            writer.add_string("adapter.type", "lora")
            # llama.cpp divides it by the rank; rsLoRA by the rank's root.
            writer.add_float32(
                "adapter.lora.alpha", alpha * math.sqrt(rank) if settings.get("use_rslora") else alpha
            )
            weights = load_file(tuned.folder / WEIGHTS_FILE)
            for done, (name, weight) in enumerate(weights.items()):
                work.tell("Writing the adapter", done, len(weights))
                module, _, part = name.removeprefix(PREFIX).removesuffix(".weight").rpartition(".lora_")
                place = names.get_name(f"{module}.weight", try_suffixes=(".weight",))
                if place is None or part not in ("A", "B"):
                    raise ModelError("llama.cpp has no name for a layer of this adapter", got=name)
                values = weight.float().numpy()
                values = as_stored(f"{module}.weight", values, config, architecture) if part == "B" else values
                writer.add_tensor(f"{place}.lora_{part.lower()}", values)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
    notes = ["It is put onto the base's own GGUF file: llama.cpp's `--lora`, or ADAPTER in a Modelfile."]
    if tuned.origin.precision == "nf4":
        notes.append(
            "It was trained beside the base in 4 bit (NF4), and that file has other weights: answers differ more "
            "from the adapter's than those of the merged file, `gguf` without `--lora`."
        )
    return notes
