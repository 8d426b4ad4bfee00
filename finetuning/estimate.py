"""What a run will take, before it starts: parameters, memory and time. Loads no weights.

Parameters are counted on the `meta` device from the base model's configuration. Memory is weights, gradients,
optimizer state and the activations of one batch. Time is the matrix products of all steps at the speed that one
measured product reaches on this machine, times the share of it that training reached in `benchmarks/`.
"""

from __future__ import annotations

import functools
import math
import time
from dataclasses import dataclass
from typing import Any

from data.errors import ModelError
from finetuning.recipe import Recipe
from finetuning.strategies import ParameterCount, check_target_modules
from finetuning.trainers.arguments import steps
from models.adapter_files import HEADS, adapter_shapes, linear_layers

_TYPICAL_TOKENS = {"sentiment": 65, "dialogue": 215}
"""Mean tokens a row of the bundled corpora in the causal prompt; used when the rows are not given."""
_TRAINING_EFFICIENCY = 0.45
"""Share of the matrix-product peak that a training step reaches on two CPU cores."""
_RUNTIME_MB = 700
"""Python, torch and the libraries, before any weight."""

_LONGEST_BATCH = 1.45
"""Tokens of an epoch's largest batch over those of its mean one, in the bundled corpora."""

# Configurations of the shipped recipes' base models, so that an estimate needs neither network nor weights.
_CONFIGS: dict[str, dict[str, Any]] = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": {
        "model_type": "llama", "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536,
        "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
        "tie_word_embeddings": True,
    },
    "NousResearch/Llama-2-7b-hf": {
        "model_type": "llama", "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32,
        "tie_word_embeddings": False,
    },
    "distilbert/distilbert-base-uncased": {"model_type": "distilbert", "vocab_size": 30522},
    "sentence-transformers/all-MiniLM-L6-v2": {
        "model_type": "bert", "vocab_size": 30522, "hidden_size": 384, "intermediate_size": 1536,
        "num_hidden_layers": 6, "num_attention_heads": 12,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Estimate:
    """What a run will take."""

    trainable: int
    total: int
    stored: int
    """Parameters as stored: two 4-bit weights count once."""
    weight_mb: float
    """The base's weights in memory, in MiB."""
    memory_mb: float
    """Peak of the whole process, in MiB; rough."""
    seconds: float
    """Training alone; rough."""

    def sentence(self) -> str:
        """`460,800 of 134,975,808 parameters train · about 1.9 GB · about 4 min`."""
        total = f"{self.total:,}"
        if self.stored != self.total:
            total = f"{self.stored:,} stored ({self.total:,} before two 4-bit weights are packed into one)"
        minutes = self.seconds / 60
        length = f"{minutes:.0f} min" if minutes >= 1.5 else f"{max(10, round(self.seconds, -1)):.0f} s"
        return (
            f"{self.trainable:,} of {total} parameters train · about {self.memory_mb / 1024:.1f} GB of memory "
            f"· about {length}"
        )


def estimate(recipe: Recipe, *, rows: int | None = None, tokens: int | None = None) -> Estimate:
    """Estimate the run of `recipe`.

    Args:
        recipe: what would be run.
        rows: training rows; left out, those of the recipe's data source are counted.
        tokens: mean tokens a row.

    Raises:
        ModelError: nothing is known of the base model without fetching it.
        RecipeError: as `check_target_modules`.
    """
    count = parameter_count(recipe)
    width, layers = _shape(recipe.model.base)
    rows = rows if rows is not None else _count_rows(recipe)
    tokens = tokens or _TYPICAL_TOKENS[recipe.task]
    weight_mb = _weight_mb(recipe, count)
    positions = recipe.training.batch_size * tokens
    values = _LONGEST_BATCH * positions * width * layers * _kept_values(recipe)
    activations_mb = values * _bytes_a_value(recipe) / 2**20
    optimizer_mb = count.trainable * 16 / 2**20  # float32 weight, gradient and two moments
    backbone = count.total - _embedding_parameters(recipe)
    work = 4 * backbone * positions * steps(recipe, rows) * recipe.training.gradient_accumulation
    return Estimate(
        trainable=count.trainable,
        total=count.total,
        stored=count.stored,
        weight_mb=weight_mb,
        memory_mb=_RUNTIME_MB + weight_mb + activations_mb + optimizer_mb,
        seconds=work / (_peak_flops(recipe.model.precision == "float32") * _TRAINING_EFFICIENCY),
    )


def parameter_count(recipe: Recipe) -> ParameterCount:
    """Count the recipe's parameters on the `meta` device, from the base model's configuration alone.

    A classifier's total holds its head twice: the original, and the copy that is trained. With nf4 every linear
    layer but the vocabulary projection is packed two weights to one.
    """
    import torch

    with torch.device("meta"):
        model = _empty_model(recipe)
    check_target_modules(recipe, model)
    adapter = adapter_shapes(
        model,
        rank=recipe.lora.rank,
        targets=recipe.lora.target_modules,
        heads=HEADS if recipe.trainer == "classifier" else (),
    )
    trainable = sum(map(math.prod, adapter.values()))
    total = trainable + sum(parameter.numel() for parameter in model.parameters())
    packed = sum(map(math.prod, linear_layers(model).values())) if recipe.model.precision == "nf4" else 0
    return ParameterCount(trainable, total, total - packed // 2)


def _empty_model(recipe: Recipe) -> Any:
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    config = _config(recipe.model.base)
    if recipe.trainer == "classifier":
        config.num_labels = len(recipe.task_definition.labels)
        return AutoModelForSequenceClassification.from_config(config)
    return AutoModelForCausalLM.from_config(config)


@functools.lru_cache(maxsize=16)
def _config(base: str) -> Any:
    from transformers import AutoConfig

    from models.sources import in_reach

    if base in _CONFIGS:
        values = dict(_CONFIGS[base])
        return AutoConfig.for_model(values.pop("model_type"), **values)
    if (found := in_reach(base)) is not None:
        return AutoConfig.from_pretrained(found.path, local_files_only=True)
    raise ModelError(
        "Nothing is known about this base model before it is fetched",
        got=base,
        fix="Start a run with it, or give a folder that holds it.",
    )


def _shape(base: str) -> tuple[int, int]:
    """Hidden size and number of layers."""
    config = _config(base)
    return int(config.hidden_size), int(config.num_hidden_layers)


def _embedding_parameters(recipe: Recipe) -> int:
    """Parameters that take part in no matrix product of a training step: the embeddings, and the projection,
    which only the few supervised positions go through."""
    config = _config(recipe.model.base)
    copies = 1 if recipe.trainer == "classifier" or getattr(config, "tie_word_embeddings", True) else 2
    return int(config.vocab_size) * int(config.hidden_size) * copies


def _weight_mb(recipe: Recipe, count: ParameterCount) -> float:
    from models.loading import device

    if recipe.model.precision == "nf4":
        packed = count.total - count.stored  # bytes of 4-bit weights, one for two of them
        rest = count.stored - packed - count.trainable
        # Bits a weight for its scale, in float32 or doubly quantised (QLoRA paper, section 3; `unpack_scales`).
        scale = 0.5 if device().type == "cpu" else 0.127
        return (packed * (1 + scale / 4) + rest * 2) / 2**20
    return (count.total - count.trainable) * _bytes_a_value(recipe) / 2**20


def _kept_values(recipe: Recipe) -> int:
    """Values of a layer's width that are kept for each position and layer until its backward pass.

    Measured as peak memory, with what the allocator holds back. SmolLM2-135M by hand on a CPU took 15 on
    reviews and 21 on dialogues in float32, 20 and 27 in bfloat16; MiniLM by autograd 53. On an H100 Llama-2-7B's
    shape took 24, SmolLM2-135M's 21.
    """
    from models.loading import device

    by_hand = recipe.trainer == "causal" and not recipe.lora.dropout  # models/llama.py
    return 24 if by_hand or device().type != "cpu" else 55


def _bytes_a_value(recipe: Recipe) -> int:
    from models.loading import best_precision

    precision = recipe.model.precision
    if precision in {"auto", "nf4"}:
        precision = best_precision()
    return 4 if precision == "float32" else 2


def _count_rows(recipe: Recipe) -> int:
    from finetuning.preparation import open_data

    return len(open_data(recipe).splits["train"])


@functools.lru_cache(maxsize=2)
def _peak_flops(float32: bool) -> float:
    """Floating-point operations a second of a large matrix product on this machine, measured once."""
    import torch

    from models.loading import best_precision, device

    dtype = torch.float32 if float32 else getattr(torch, best_precision())
    size = 1024
    left = torch.randn(size, size, device=device(), dtype=dtype)
    best = float("inf")
    for _ in range(20):
        started = time.perf_counter()
        (left @ left).sum().item()
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best
