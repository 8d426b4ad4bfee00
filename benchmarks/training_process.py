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
    from finetuning.recipe import load_recipe

    recipe = load_recipe(name, [*overrides, f"training.max_steps={steps}"])
    return Prepared(recipe, exact=exact).train(trainer, recipe)


class Prepared:
    """A loaded base model and encoded rows, on which one trainer after the other can be run."""

    def __init__(self, recipe: Recipe, *, exact: bool = False) -> None:
        """
        Args:
            recipe: names the base, its precision and the rows.
            exact: compute in float32.
        """
        from finetuning.preparation import encode_for_causal, open_data
        from models import loading
        from models.prompting import Prompter
        from models.sources import resolve

        self.exact, best = exact, loading.best_precision
        if exact:  # 4-bit weights stay what they are, and all that is computed with them is in float32
            loading.best_precision = lambda: "float32"
        try:
            self.loaded = loading.load(resolve(recipe.model.base), precision=recipe.model.precision)
        finally:
            loading.best_precision = best
        self.weight_mb = loading.weight_bytes(self.loaded.model) / 1e6
        prompter = Prompter(self.loaded.tokenizer, recipe.task_definition)
        self.rows = encode_for_causal(open_data(recipe).splits["train"], prompter, recipe.training.max_tokens)

    def train(self, trainer: str, recipe: Recipe, arguments: dict[str, Any] | None = None) -> Measured:
        """Train a fresh adapter as `recipe` says; the base is then what it was.

        Args:
            trainer: `ours` or `trl`.
            recipe: of the base and the rows that these were prepared for.
            arguments: of `SFTConfig`, in place of those that a recipe comes to.
        """
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        model = recipe.apply_strategy(self.loaded.model)
        try:
            return self._train(trainer, recipe, model, arguments or {})
        finally:
            model.unload()
            vars(self.loaded.model).pop("forward", None)  # with the head that a trainer has put there
            self.loaded.model.activation_checkpointing_disable()

    def _train(self, trainer: str, recipe: Recipe, model: PeftModel, arguments: dict[str, Any]) -> Measured:
        import torch

        flops, clock, rows = product_flops(model), _clock(), self.rows
        trained = {name: value.data for name, value in model.named_parameters() if value.requires_grad}
        with tempfile.TemporaryDirectory() as folder:
            built = build(trainer, recipe, model, self.loaded.tokenizer, rows, folder, [clock], arguments)
            for name, parameter in built.model.named_parameters():
                if self.exact and parameter.requires_grad:  # TRL makes an adapter over 4 bits bfloat16
                    parameter.data = trained[name]
            built.data_collator = noting = NotingCollator(built.data_collator, rows)
            built.train()
        size = built.args.per_device_train_batch_size * built.args.gradient_accumulation_steps
        batches = [noting.rows[start : start + size] for start in range(0, len(clock.ends) * size, size)]
        lengths = [len(ids) for ids in rows["input_ids"]]
        completions = [sum(mask) for mask in rows["completion_mask"]]
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
            weight_mb=self.weight_mb,
            flops=[sum(flops(lengths[row], completions[row]) for row in batch) for batch in batches],
            precision=self.loaded.precision,
        )


def _clock() -> Any:
    """A callback that notes when each step ended, and what it logged."""
    import torch
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        def __init__(self) -> None:
            self.ends: list[float] = []
            self.seen = [0]
            self.losses: list[float] = []

        def on_step_end(self, *_: object, **__: object) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()  # a step has ended when the card has done it, not when it was told to
            self.ends.append(time.perf_counter())

        def on_log(self, *_: object, logs: dict[str, float] | None = None, **__: object) -> None:
            if logs and "loss" in logs:
                self.losses.append(float(logs["loss"]))
                self.seen.append(int(logs["num_tokens"]))

    return Clock()


def build(
    trainer: str,
    recipe: Recipe,
    model: PeftModel,
    tokenizer: Any,
    rows: Any,
    folder: str,
    callbacks: list[Any],
    arguments: dict[str, Any],
) -> Any:
    """The trainer, on the batches of ours: only the step is compared."""
    from trl import SFTConfig, SFTTrainer

    from finetuning.trainers.arguments import shared_arguments
    from finetuning.trainers.causal import CausalTrainer, causal_trainer
    from finetuning.trainers.lengths import LikeLengthBatches

    if trainer == "ours" and not arguments:
        return causal_trainer(recipe, model, tokenizer, rows, folder, callbacks)

    class SameBatches(LikeLengthBatches, SFTTrainer):
        """TRL's trainer on our batches."""

    kind = CausalTrainer if trainer == "ours" else SameBatches
    shared = shared_arguments(recipe, folder, len(rows)) | arguments
    config = SFTConfig(**shared, max_length=None, completion_only_loss=True, packing=False)
    return kind(model=model, args=config, train_dataset=rows, processing_class=tokenizer, callbacks=callbacks)


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
