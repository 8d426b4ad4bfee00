"""Which models are written as GGUF, and what a file says of them by llama.cpp's keys.

Each was verified with random weights: what llama.cpp and, where it reads the architecture, transformers compute of
the file is what the folder computes. A setting that a file has no word for, or that was not verified, is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from plumbing.errors import ModelError


@dataclass(frozen=True)
class Architecture:
    """How llama.cpp has a kind of model."""

    name: str
    """`general.architecture`."""
    turns_neighbours: bool = False
    """Whether rotary positions turn neighbouring dimensions of a head there, where transformers turn its halves."""
    norms_and_one: bool = False
    """Whether a norm's weights are 1 more there."""
    activations: Collection[str] = ("silu", "swish")
    """By transformers' names, what stands between the two halves of a layer."""
    positions: Collection[str] = ("default",)
    """The rules by which positions may be scaled, by transformers' names."""
    windows: bool = False
    """Whether layers see a window of what came before, whose width a file says."""
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


def _unlike_gemma3(config: Any) -> str:
    near, far = (config.rope_parameters[f"{kind}_attention"] for kind in ("sliding", "full"))
    usual = ["sliding_attention", "full_attention"]
    layers = [usual[(layer + 1) % 6 == 0] for layer in range(config.num_hidden_layers)]
    said = {
        "scaled positions": any(each.get("rope_type", "default") != "default" for each in (near, far)),
        f"the base {near['rope_theta']:g} for positions in a window": near["rope_theta"] != _GEMMA3_NEAR,
        "other layers without a window than every sixth": list(config.layer_types) != layers,
        "no window": not config.sliding_window,
        f"attention scaled by {config.query_pre_attn_scalar}": config.query_pre_attn_scalar != head_size(config),
        "capped logits": config.final_logit_softcapping or config.attn_logit_softcapping,
        "attention in both directions": config.use_bidirectional_attention,
    }
    return next((what for what, is_so in said.items() if is_so), "")


def _qwen3_unread(config: Any) -> str:
    return "" if head_size(config) == _QWEN3_HEAD else f"that a head has {head_size(config)} dimensions"


def _gemma3_unread(config: Any) -> str:
    return "" if head_size(config) == _GEMMA3_HEAD else "by what attention is scaled"


_QWEN3_HEAD = 128
"""Which transformers takes for any Qwen3's."""
_GEMMA3_HEAD = 256
"""By whose root transformers scales the attention of any Gemma 3's."""
_GEMMA3_NEAR = 10_000.0
"""The base of positions within windows, which no file says."""
ARCHITECTURES: Mapping[str, Architecture] = {
    "LlamaForCausalLM": Architecture("llama", turns_neighbours=True, positions=("default", "llama3")),
    "MistralForCausalLM": Architecture(
        "llama", turns_neighbours=True, positions=("default", "llama3"), unlike=_window
    ),
    "Qwen3ForCausalLM": Architecture("qwen3", unlike=_window, not_read=_qwen3_unread),
    "Gemma3ForCausalLM": Architecture(
        "gemma3",
        norms_and_one=True,
        activations=("gelu_pytorch_tanh",),
        windows=True,
        unlike=_unlike_gemma3,
        not_read=_gemma3_unread,
    ),
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
    activation = getattr(config, "hidden_act", None) or getattr(config, "hidden_activation", None)
    if activation not in found.activations:
        unlike = unlike or f"the activation {activation}"
    if (rule := _positions(config).get("rope_type", "default")) not in found.positions:
        unlike = unlike or f"positions scaled by the rule {rule}"
    if unlike:
        raise ModelError(
            "No GGUF file is written of this model, which has what was not verified",
            got=f"{named} with {unlike}",
            fix="Take it as `merged`; llama.cpp's own converter may know it.",
        )
    return found


def head_size(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _positions(config: Any) -> Mapping[str, Any]:
    """How positions turn; where layers see windows, in those that see everything."""
    found: Mapping[str, Any] = config.rope_parameters
    everywhere: Mapping[str, Any] = found.get("full_attention", found)
    return everywhere


def describe(writer: Any, config: Any, architecture: Architecture) -> None:
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
    writer.add_rope_freq_base(float(_positions(config)["rope_theta"]))
    writer.add_vocab_size(config.vocab_size)
    if architecture.windows:
        writer.add_sliding_window(config.sliding_window)


def slowed(config: Any) -> Any:
    """By how much each pair of dimensions turns slower than unscaled, [head size / 2]; None where none does."""
    positions = _positions(config)
    if (rule := positions.get("rope_type", "default")) == "default":
        return None
    import torch
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    scaled, _ = ROPE_INIT_FUNCTIONS[rule](config, torch.device("cpu"))
    size = head_size(config)
    usual = 1.0 / positions["rope_theta"] ** (torch.arange(0, size, 2).float() / size)
    return (usual / scaled).numpy()


def as_stored(name: str, weight: Any, config: Any, architecture: Architecture) -> Any:
    """A tensor as llama.cpp has it: rows in its order, of a norm 1 more. `weight` is of numpy, [outputs, …]."""
    if architecture.norms_and_one and name.endswith("norm.weight"):
        return weight + 1
    part = name.removesuffix(".weight").rpartition(".")[2]
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(part)
    if heads is None or not architecture.turns_neighbours:
        return weight
    halves = weight.reshape(heads, 2, -1, *weight.shape[1:])
    return halves.swapaxes(1, 2).reshape(weight.shape).copy()
