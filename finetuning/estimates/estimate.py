"""What a run will take, before it starts: parameters, memory and time. Loads no weights.

Parameters are counted on the `meta` device from the base model's configuration. Memory is weights, gradients,
optimizer state and the activations of the largest batch. Time is that of the rows' real lengths at the speed at
which this machine computes layers like the base's (`calibration`), evaluation included.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from finetuning.estimates.calibration import RANK, Speeds, speeds
from finetuning.estimates.evaluation_time import evaluation_seconds
from finetuning.estimates.row_lengths import Lengths, lengths_of
from finetuning.recipe import Recipe
from finetuning.strategies.counts import ParameterCount
from finetuning.trainers.arguments import steps
from models.adapter_files import is_of_head, linear_layers
from models.context import max_positions
from plumbing.errors import ModelError

if TYPE_CHECKING:
    from datasets import DatasetDict

_RUNTIME_MB = 700
"""Python, torch and the libraries, before any weight."""
_START_S = 10.0
"""Starting the worker and its libraries, and reading the data; as measured on two slow cores."""
_READ_MB_PER_S = 200.0
"""Of weights that are found, checked and loaded, twice: to train, and to evaluate."""
_UNSURE = 0.25
"""How far the run may be off, either way, as it is shown."""
_ROWS_AT_ONCE_MB = 250
"""What an evaluation's batch takes beside the weights."""

