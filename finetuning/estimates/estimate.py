"""What a run will take, before it starts: parameters, memory and time. Loads no weights.

Parameters are counted on the `meta` device from the base model's configuration. Memory is weights, gradients,
optimizer state and the activations of the largest batch (`memory`). Time is that of the rows' real lengths at the
speed at which this machine computes layers like the base's (`calibration`, `training_time`), validation loss and
evaluation included.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from finetuning.estimates.calibration import speeds
from finetuning.estimates.evaluation_time import evaluation_seconds
from finetuning.estimates.known_bases import CONFIGS
from finetuning.estimates.memory import memory_mb, weight_mb
from finetuning.estimates.row_lengths import Lengths, lengths_of
from finetuning.estimates.training_time import at_rank, batches_of, training_seconds
from finetuning.launchers.launcher import launcher_of
from finetuning.recipe import Recipe, with_overrides
from finetuning.sharding import shards
from finetuning.strategies.counts import ParameterCount
from models.adapter_files import is_of_head, linear_layers
from models.building import one_at_a_time
from models.context import max_positions
from plumbing.errors import ModelError

if TYPE_CHECKING:
    from datasets import DatasetDict

    from data.tasks import Task

_START_S = 10.0
"""Starting the worker and its libraries, and reading the data; as measured on two slow cores."""
_READ_MB_PER_S = 200.0
"""Of weights that are found, checked and loaded, twice: to train, and to evaluate."""
_UNSURE = 0.25
"""How far the run may be off, either way, as it is shown."""


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
    """Peak of the whole run, in MiB; of one GPU's memory where there are some."""
    loading_s: float
    """Until the first step: libraries, data, the base; and the base again for the evaluation."""
    training_s: float
    evaluation_s: float
    processes: int = 1
    """That carry it out together; of several, what is said of the time is a guess from one."""
    shards: int = 1
    """Parts of the base, of which each of them holds another."""

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
        shared = f" · shared by {self.processes} processes: their time is a guess" if self.processes > 1 else ""
        shared += f", and each holds one of {self.shards} parts of the base" if self.shards > 1 else ""
        return (
            f"{self.trainable:,} of {total} parameters train · about {self.memory_mb / 1024:.1f} GB of memory "
            f"· {_span(self.seconds)} in all ({parts}){shared}"
        )


def _span(seconds: float) -> str:
    """`6 to 10 min`, or in seconds."""
    low, high = seconds * (1 - _UNSURE), seconds * (1 + _UNSURE)
    if high < 120:
        ends, unit = [max(5 * round(end / 5), 5) for end in (low, high)], "s"
    else:
        ends, unit = [max(round(end / 60), 1) for end in (low, high)], "min"
    return f"{ends[0]} to {ends[1]} {unit}" if ends[0] != ends[1] else f"about {ends[0]} {unit}"


def estimate(
    recipe: Recipe, *, splits: DatasetDict | Mapping[str, Any] | None = None, task: Task | None = None
) -> Estimate:
    """Estimate the run of `recipe`.

    Args:
        recipe: what would be run.
        splits: its rows, where they are open already.
        task: that of these rows, whose labels may have come out of them.

    Raises:
        DataError: the rows cannot be read.
        ModelError: nothing is known of the base model without fetching it.
        RecipeError: as `Strategy.require`; or `training.max_tokens` is more than the base reads.
    """
    config = base_config(recipe.model.base).get_text_config()
    from finetuning.preparation import open_data, require_positions

    require_positions(recipe, max_positions(config))
    if splits is None:
        opened = open_data(recipe)
        splits, task = opened.splits, opened.task
    task = task or recipe.task_definition
    count = parameter_count(recipe, labels=len(task.labels))
    train, test = lengths_of(recipe, splits, task)
    machine = at_rank(speeds(recipe, config), recipe, count)
    weights = weight_mb(recipe, count)
    batches, processes = batches_of(recipe, train), launcher_of(recipe.where).processes
    measured = min(recipe.training.eval_rows, len(splits["validation"]))
    skip = recipe.evaluation.skip
    # The base twice, to train and to evaluate; what was tuned, where it is whole; and the language model that a
    # reward model is compared with.
    loads = 1 if skip else 2 + recipe.strategy.whole + (recipe.kind == "reward")
    return Estimate(
        trainable=count.trainable,
        total=count.total,
        stored=count.stored,
        weight_mb=weights,
        memory_mb=_memory_mb(recipe, config, count, train),
        loading_s=_START_S + loads * weights / _READ_MB_PER_S,
        training_s=training_seconds(recipe, config, machine, count, train, batches, measured) / _faster(processes),
        evaluation_s=0.0
        if skip
        else evaluation_seconds(recipe, int(config.num_hidden_layers), machine, train, test),
        processes=processes,
        shards=shards(recipe, processes),
    )


