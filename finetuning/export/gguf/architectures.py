"""Which models are written as GGUF, and what a file says of them by llama.cpp's keys.

Each was verified with random weights: what llama.cpp and, where it reads the architecture, transformers compute of
the file is what the folder computes. A setting that a file has no word for, or that was not verified, is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from plumbing.errors import ModelError


@dataclass(frozen=True)
class Architecture:
    """How llama.cpp has a kind of model."""

    name: str
    """`general.architecture`."""
    turns_neighbours: bool
    """Whether rotary positions turn neighbouring dimensions of a head there, where transformers turn its halves."""
    unlike: Callable[[Any], str] = lambda _: ""
    """Why a configuration of this architecture cannot be said, in words; empty where it can."""
    not_read: Callable[[Any], str] = lambda _: ""
    """What transformers does not read of a file of this configuration, in words; empty where it reads all."""


def _window(config: Any) -> str:
    window = getattr(config, "sliding_window", None)
    if window and getattr(config, "use_sliding_window", True) and window < config.max_position_embeddings:
        return f"attention within a window of {window} tokens"
    return ""


def _steps_without_positions(config: Any) -> str:
    usual = [int((layer + 1) % 4 != 0) for layer in range(config.num_hidden_layers)]
    if list(config.no_rope_layers) != usual:
        return "other layers without positions than every fourth"
    return _window(config)


def _scaling_unread(config: Any) -> str:
    return "how positions are scaled" if config.rope_parameters.get("rope_type", "default") != "default" else ""


def _width_unread(config: Any) -> str:
    return "" if head_size(config) == _QWEN3_HEAD else f"that a head has {head_size(config)} dimensions"


_QWEN3_HEAD = 128
"""Which transformers takes for any Qwen3's."""
ARCHITECTURES: Mapping[str, Architecture] = {
    "LlamaForCausalLM": Architecture("llama", turns_neighbours=True, not_read=_scaling_unread),
    "MistralForCausalLM": Architecture("llama", turns_neighbours=True, unlike=_window, not_read=_scaling_unread),
    "Qwen3ForCausalLM": Architecture("qwen3", turns_neighbours=False, unlike=_window, not_read=_width_unread),
    "SmolLM3ForCausalLM": Architecture(
        "smollm3",
        turns_neighbours=True,
        unlike=_steps_without_positions,
        not_read=lambda _: "this architecture",
    ),
}


def architecture_of(config: Any) -> Architecture:
    """The architecture of a model with this configuration.

    Raises:
        ModelError: no GGUF file is written of it, with the reason.
    """
    named = str((config.architectures or [""])[0])
    if named not in ARCHITECTURES:
        raise ModelError(
            "No GGUF file is written of a model of this architecture: none was verified",
            got=named,
            fix=f"There are {', '.join(ARCHITECTURES)}. Take it as `merged`; llama.cpp's own converter knows more.",
        )
    found = ARCHITECTURES[named]
    unlike = found.unlike(config)
    if any(getattr(config, name, False) for name in ("attention_bias", "mlp_bias")):
        unlike = unlike or "biases"
    if getattr(config, "hidden_act", "silu") not in ("silu", "swish"):
        unlike = unlike or f"the activation {config.hidden_act}"
    if config.rope_parameters.get("rope_type", "default") not in ("default", "llama3"):
        unlike = unlike or f"positions scaled by the rule {config.rope_parameters['rope_type']}"
    if unlike:
        raise ModelError(
            "No GGUF file is written of this model, which has what was not verified",
            got=f"{named} with {unlike}",
            fix="Take it as `merged`; llama.cpp's own converter may know it.",
        )
    return found


def head_size(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def describe(writer: Any, config: Any) -> None:
    """Write what the configuration says into the file."""
    size = head_size(config)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(size)
    writer.add_rope_freq_base(float(config.rope_parameters["rope_theta"]))
    writer.add_vocab_size(config.vocab_size)


def slowed(config: Any) -> Any:
    """By how much each pair of dimensions turns slower than unscaled, [head size / 2]; None where none does."""
    if config.rope_parameters.get("rope_type", "default") == "default":
        return None
    import torch
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    scaled, _ = ROPE_INIT_FUNCTIONS[config.rope_parameters["rope_type"]](config, torch.device("cpu"))
    size = head_size(config)
    usual = 1.0 / config.rope_parameters["rope_theta"] ** (torch.arange(0, size, 2).float() / size)
    return (usual / scaled).numpy()


def ordered(name: str, weight: Any, config: Any, architecture: Architecture) -> Any:
    """A tensor's rows in llama.cpp's order. `weight` is of numpy, [outputs, …]."""
    part = name.removesuffix(".weight").rpartition(".")[2]
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(part)
    if heads is None or not architecture.turns_neighbours:
        return weight
    halves = weight.reshape(heads, 2, -1, *weight.shape[1:])
    return halves.swapaxes(1, 2).reshape(weight.shape).copy()
