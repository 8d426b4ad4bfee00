"""A Llama's folder, or an adapter on it, as a GGUF file, which llama.cpp reads: for benchmarks and tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy
from safetensors.torch import load_file


def write_gguf(folder: Path, path: Path, *, pre: str = "gpt-2", half: bool = False) -> Path:
    """`folder` as `transformers` saved it, its matrices in float32, or in half precision.

    Args:
        folder: with a byte-level tokenizer.
        path: of the file that is written.
        pre: llama.cpp's name for how the tokenizer splits texts.
        half: float16 matrices; what is a vector stays float32, as llama.cpp has it.
    """
    config = json.loads((folder / "config.json").read_text())
    writer = gguf.GGUFWriter(path, "llama")
    _describe(writer, config)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16 if half else gguf.LlamaFileType.ALL_F32)
    _add_tokenizer(writer, folder, pre)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    for name, weight in _weights(folder / "model.safetensors"):
        weight = weight.astype(numpy.float16 if half and weight.ndim > 1 else numpy.float32)
        target = names.get_name(name, try_suffixes=(".weight",))
        assert target is not None, f"llama.cpp has no name for {name}"
        writer.add_tensor(target, _ordered(name, weight, config))
    return _finished(writer, path)


def write_lora_gguf(adapter: Path, base: Path, path: Path) -> Path:
    """A LoRA adapter of peft's on the model in `base`."""
    config = json.loads((base / "config.json").read_text())
    settings = json.loads((adapter / "adapter_config.json").read_text())
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(settings["lora_alpha"]))
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    for name, weight in _weights(adapter / "adapter_model.safetensors"):
        module, _, part = name.removeprefix("base_model.model.").removesuffix(".weight").rpartition(".lora_")
        target = names.get_name(f"{module}.weight", try_suffixes=(".weight",))
        ordered = _ordered(f"{module}.weight", weight, config) if part == "B" else weight
        writer.add_tensor(f"{target}.lora_{part.lower()}", ordered)
    return _finished(writer, path)


def _weights(path: Path) -> list[tuple[str, Any]]:
    return [(name, weight.float().numpy()) for name, weight in load_file(path).items()]


def _describe(writer: Any, config: dict[str, Any]) -> None:
    heads = config["num_attention_heads"]
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(config["hidden_size"] // heads)
    writer.add_rope_freq_base(float(config["rope_parameters"]["rope_theta"]))
    writer.add_vocab_size(config["vocab_size"])


def _add_tokenizer(writer: Any, folder: Path, pre: str) -> None:
    known = json.loads((folder / "tokenizer.json").read_text())
    tokens = dict(known["model"]["vocab"])
    added = {token["content"]: token["id"] for token in known["added_tokens"]}
    pieces = sorted({**tokens, **added}.items(), key=lambda each: each[1])
    kinds = [gguf.TokenType.CONTROL if piece in added else gguf.TokenType.NORMAL for piece, _ in pieces]
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([piece for piece, _ in pieces])
    writer.add_token_types(kinds)
    merges = known["model"]["merges"]
    writer.add_token_merges([each if isinstance(each, str) else " ".join(each) for each in merges])
    writer.add_bos_token_id(added[settings["bos_token"]])
    writer.add_eos_token_id(added[settings["eos_token"]])
    writer.add_pad_token_id(added[settings["pad_token"]])
    writer.add_add_bos_token(False)
    writer.add_chat_template((folder / "chat_template.jinja").read_text())


def _ordered(name: str, weight: Any, config: dict[str, Any]) -> Any:
    """llama.cpp turns neighbouring pairs of a head's dimensions, `transformers` its two halves."""
    heads = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}.get(name.split(".")[-2])
    if heads is None:
        return weight
    halves = weight.reshape(config[heads], 2, -1, weight.shape[1])
    return halves.swapaxes(1, 2).reshape(weight.shape).copy()


def _finished(writer: Any, path: Path) -> Path:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