def _faster(processes: int) -> int:
    """How many times as fast so many train: each has a GPU, or its share of the cores that one alone has."""
    from models.loading import device

    return processes if device().type == "cuda" else 1


def _memory_mb(recipe: Recipe, config: Any, count: ParameterCount, train: Lengths) -> float:
    """Of all processes on a processor, of one on a GPU: each holds the base, and its share of a batch."""
    from models.loading import device

    processes = launcher_of(recipe.where).processes
    weights = weight_mb(recipe, count)
    if processes == 1:
        return memory_mb(recipe, config, count, weights, batches_of(recipe, train))
    rows = math.ceil(recipe.training.batch_size / processes)
    weights /= shards(recipe, processes)
    share = with_overrides(recipe, {"training.batch_size": max(rows, 1 + recipe.way.compares_rows)})
    buckets = count.trainable * 4 / 2**20  # gradients once more, as they are sent
    own = memory_mb(share, config, count, weights, batches_of(share, train)) + buckets
    return own if device().type == "cuda" else processes * own


def peak_memory_mb(recipe: Recipe) -> float:
    """The memory that the run of `recipe` takes at its highest, in MiB; as `estimate`, but nothing is measured.

    Raises:
        DataError, ModelError: as `estimate`.
    """
    from finetuning.preparation import open_data

    config = base_config(recipe.model.base).get_text_config()
    opened = open_data(recipe)
    count = parameter_count(recipe, labels=len(opened.task.labels))
    train, _ = lengths_of(recipe, opened.splits, opened.task)
    return _memory_mb(recipe, config, count, train)


def parameter_count(recipe: Recipe, *, labels: int = 0) -> ParameterCount:
    """Count the recipe's parameters on the `meta` device, from the base model's configuration alone.

    Beside an adapter the total holds a new head twice: the original, and the copy that is trained. With nf4 every
    linear layer but the vocabulary projection and a new head is packed two weights to one.

    Args:
        recipe: names base and strategy.
        labels: how many the data has; left out, as many as the task says, or two.
    """
    import torch

    with one_at_a_time(), torch.device("meta"):
        model = _empty_model(recipe, labels or len(recipe.task_definition.labels) or 2)
    strategy = recipe.strategy
    strategy.require(model, recipe.kind, recipe.model.base)
    trainable = sum(map(math.prod, strategy.trained(model, recipe.kind).values()))
    total = sum(parameter.numel() for parameter in model.parameters()) + (0 if strategy.whole else trainable)
    packed = 0
    if recipe.model.precision == "nf4":
        layers = linear_layers(model).items()
        packed = sum(math.prod(shape) for name, shape in layers if recipe.way.writes or not is_of_head(name))
    return ParameterCount(trainable, total, total - packed // 2)


def _empty_model(recipe: Recipe, labels: int) -> Any:
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    config = copy.deepcopy(base_config(recipe.model.base))
    if recipe.kind != "causal":
        config.num_labels = 1 if recipe.kind == "reward" else labels
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

    if base in CONFIGS:
        values = dict(CONFIGS[base])
        return AutoConfig.for_model(values.pop("model_type"), **values)
    if (found := in_reach(base)) is not None:
        return AutoConfig.from_pretrained(found.path, local_files_only=True)
    raise ModelError(
        "Nothing is known about this base model before it is fetched",
        got=base,
        fix="Start a run with it, or give a folder that holds it.",
    )
