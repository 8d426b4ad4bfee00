"""python -m benchmarks.training_process TRAINER RECIPE: trains some steps and prints what it measured, as JSON.

TRAINER is `ours` or `trl`, TRL's `SFTTrainer` as it comes. Rows, batches, prompts, adapter, precision and optimizer
are the recipe's for both.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peft import PeftModel

    from finetuning.recipe import Recipe


@dataclass(frozen=True)
class Measured:
    """What one process saw, step by step; the first steps warm up."""

    losses: list[float]
    tokens: list[int]
    """Tokens of the rows of each step, prompts included and padding left out, as TRL counts `num_tokens`."""
    ends: list[float]
    """When each step ended, in seconds."""
    rows: list[list[int]]
    """Indexes of the rows of each step, in the order of the batch."""
    peak_mb: float
    """The most memory that the process has held (on a GPU: that torch has allocated there)."""
    weight_mb: float = 0.0
    """Of the base model alone."""
    flops: list[float] = dataclasses.field(default_factory=list)
    """Matrix products that each step needs, see `product_flops`."""
    precision: str = ""

    def seconds(self, warm_up: int) -> float:
        """Of the steps after the first `warm_up`."""
        return self.ends[-1] - self.ends[warm_up - 1]

    def tokens_per_s(self, warm_up: int) -> float:
        return sum(self.tokens[warm_up:]) / self.seconds(warm_up)

    def examples_per_s(self, warm_up: int) -> float:
        return sum(len(rows) for rows in self.rows[warm_up:]) / self.seconds(warm_up)

    def gflop_per_s(self, warm_up: int) -> float:
        return sum(self.flops[warm_up:]) / self.seconds(warm_up) / 1e9


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trainer", choices=["ours", "trl"])
    parser.add_argument("recipe")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the recipe")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--exact", action="store_true", help="compute in float32")
    options = parser.parse_args()
    measured = train(options.trainer, options.recipe, options.set, options.steps, exact=options.exact)
    print(json.dumps(dataclasses.asdict(measured)))


def train(trainer: str, name: str, overrides: list[str], steps: int, *, exact: bool) -> Measured:
    """Train `steps` steps of the recipe and return what was measured."""
    import torch
    from transformers import TrainerCallback

    from finetuning.preparation import encode_for_causal, open_data
    from finetuning.recipe import load_recipe
    from finetuning.strategies import add_adapter
    from models import loading
    from models.prompting import Prompter
    from models.sources import resolve

    class Clock(TrainerCallback):
        """Notes when each step ended, and what it logged."""

        def __init__(self) -> None:
            self.ends: list[float] = []
            self.seen = [0]
            self.losses: list[float] = []

        def on_step_end(self, *_: object, **__: object) -> None:
            self.ends.append(time.perf_counter())

        def on_log(self, *_: object, logs: dict[str, float] | None = None, **__: object) -> None:
            if logs and "loss" in logs:
                self.losses.append(float(logs["loss"]))
                self.seen.append(int(logs["num_tokens"]))

    recipe = load_recipe(name, [*overrides, f"training.max_steps={steps}"])
    precision = recipe.model.precision
    if exact:  # 4-bit weights stay what they are, and all that is computed with them is in float32
        loading.best_precision = lambda: "float32"
    loaded = loading.load(resolve(recipe.model.base), precision=precision)
    weight_mb = loading.weight_bytes(loaded.model) / 1e6
    prompter = Prompter(loaded.tokenizer, recipe.task_definition)
    rows = encode_for_causal(open_data(recipe).splits["train"], prompter, recipe.training.max_tokens)
    model = add_adapter(loaded.model, recipe)
    flops = product_flops(model)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        built = build(trainer, recipe, model, loaded.tokenizer, rows, folder, [clock])
        for parameter in built.model.parameters():
            if exact and parameter.requires_grad:  # TRL makes an adapter over 4 bits bfloat16
                parameter.data = parameter.data.float()
        built.data_collator = noting = NotingCollator(built.data_collator, rows)
        built.train()
    size = recipe.training.batch_size * recipe.training.gradient_accumulation
    batches = [noting.rows[start : start + size] for start in range(0, steps * size, size)]
    lengths, completions = [len(ids) for ids in rows["input_ids"]], [sum(mask) for mask in rows["completion_mask"]]
    tokens = [after - before for before, after in zip(clock.seen, clock.seen[1:], strict=False)]
    assert tokens == [sum(lengths[row] for row in batch) for batch in batches], "other rows than were counted"
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    if torch.cuda.is_available():
        peak_mb = torch.cuda.max_memory_allocated() / 1e6
    return Measured(
        losses=clock.losses,
        tokens=tokens,
        ends=clock.ends,
        rows=batches,
        peak_mb=peak_mb,
        weight_mb=weight_mb,
        flops=[sum(flops(lengths[row], completions[row]) for row in batch) for batch in batches],
        precision=loaded.precision,
    )


def build(
    trainer: str, recipe: Recipe, model: PeftModel, tokenizer: Any, rows: Any, folder: str, callbacks: list[Any]
) -> Any:
    """The trainer, on the batches of ours: only the step is compared."""
    from trl import SFTConfig, SFTTrainer

    from finetuning.trainers.arguments import shared_arguments
    from finetuning.trainers.causal import causal_trainer
    from finetuning.trainers.lengths import LikeLengthBatches

    if trainer == "ours":
        return causal_trainer(recipe, model, tokenizer, rows, folder, callbacks)

    class SameBatches(LikeLengthBatches, SFTTrainer):
        """TRL's trainer on our batches."""

    shared = shared_arguments(recipe, folder, len(rows))
    arguments = SFTConfig(**shared, max_length=None, completion_only_loss=True, packing=False)
    return SameBatches(
        model=model, args=arguments, train_dataset=rows, processing_class=tokenizer, callbacks=callbacks
    )


