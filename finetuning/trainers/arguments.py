"""The `TrainingArguments` that both trainers share, from a recipe."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from finetuning.processes import world_size
from finetuning.recipe import Recipe
from finetuning.sharding import shards
from finetuning.trackers import tracker_arguments
from models.loading import best_precision, device
from plumbing.errors import RecipeError

_SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}
_EVALUATIONS = 10
"""Of a run, at most, where nobody says how often."""
_SHARE_EVALUATED = 0.2
"""Validation rows of all these evaluations together, as a share of the rows that are trained on. A row that is only
read takes a third to a half of the time of one that is learned."""


def shared_arguments(recipe: Recipe, output: str, rows: int) -> dict[str, Any]:
    """Keyword arguments for `TrainingArguments` and its subclasses, for training on `rows` rows."""
    training = recipe.training
    return {
        "output_dir": output,
        "num_train_epochs": training.epochs,
        "max_steps": training.max_steps or -1,
        "per_device_train_batch_size": training.batch_size,  # of all processes together, see `shares`
        "gradient_accumulation_steps": training.gradient_accumulation
        // batches_at_once(training.batch_size, world_size()),
        "learning_rate": training.learning_rate,
        "lr_scheduler_type": _SCHEDULES[training.schedule],
        # Rounded down: rounded up, a run of a single step would be all warm-up, at a learning rate of zero.
        "warmup_steps": int(training.warmup_share * steps(recipe, rows)),
        **({"optim": "paged_adamw_8bit"} if training.optimizer == "paged-adamw-8bit" else {}),
        "weight_decay": training.weight_decay,
        "max_grad_norm": training.max_grad_norm,
        "seed": training.seed,
        "data_seed": training.seed,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # it would show the average of the losses before, and training would go on
        # A crash costs what was learned since the last checkpoint. Two are kept, for one may be torn by that crash.
        # Of a base in shards the library saves none: that of an adapter is whole in each process, see `together`.
        "save_strategy": "no" if shards(recipe, world_size()) > 1 else "steps",
        "save_steps": save_steps(recipe, rows),
        "save_total_limit": 2,
        "disable_tqdm": True,
        "gradient_checkpointing": training.gradient_checkpointing,
        # Of a whole model the weights are float32, and a GPU's fast products are of bfloat16. Elsewhere they are in
        # bfloat16 already, or it is no faster: autocast would only add casts.
        "bf16": recipe.strategy.whole and device().type == "cuda" and best_precision() == "bfloat16",
        "dataloader_pin_memory": False,
        # Never the library's own: `Validation` says when, and `Tuning.evaluate` draws no random number.
        "eval_strategy": "no",
        # Without a word about it accelerate takes each of several processes on a processor for one alone.
        **({"use_cpu": True} if world_size() > 1 and device().type == "cpu" else {}),
        # Of several processes. An expert that no token went to has no gradient, nor has a weight that a model does
        # not use; behind checkpointed layers nobody can tell. Buffers are constants.
        "ddp_find_unused_parameters": not training.gradient_checkpointing,
        "ddp_broadcast_buffers": False,
    } | tracker_arguments(training.report_to, Path(output).parent.name)


def save_steps(recipe: Recipe, rows: int) -> int:
    """Steps between two checkpoints."""
    return max(1, round(steps(recipe, rows) / checkpoints(recipe)))


def checkpoints(recipe: Recipe) -> int:
    """How many a run writes: fewer where the base's own weights learn, for each may be three times the base."""
    return 5 if recipe.strategy.whole else 10


def require_optimizer(recipe: Recipe) -> None:
    """Refuse an optimizer that this machine's device does not have.

    Raises:
        RecipeError: says which one it has.
    """
    if recipe.training.optimizer == "paged-adamw-8bit" and device().type != "cuda":
        raise RecipeError(
            "training.optimizer=paged-adamw-8bit needs a GPU of NVIDIA's, and there is none here",
            got=device().type,
            fix="Set training.optimizer=adamw.",
        )


def batches_at_once(batch_size: int, processes: int) -> int:
    """How many batches of a recipe go through at once, so that each process has a row: 1, unless they are small."""
    return math.ceil(processes / batch_size)


def require_shares(recipe: Recipe, processes: int) -> None:
    """Refuse a recipe whose batches that many processes cannot share so that each has a row.

    Small batches go through together, as many as there are accumulated: a step has the same rows then.

    Raises:
        RecipeError: says what they can.
    """
    shards(recipe, processes)
    if processes == 1:
        return
    if not recipe.way.in_processes:
        raise RecipeError(
            f"way: {recipe.way.kind} runs in one process: its answers are written and learned from by the same one",
            got=f"{processes} processes",
            fix="Leave where out.",
        )
    size, accumulated = recipe.training.batch_size, recipe.training.gradient_accumulation
    most = 1 if recipe.way.compares_rows else accumulated
    if (together := batches_at_once(size, processes)) <= most and accumulated % together == 0:
        return
    fitting = [
        count
        for count in range(2, processes)
        if batches_at_once(size, count) <= most and accumulated % batches_at_once(size, count) == 0
    ]
    rows = f"training.batch_size={size}" + (f" and gradient_accumulation={accumulated}" if accumulated > 1 else "")
    fewer = f"set where=here:{max(fitting)}" if fitting else "leave where out"
    raise RecipeError(
        f"With {rows} a step's rows cannot be shared by {processes} processes so that each has one of every batch",
        fix=f"Set training.batch_size={processes} or more, or {fewer}.",
    )


def steps(recipe: Recipe, rows: int) -> int:
    """Optimizer steps that training on `rows` rows takes."""
    training = recipe.training
    if training.max_steps:
        return training.max_steps
    an_epoch = math.ceil(math.ceil(rows / training.batch_size) / training.gradient_accumulation)
    if sampling := recipe.way.sampling:
        an_epoch *= sampling.passes
    return max(1, math.ceil(an_epoch * training.epochs))


def eval_steps(recipe: Recipe, rows: int, eval_rows: int) -> int:
    """Optimizer steps from one measurement of the validation loss to the next; it is measured after the last, too.

    Args:
        recipe: may say so itself.
        rows: that are trained on.
        eval_rows: that the loss is measured on.
    """
    training = recipe.training
    if training.eval_steps is not None:
        return training.eval_steps
    all_steps = steps(recipe, rows)
    times = _EVALUATIONS
    if training.patience is None:  # who has some wants to know in time
        trained = all_steps * training.batch_size * training.gradient_accumulation
        times = min(times, max(1, int(_SHARE_EVALUATED * trained / max(1, eval_rows))))
    return max(1, math.ceil(all_steps / times))
