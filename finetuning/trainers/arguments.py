"""The `TrainingArguments` that both trainers share, from a recipe."""

from __future__ import annotations

import math
from typing import Any

from finetuning.recipe import Recipe


def shared_arguments(recipe: Recipe, output: str, rows: int) -> dict[str, Any]:
    """Keyword arguments for `TrainingArguments` and its subclasses, for training on `rows` rows."""
    training = recipe.training
    return {
        "output_dir": output,
        "num_train_epochs": training.epochs,
        "max_steps": training.max_steps or -1,
        "per_device_train_batch_size": training.batch_size,
        "gradient_accumulation_steps": training.gradient_accumulation,
        "learning_rate": training.learning_rate,
        "lr_scheduler_type": "linear",
        # Rounded down: rounded up, a run of a single step would be all warm-up, at a learning rate of zero.
        "warmup_steps": int(training.warmup_share * steps(recipe, rows)),
        "weight_decay": training.weight_decay,
        "max_grad_norm": 1.0,
        "seed": training.seed,
        "data_seed": training.seed,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # it would show the average of the losses before, and training would go on
        # Ten checkpoints a run: a crash costs a tenth of it. Two are kept, for one may be torn by that crash.
        "save_strategy": "steps",
        "save_steps": max(1, round(steps(recipe, rows) / 10)),
        "save_total_limit": 2,
        "report_to": "none",
        "disable_tqdm": True,
        "gradient_checkpointing": training.gradient_checkpointing,
        "bf16": False,  # the weights are in bfloat16 already: autocast would only add casts
        "dataloader_pin_memory": False,
    }


def steps(recipe: Recipe, rows: int) -> int:
    """Optimizer steps that training on `rows` rows takes."""
    training = recipe.training
    if training.max_steps:
        return training.max_steps
    an_epoch = math.ceil(math.ceil(rows / training.batch_size) / training.gradient_accumulation)
    return max(1, math.ceil(an_epoch * training.epochs))
