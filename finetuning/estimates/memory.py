"""How much memory a run takes at its highest: weights, gradients, optimizer state and what a backward needs.

A way that compares with a reference measures it beforehand, or, where its answers are its own, holds what learns a
second time; so there is no second model, unless it reads a run. A pair is two rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from finetuning.estimates.training_time import Batch, computed_by_hand, trained_layers
from finetuning.recipe import Recipe
from finetuning.strategies.counts import ParameterCount

_RUNTIME_MB = 700
"""Python, torch and the libraries, before any weight."""
_ROWS_AT_ONCE_MB = 250
"""What an evaluation's batch takes beside the weights."""
_MB = 2**20
_GRADIENT, _MOMENTS = 4, 8
"""Bytes of a parameter that learns, beside its own four: AdamW keeps two moments."""


def weight_mb(recipe: Recipe, count: ParameterCount) -> float:
    """The base's weights in memory, in MiB."""
    from models.loading import device

    if recipe.strategy.whole:
        return count.total * 4 / _MB
    if recipe.model.precision == "nf4":
        packed = count.total - count.stored  # bytes of 4-bit weights, one for two of them
        rest = count.stored - packed - count.trainable
        # Bits a weight for its scale, in float32 or doubly quantised (QLoRA paper, section 3; `unpack_scales`).
        scale = 0.5 if device().type == "cpu" else 0.127
        return (packed * (1 + scale / 4) + rest * 2) / _MB
    return (count.total - count.trainable) * bytes_a_value(recipe) / _MB


def memory_mb(
    recipe: Recipe, config: Any, count: ParameterCount, weights: float, batches: Sequence[Batch]
) -> float:
    """The larger of training's peak, at its largest batch, and the evaluation's, in MiB."""
    activations = _activations_mb(recipe, config, batches)
    vocabulary = int(config.vocab_size) * 4 / _MB if recipe.way.writes else 0.0
    head = 3 * 256 * vocabulary  # some positions' logits and probabilities in float32, and their product
    gradients = count.trainable * _GRADIENT / _MB
    moments = count.trainable * (_MOMENTS if recipe.training.optimizer == "adamw" else _MOMENTS / 4) / _MB
    beside = weights if recipe.kind == "reward" else 0.0  # the language model, which it is compared with
    held = weights * len(recipe.way.runs) + _reference_mb(recipe, count)  # such a run's base is taken for the same
    if recipe.strategy.whole:
        # Going back, activations go as gradients come. That of the vocabulary's own weight is there from the start,
        # and once more where the embedding adds its part.
        twice = vocabulary * int(config.hidden_size) if count.trainable == count.total else 0.0
        training = weights + moments + max(activations + head, gradients) + twice + held
        return _runtime_mb() + max(training, 2 * weights + beside + _ROWS_AT_ONCE_MB)
    own = count.trainable * 4 / _MB  # in float32, beside the base
    unpacked = _unpacked_mb(recipe, count) if recipe.model.precision == "nf4" else 0.0
    evaluation = beside + _ROWS_AT_ONCE_MB + unpacked
    return _runtime_mb() + weights + max(activations + own + gradients + moments + head + held, evaluation)


def _reference_mb(recipe: Recipe, count: ParameterCount) -> float:
    """A copy of what learns, as it was: beside a new adapter that is the base, which is there anyway."""
    sampling = recipe.way.sampling
    is_copied = recipe.strategy.whole or recipe.model.adapter is not None
    return count.trainable * 4 / _MB if sampling and sampling.has_reference and is_copied else 0.0


def _activations_mb(recipe: Recipe, config: Any, batches: Sequence[Batch]) -> float:
    """What is kept of the largest batch until its backward: of the layers that gradients go through."""
    kept = max((batch.tokens * _kept_values(recipe, config, batch.longest) for batch in batches), default=0.0)
    layers = trained_layers(recipe, config)
    if recipe.training.gradient_checkpointing:  # all of one layer, and every layer's input
        kept += layers * int(config.hidden_size) * max((batch.tokens for batch in batches), default=0)
    else:
        kept *= layers
    return kept * bytes_a_value(recipe) / _MB


def _runtime_mb() -> float:
    """On a GPU what torch allocates there is counted, and the process's own memory is not there."""
    from models.loading import device

    return _RUNTIME_MB if device().type == "cpu" else 0.0


def _unpacked_mb(recipe: Recipe, count: ParameterCount) -> float:
    """What the layers take that an evaluation on a processor holds unpacked as well (`models.pair`)."""
    from models.loading import device

    packed = 2 * (count.total - count.stored)
    return packed * bytes_a_value(recipe) / _MB if device().type == "cpu" and count.total < 5 * 10**8 else 0.0


def _kept_values(recipe: Recipe, config: Any, longest: int) -> float:
    """Values that are kept for each position and layer until its backward pass, for rows of `longest` tokens.

    By hand: what `models.fast.llama._Layer.forward` returns, and the attention's weights; the allocator held back a
    quarter more in bfloat16. By the modules, as measured: 53 times the width for MiniLM on a processor, and 21 to
    24 on an H100, whose kernels keep no weights of the attention.
    """
    from models.loading import device

    width, heads = int(config.hidden_size), int(config.num_attention_heads)
    if computed_by_hand(recipe):
        size = int(getattr(config, "head_dim", None) or width // heads)
        seen = int(getattr(config, "num_key_value_heads", None) or heads) * size
        inner = int(getattr(config, "intermediate_size", None) or 4 * width)
        kept = 4 * width + 2 * heads * size + 2 * seen + 4 * inner + heads * longest
        return kept * (1.0 if bytes_a_value(recipe) == 4 else 1.25)
    return 24.0 * width if device().type != "cpu" else 47.0 * width + 3 * heads * longest


def bytes_a_value(recipe: Recipe) -> int:
    """Of what is computed: 2 in bfloat16, 4 in float32."""
    from models.loading import best_precision

    precision = recipe.load_precision
    if precision in {"auto", "nf4"}:
        precision = best_precision()
    return 4 if precision == "float32" else 2
