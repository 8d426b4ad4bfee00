"""Which models the layers by hand compute, and train, exactly as their own modules do: what is known to be right.

Everything that is in a model has to be listed, by its exact class, and so has what learns in it: one adapter, or
any weights of linear layers, norms and the embedding. An adapter of another kind, a wrapper, a layer that is held
in 8 bits, one in 4 bits of which a weight learns, or weights that learn beside an adapter are not, and the model
goes through its own modules, which are slower. A model changes while it is used (another adapter is set, one is
merged, weights are unfrozen), so it is asked at each use; an adapter on all seven layers of 30 takes it a
millisecond.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_ARCHITECTURES = {
    "transformers.models.llama.modeling_llama": "Llama",
    "transformers.models.mistral.modeling_mistral": "Mistral",
    "transformers.models.qwen2.modeling_qwen2": "Qwen2",
}
"""A module → what its classes' names begin with."""
_CAUSAL, _WITH_HEAD = "ForCausalLM", "ForSequenceClassification"
_PARTS = (_CAUSAL, "Model", "DecoderLayer", "Attention", "MLP", "RMSNorm", "RotaryEmbedding")
_EMBEDDING = "torch.nn.modules.sparse.Embedding"
_SHARED_PARTS = frozenset(
    {
        "torch.nn.modules.container.ModuleList",
        _EMBEDDING,
        "torch.nn.modules.activation.SiLU",
        "transformers.activations.SiLUActivation",
    }
)
_PLAIN_LINEAR = "torch.nn.modules.linear.Linear"
_LINEAR = frozenset({_PLAIN_LINEAR, "bitsandbytes.nn.modules.Linear4bit"})
_LORA = frozenset({"peft.tuners.lora.layer.Linear", "peft.tuners.lora.bnb.Linear4bit"})
_DROPOUT = frozenset({"torch.nn.modules.linear.Identity", "torch.nn.modules.dropout.Dropout"})
_ROPES = frozenset({"default", "linear", "llama3", "yarn"})
"""Rotary embeddings that turn a token by its own position only. Others (`dynamic`, `longrope`) heed the longest row
of a batch as well."""


def supports(model: PreTrainedModel) -> bool:
    """Whether `LlamaLayers` gives what `model`'s own modules give now: hidden states, logits, and all gradients.

    Of a model with another head than the vocabulary's, its layers: the head is left to itself.

    Args:
        model: without peft's outermost wrapper; its adapter is in its layers.
    """
    architecture, config = _ARCHITECTURES.get(type(model).__module__), model.config
    return (
        architecture is not None
        and type(model).__name__ in (f"{architecture}{_CAUSAL}", f"{architecture}{_WITH_HEAD}")
        and model.device.type == "cpu"
        and not torch.is_autocast_enabled("cpu")
        and not config.attention_dropout
        and getattr(config, "is_causal", True)
        and getattr(config, "sliding_window", None) is None
        and set(getattr(config, "layer_types", None) or ["full_attention"]) == {"full_attention"}
        and config.rope_parameters["rope_type"] in _ROPES
        and len(model.base_model.layers) == config.num_hidden_layers  # type: ignore[arg-type]
        and _all_fits(model, architecture)
    )


def _all_fits(model: Any, architecture: str) -> bool:
    """Whether what is computed by hand of it is listed: the layers, and the projection onto a vocabulary."""
    if type(model).__name__ == f"{architecture}{_WITH_HEAD}":
        return _modules_fit(model.base_model, architecture)
    return is_plain_head(model.get_output_embeddings()) and _modules_fit(model, architecture)


def is_plain_head(head: Any) -> bool:
    """Whether a vocabulary projection is by its weight, and its bias if it has one, and nothing else."""
    return _name(type(head)) == _PLAIN_LINEAR


def is_plain_lora(layer: Any) -> bool:
    """Whether a LoRA layer adds one low-rank update, of the base's precision or float32, to a frozen linear layer.

    That of the active adapter; whether adapters are switched off is not asked, nor whether it drops what it reads.
    """
    if _name(type(layer)) not in _LORA or len(layer.active_adapters) != 1 or layer.merged_adapters:
        return False
    (name,), parts = layer.active_adapters, layer._modules  # attributes of a module are slow to get
    base, a = parts["base_layer"], parts["lora_A"]._modules.get(name)
    if a is None or _name(type(base)) not in _LINEAR or _is_trained(base):
        return False
    weight = base._parameters["weight"]
    packed = getattr(weight, "quant_state", None)
    return (
        _name(type(parts["lora_dropout"]._modules[name])) in _DROPOUT
        and not layer.lora_bias[name]
        and name not in layer.lora_variant  # DoRA and others
        and a._parameters["weight"].dtype in (torch.float32, packed.dtype if packed else weight.dtype)
    )


def dropped_share(layer: Any) -> float:
    """The share of what a plain LoRA layer's low rank reads that is dropped now, from 0 to below 1."""
    dropout = layer._modules["lora_dropout"]._modules[layer.active_adapters[0]]
    return float(dropout.p) if dropout.training and hasattr(dropout, "p") else 0.0


def _modules_fit(model: Any, architecture: str) -> bool:
    """Whether all modules are listed, and what learns is one adapter, active in all, or are weights that may."""
    parts, learning = _parts(type(model).__module__, architecture)
    states: set[tuple[str, bool]] = set()
    waiting, is_trained = [model], False
    while waiting:
        module = waiting.pop()
        name = _name(type(module))
        if name in _LORA:
            if not is_plain_lora(module) or dropped_share(module) or _trains_another(module):
                return False
            states.add((module.active_adapters[0], module.disable_adapters))
            continue
        if name not in parts:
            return False
        if _is_trained(module):
            if name not in learning:
                return False
            is_trained = True
        waiting.extend(module._modules.values())
    return not states or (len(states) == 1 and not is_trained)


def _is_trained(module: torch.nn.Module) -> bool:
    """Whether a weight of its own, not of a part of it, gets a gradient."""
    return any(weight is not None and weight.requires_grad for weight in module._parameters.values())


def _trains_another(layer: Any) -> bool:
    """Whether weights of an adapter get a gradient that is not active."""
    parts, active = layer._modules, layer.active_adapters
    return len(parts["lora_A"]._modules) > 1 and any(
        _is_trained(weights)
        for both in (parts["lora_A"], parts["lora_B"])
        for name, weights in both._modules.items()
        if name not in active
    )


@functools.cache
def _parts(module: str, architecture: str) -> tuple[frozenset[str], frozenset[str]]:
    """The classes of which a model of `architecture` may be made, and those of them that may learn."""
    own = {part: f"{module}.{architecture}{part}" for part in _PARTS}
    return _SHARED_PARTS | _LINEAR | {*own.values()}, frozenset({_PLAIN_LINEAR, _EMBEDDING, own["RMSNorm"]})


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