class NotingCollator:
    """The trainer's own collator; notes which rows of the dataset it was given, in order."""

    def __init__(self, collate: Callable[[list[dict[str, Any]]], Any], dataset: Any) -> None:
        self.rows: list[int] = []
        self._collate = collate
        self._index = {tuple(ids): index for index, ids in enumerate(dataset["input_ids"])}

    def __call__(self, examples: list[dict[str, Any]]) -> Any:
        self.rows += [self._index[tuple(example["input_ids"])] for example in examples]
        return self._collate(examples)


def product_flops(model: PeftModel) -> Callable[[int, int], float]:
    """How many operations the matrix products take that training on a row of T tokens, S of them supervised, needs.

    A product of an [m, k] with a [k, n] matrix counts 2·m·k·n. Needed are, for every token of the row,
    - each frozen linear layer [out, in]: 2·in·out forward, and as many backward to its input; it has no gradient;
    - each adapter of rank r: 2·r·(in + out) forward, as many backward to its input, as many to its weights;
    for every pair of a position and one that it sees, T(T+1)/2 of them, in each layer of h heads of d dimensions
    - scores and weighted sum: 4·h·d forward, and twice that backward;
    and for every supervised position the vocabulary projection [V, H]: 2·H·V forward, and as many backward.
    Padding, prompt positions in the projection, and what is computed twice cost time and count nothing. The first
    layer's query, key and value need no backward to their input: that is a quarter of a percent too much.
    """
    import torch
    from peft.tuners.lora import LoraLayer

    base: Any = model.get_base_model()
    head = base.get_output_embeddings()
    frozen = adapters = 0
    for name, module in model.named_modules():
        if isinstance(module, LoraLayer):
            linear: Any = module.get_base_layer()
            adapters += sum(module.r.values()) * (linear.in_features + linear.out_features)
        elif isinstance(module, torch.nn.Linear) and module is not head and ".lora_" not in name:
            frozen += module.in_features * module.out_features
    config: Any = model.config
    width = config.num_attention_heads * config.head_dim * config.num_hidden_layers

    def of_row(tokens: int, supervised: int) -> float:
        pairs = tokens * (tokens + 1) / 2
        projection = 4 * head.in_features * head.out_features * supervised
        return float(tokens * (4 * frozen + 6 * adapters) + 12 * width * pairs + projection)

    return of_row


if __name__ == "__main__":
    main()
