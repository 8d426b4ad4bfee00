"""python processes_train.py RECIPE FOLDER: trains by the recipe and writes what this process ended with.

One process of several trains on batches of the recipe's size. One alone trains on twice that, in the order in which
two share them, so that a step sees the same rows.
"""

import json
import os
import sys
from pathlib import Path

from finetuning.preparation import encode_for_causal, open_data
from finetuning.recipe import load_recipe, with_overrides
from finetuning.trainers.causal import causal_trainer
from finetuning.trainers.lengths import LikeLengthSampler
from models.loading import load
from models.prompting import Prompter
from models.sources import resolve


def main():
    import torch

    alone = os.environ.get("WORLD_SIZE", "1") == "1"
    recipe, folder = load_recipe(sys.argv[1]), Path(sys.argv[2])
    size = recipe.training.batch_size
    if alone:
        recipe = with_overrides(recipe, {"training.batch_size": 2 * size})
    loaded = load(resolve(recipe.model.base), precision=recipe.model.precision)
    prompter = Prompter(loaded.tokenizer, recipe.task_definition)
    rows = encode_for_causal(open_data(recipe).splits["train"], prompter, recipe.training.max_tokens)
    model = recipe.apply_strategy(loaded.model)
    trainer = causal_trainer(recipe, model, loaded.tokenizer, rows, str(folder / "checkpoints"), [])
    if alone:
        lengths = [len(ids) for ids in rows["input_ids"]]
        trainer._get_train_sampler = lambda *_: LikeLengthSampler(lengths, size, seed=recipe.training.seed)
    trainer.train()
    state = trainer.accelerator.state
    weights = {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}
    torch.save(weights, folder / f"weights-{state.process_index}.pt")
    logged = [line for line in trainer.state.log_history if "loss" in line]
    facts = {"processes": state.num_processes, "losses": [line["loss"] for line in logged]}
    facts |= {"backend": state.backend, "tokens": [line["num_tokens"] for line in logged]}
    (folder / f"facts-{state.process_index}.json").write_text(json.dumps(facts))


main()
