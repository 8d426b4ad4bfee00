"""The `TrainingArguments` that both trainers share, from a recipe."""

from __future__ import annotations

import math
from typing import Any

from finetuning.recipe import Recipe


def shared_arguments(recipe: Recipe, output: str) -> dict[str, Any]:
    """Keyword arguments for `TrainingArguments` and its subclasses."""
    training = recipe.training
    return {
        "output_dir": output,
        "num_train_epochs": training.epochs,
        "max_steps": training.max_steps or -1,
        "per_device_train_batch_size": training.batch_size,
        "gradient_accumulation_steps": training.gradient_accumulation,
        "learning_rate": training.learning_rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": training.warmup_share,  # below 1: a share of the steps
        "weight_decay": training.weight_decay,
        "max_grad_norm": 1.0,
        "seed": training.seed,
        "data_seed": training.seed,
        "logging_steps": 1,
        "save_strategy": "epoch",
        "save_total_limit": 1,
        "report_to": "none",
        "disable_tqdm": True,
        "gradient_checkpointing": False,  # it trades time for memory, and time is what a CPU lacks
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
