"""python -m benchmarks.training: a training step of ours against TRL's `SFTTrainer`, on the same batches.

Each side runs in a process of its own, as a user would start it: TRL in the shell's environment, ours in the
worker's. Rows, batches, adapter and precision are the recipe's. Prints tokens a second, peak memory and the ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time

RECIPES = ("sentiment-smollm2-lora", "dialogue-smollm2-qlora")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", choices=RECIPES, action="append", help="default: both")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--side", choices=["trl", "ours"], help="run one side and print its numbers as JSON")
    options = parser.parse_args()
    if options.side:
        print(json.dumps(measure(options.recipe[0], options.side, options.steps)))
        return
    for recipe in options.recipe or RECIPES:
        trl, ours = (run_side(recipe, side, options.steps) for side in ("trl", "ours"))
        print(f"{recipe}, {options.steps} steps after one to warm up")
        for name, side in (("TRL's SFTTrainer", trl), ("Before/After", ours)):
            speed, memory, loss = side["tokens_per_s"], side["peak_mb"] / 1024, side["loss"]
            print(f"  {name:18} {speed:6.0f} tokens/s   {memory:.1f} GB at most   last loss {loss:.3f}")
        print(f"  ratio              {ours['tokens_per_s'] / trl['tokens_per_s']:6.2f}")


def run_side(recipe: str, side: str, steps: int) -> dict[str, float]:
    """What `measure` finds in a process of its own."""
    from finetuning.launch import worker_environment

    environment = worker_environment() if side == "ours" else dict(os.environ)
    command = [sys.executable, "-m", "benchmarks.training", "--side", side]
    command += ["--recipe", recipe, "--steps", str(steps)]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(name: str, side: str, steps: int) -> dict[str, float]:
    """Train `steps` steps after a first one that is not timed; tokens a second, peak memory, the last loss."""
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from finetuning.preparation import encode_for_causal, open_data
    from finetuning.recipe import load_recipe
    from finetuning.strategies import add_adapter
    from finetuning.trainers.arguments import shared_arguments
    from finetuning.trainers.causal import causal_trainer
    from finetuning.trainers.lengths import LikeLengthBatches
    from models.loading import load
    from models.prompting import Prompter
    from models.sources import resolve

    class Clock(TrainerCallback):  # type: ignore[misc]
        """Notes when each step ended, and what it logged."""

        def __init__(self) -> None:
            self.ends: list[float] = []
            self.tokens: list[float] = []
            self.loss = float("nan")

        def on_step_end(self, *_: object, **__: object) -> None:
            self.ends.append(time.perf_counter())

        def on_log(self, *_: object, logs: dict[str, float] | None = None, **__: object) -> None:
            if logs and "loss" in logs:
                self.loss = float(logs["loss"])
                self.tokens.append(float(logs["num_tokens"]))

    class SameBatches(LikeLengthBatches, SFTTrainer):  # type: ignore[misc]
        """TRL's trainer on our batches: only the step is compared."""

    recipe = load_recipe(name, [f"training.max_steps={steps + 1}"])
    loaded = load(resolve(recipe.model.base), precision=recipe.model.precision)
    prompter = Prompter(loaded.tokenizer, recipe.task_definition)
    rows = encode_for_causal(open_data(recipe).splits["train"], prompter, recipe.training.max_tokens)
    model = add_adapter(loaded.model, recipe)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        if side == "ours":
            trainer = causal_trainer(recipe, model, loaded.tokenizer, rows, folder, [clock])
        else:
            shared = shared_arguments(recipe, folder, len(rows))
            arguments = SFTConfig(**shared, max_length=None, completion_only_loss=True, packing=False)
            trainer = SameBatches(
                model=model,
                args=arguments,
                train_dataset=rows,
                processing_class=loaded.tokenizer,
                callbacks=[clock],
            )
        trainer.train()
    return {
        "tokens_per_s": (clock.tokens[-1] - clock.tokens[0]) / (clock.ends[-1] - clock.ends[0]),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "loss": clock.loss,
    }


if __name__ == "__main__":
    main()
