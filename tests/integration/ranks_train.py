"""torchrun … ranks_train.py FOLDER: trains by each recipe in FOLDER and writes what this process ended with.

The test does the same alone, by `learn`.
"""

import sys
from pathlib import Path

import torch
from transformers import TrainerCallback

from finetuning.preparation import open_data
from finetuning.processes import rank, world_size
from finetuning.recipe import load_recipe
from finetuning.sharding import shards
from finetuning.trainers.shares import SHARE
from models.loading import load, load_tokenizer
from models.sources import resolve


class Gradients(TrainerCallback):
    """Keeps those of the first two steps, as the optimizer gets them."""

    def __init__(self):
        self.of_first_steps = []

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        if state.global_step < 2:
            found = {name: value.grad.clone() for name, value in model.named_parameters() if value.requires_grad}
            self.of_first_steps.append(found)


def learn(recipe, folder):
    """What each step has logged, what the held rows came to at the end, and what has been learned."""
    opened, source = open_data(recipe), resolve(recipe.model.base)
    way, tokenizer = recipe.way, load_tokenizer(source)
    rows, held = (
        way.encode(opened.splits[split], tokenizer, recipe, opened.task) for split in ("train", "validation")
    )
    parts = shards(recipe, world_size())
    loaded = load(source, kind=recipe.kind, precision=recipe.load_precision, task=opened.task, shards=parts)
    model = recipe.apply_strategy(loaded.model)
    gradients = Gradients()
    callbacks = [gradients]
    if world_size() > 1:
        from finetuning.trainers.together import Together

        callbacks.append(Together())
    trainer = way.trainer(recipe, model, tokenizer, rows, str(folder / "checkpoints"), callbacks, held)
    trainer.prepare(lambda *_: None)
    seen = []
    own = trainer.training_step

    def noting(model, inputs, *given):
        share = inputs.get(SHARE)
        names = [name for name in ("label", "labels", "input_ids") if name in inputs]
        seen.append(len(inputs[names[0]]) if share is None or share.counts else 0)
        return own(model, inputs, *given)

    trainer.training_step = noting
    trainer.train()
    steps = [line for line in trainer.state.log_history if "loss" in line]
    return {
        "rows": len(rows),
        "seen": sum(seen),
        "gradients": gradients.of_first_steps,
        "steps": steps,
        "held": trainer.evaluate(),
        "weights": {name: value.detach() for name, value in model.named_parameters() if value.requires_grad},
    }


def main():
    from finetuning.trainers.together import join

    join()
    folder = Path(sys.argv[1])
    for path in sorted(folder.glob("*.yaml")):
        found = learn(load_recipe(path), folder / path.stem)
        torch.save(found, folder / f"{path.stem}-{rank()}.pt")
        print(f"{path.stem} done", flush=True)


if __name__ == "__main__":
    main()