# Configurations of the shipped recipes' base models, so that an estimate needs neither network nor weights.
_CONFIGS: dict[str, dict[str, Any]] = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": {
        "model_type": "llama", "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536,
        "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
        "tie_word_embeddings": True, "max_position_embeddings": 8192,
    },
    "NousResearch/Llama-2-7b-hf": {
        "model_type": "llama", "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32,
        "tie_word_embeddings": False, "max_position_embeddings": 4096,
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
    """Peak of the whole process, in MiB."""
    loading_s: float
    """Until the first step: libraries, data, the base; and the base again for the evaluation."""
    training_s: float
    evaluation_s: float

    @property
    def seconds(self) -> float:
        """Of the whole run."""
        return self.loading_s + self.training_s + self.evaluation_s

    @property
    def time(self) -> str:
        """Of the whole run, in words: `6 to 10 min`."""
        return _span(self.seconds)

    def sentence(self) -> str:
        """`460,800 of 134,975,808 parameters train · about 1.9 GB of memory · 6 to 10 min (training …)`."""
        total = f"{self.total:,}"
        if self.stored != self.total:
            total = f"{self.stored:,} stored ({self.total:,} before two 4-bit weights are packed into one)"
        parts = f"training {_span(self.training_s)}, evaluation {_span(self.evaluation_s)}"
        return (
            f"{self.trainable:,} of {total} parameters train · about {self.memory_mb / 1024:.1f} GB of memory "
            f"· {_span(self.seconds)} in all ({parts})"
        )


def _span(seconds: float) -> str:
    """`6 to 10 min`, or in seconds."""
    low, high = seconds * (1 - _UNSURE), seconds * (1 + _UNSURE)
    if high < 120:
        ends, unit = [max(5 * round(end / 5), 5) for end in (low, high)], "s"
    else:
        ends, unit = [max(round(end / 60), 1) for end in (low, high)], "min"
    return f"{ends[0]} to {ends[1]} {unit}" if ends[0] != ends[1] else f"about {ends[0]} {unit}"


def estimate(recipe: Recipe, *, splits: DatasetDict | Mapping[str, Any] | None = None) -> Estimate:
    """Estimate the run of `recipe`.

    Args:
        recipe: what would be run.
        splits: its rows, where they are open already.

    Raises:
        DataError: the rows cannot be read.
        ModelError: nothing is known of the base model without fetching it.
        RecipeError: as `Strategy.require`; or `training.max_tokens` is more than the base reads.
    """
    count = parameter_count(recipe)
    config = base_config(recipe.model.base).get_text_config()
    from finetuning.preparation import open_data, require_positions

    require_positions(recipe, max_positions(config))
    if splits is None:
        splits = open_data(recipe).splits
    train, test = lengths_of(recipe, splits)
    machine = speeds(recipe, config)
    weight_mb = _weight_mb(recipe, count)
    batches = _batches(recipe, train)
    machine = _at_rank(machine, recipe, count)
    training = sum(_step_s(recipe, config, machine, batch) for batch in batches) / max(1, len(batches))
    return Estimate(
        trainable=count.trainable,
        total=count.total,
        stored=count.stored,
        weight_mb=weight_mb,
        memory_mb=_memory_mb(recipe, config, count, weight_mb, batches),
        loading_s=_START_S + 2 * weight_mb / _READ_MB_PER_S,
        training_s=training * steps(recipe, train.rows) * recipe.training.gradient_accumulation,
        evaluation_s=evaluation_seconds(recipe, int(config.num_hidden_layers), machine, train, test),
    )


@dataclass(frozen=True)
class _Batch:
    rows: int
    tokens: int
    """That are computed: without padding and the shared prefix where layers are computed by hand."""
    longest: int
    supervised: int

    @property
    def pairs(self) -> int:
        """Of a token and one that it may see, computed as if each row were as long as the longest."""
        return self.rows * self.longest**2


def _batches(recipe: Recipe, train: Lengths) -> list[_Batch]:
    """The batches of an epoch over the sampled rows, in like lengths as they are trained on."""
    from finetuning.trainers.lengths import LikeLengthSampler

    lengths, size = train.whole, recipe.training.batch_size
    order = list(LikeLengthSampler(lengths, size, seed=recipe.training.seed))
    batches = []
    for at in range(0, len(order), size):
        rows = [lengths[index] for index in order[at : at + size]]
        if len(rows) < size and train.rows > len(lengths):
            continue  # short only because the sample is
        tokens = len(rows) * max(rows)
        if _by_hand(recipe):
            tokens = sum(rows) - (len(rows) - 1) * train.shared
        supervised = sum(train.answers[index] for index in order[at : at + size])
        batches.append(_Batch(len(rows), tokens, max(rows), supervised))
    return batches


def _at_rank(machine: Speeds, recipe: Recipe, count: ParameterCount) -> Speeds:
    """The speeds with an adapter of the recipe's rank, by operations: four a frozen weight, six a trained one."""
    frozen, measured = (
        count.total - count.trainable,
        count.trainable * RANK / getattr(recipe.strategy, "rank", RANK),
    )
    share = (4 * frozen + 6 * count.trainable) / (4 * frozen + 6 * measured)
    return replace(machine, train_token=machine.train_token * share)


def _step_s(recipe: Recipe, config: Any, machine: Speeds, batch: _Batch) -> float:
    layer = machine.train_batch + batch.tokens * machine.train_token + batch.pairs * machine.train_pair
    if recipe.training.gradient_checkpointing:
        layer += machine.pass_batch + batch.tokens * machine.pass_token + batch.pairs * machine.pass_pair
    return int(config.num_hidden_layers) * layer + batch.supervised * machine.head_train


def _memory_mb(
    recipe: Recipe, config: Any, count: ParameterCount, weight_mb: float, batches: Sequence[_Batch]
) -> float:
    """The larger of training's peak, at its largest batch, and the evaluation's."""
    kept = max((batch.tokens * _kept_values(recipe, config, batch.longest) for batch in batches), default=0.0)
    layers = int(config.num_hidden_layers)
    if recipe.training.gradient_checkpointing:  # all of one layer, and every layer's input
        kept += layers * int(config.hidden_size) * max((batch.tokens for batch in batches), default=0)
    else:
        kept *= layers
    activations = kept * _bytes_a_value(recipe) / 2**20
    optimizer = count.trainable * 16 / 2**20  # float32 weight, gradient and two moments
    head = 0.0
    if recipe.kind == "causal":  # some positions' logits and probabilities in float32, and their product
        head = 3 * 256 * int(config.vocab_size) * 4 / 2**20
    evaluation = _ROWS_AT_ONCE_MB + (_unpacked_mb(recipe, count) if recipe.model.precision == "nf4" else 0.0)
    return _runtime_mb() + weight_mb + max(activations + optimizer + head, evaluation)


def _runtime_mb() -> float:
    """On a GPU what torch allocates there is counted, and the process's own memory is not there."""
    from models.loading import device

    return _RUNTIME_MB if device().type == "cpu" else 0.0


def _unpacked_mb(recipe: Recipe, count: ParameterCount) -> float:
    """What the layers take that an evaluation on a processor holds unpacked as well (`models.pair`)."""
    from models.loading import device

    packed = 2 * (count.total - count.stored)
    return packed * _bytes_a_value(recipe) / 2**20 if device().type == "cpu" and count.total < 5 * 10**8 else 0.0


def parameter_count(recipe: Recipe) -> ParameterCount:
    """Count the recipe's parameters on the `meta` device, from the base model's configuration alone.

    A classifier's total holds its head twice: the original, and the copy that is trained. With nf4 every linear
    layer but the vocabulary projection is packed two weights to one.
    """
    import torch

    with torch.device("meta"):
        model = _empty_model(recipe)
    strategy = recipe.strategy
    strategy.require(model, recipe.kind, recipe.model.base)
    trainable = sum(map(math.prod, strategy.trained(model, recipe.kind).values()))
    total = sum(parameter.numel() for parameter in model.parameters()) + (0 if strategy.whole else trainable)
    packed = 0
    if recipe.model.precision == "nf4":
        layers = linear_layers(model).items()
        packed = sum(
            math.prod(shape) for name, shape in layers if recipe.way_definition.writes or not is_of_head(name)
        )
    return ParameterCount(trainable, total, total - packed // 2)


def _empty_model(recipe: Recipe) -> Any:
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    config = base_config(recipe.model.base)
    if recipe.kind == "classifier":
        config.num_labels = len(recipe.task_definition.labels)
        return AutoModelForSequenceClassification.from_config(config)
    return AutoModelForCausalLM.from_config(config)


@functools.lru_cache(maxsize=16)
def base_config(base: str) -> Any:
    """The configuration of a shipped recipe's base model, or of one that is on this machine.

    Raises:
        ModelError: it is neither.
    """
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


def _weight_mb(recipe: Recipe, count: ParameterCount) -> float:
    from models.loading import device

    if recipe.model.precision == "nf4":
        packed = count.total - count.stored  # bytes of 4-bit weights, one for two of them
        rest = count.stored - packed - count.trainable
        # Bits a weight for its scale, in float32 or doubly quantised (QLoRA paper, section 3; `unpack_scales`).
        scale = 0.5 if device().type == "cpu" else 0.127
        return (packed * (1 + scale / 4) + rest * 2) / 2**20
    return (count.total - count.trainable) * _bytes_a_value(recipe) / 2**20


def _by_hand(recipe: Recipe) -> bool:
    """Whether the layers are computed by `models/fast/llama.py`, as far as a recipe says."""
    from models.loading import device

    settings = getattr(recipe.strategy, "dropout", 0) or recipe.training.gradient_checkpointing
    return recipe.kind == "causal" and not settings and device().type == "cpu"


def _kept_values(recipe: Recipe, config: Any, longest: int) -> float:
    """Values that are kept for each position and layer until its backward pass, for rows of `longest` tokens.

    By hand: what `models.fast.llama._Layer.forward` returns, and the attention's weights; the allocator held back a
    quarter more in bfloat16. By the modules, as measured: 53 times the width for MiniLM on a processor, and 21 to
    24 on an H100, whose kernels keep no weights of the attention.
    """
    from models.loading import device

    width, heads = int(config.hidden_size), int(config.num_attention_heads)
    if _by_hand(recipe):
        size = int(getattr(config, "head_dim", None) or width // heads)
        seen = int(getattr(config, "num_key_value_heads", None) or heads) * size
        inner = int(getattr(config, "intermediate_size", None) or 4 * width)
        kept = 4 * width + 2 * heads * size + 2 * seen + 4 * inner + heads * longest
        return kept * (1.0 if _bytes_a_value(recipe) == 4 else 1.25)
    return 24.0 * width if device().type != "cpu" else 47.0 * width + 3 * heads * longest


def _bytes_a_value(recipe: Recipe) -> int:
    from models.loading import best_precision

    precision = recipe.model.precision
    if precision in {"auto", "nf4"}:
        precision = best_precision()
    return 4 if precision == "float32" else 2
