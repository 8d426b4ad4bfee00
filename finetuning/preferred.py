"""What a page's Train begins with: the first recipe that its operator prefers and the GPU has memory for.

    BEFORE_AFTER_RECIPES=dialogue-llama2-7b-qlora,dialogue-qwen3-17b-qlora

Where nothing is preferred, or nothing fits, that is the task's own recipe, which runs anywhere.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass

from data.tasks import Task
from finetuning.recipe import Recipe, load_recipe, recipe_names
from plumbing.errors import ModelError, RecipeError

VARIABLE = "BEFORE_AFTER_RECIPES"
KEPT_FREE_MB = 2000.0
"""Of a GPU's memory, for the page's own models."""


@dataclass(frozen=True)
class Beginning:
    """The recipe that a task's form begins with."""

    recipe: Recipe
    reason: str = ""
    """Why this one, in sentences; empty where nobody prefers another."""


def preferred(environment: Mapping[str, str] = os.environ) -> list[Recipe]:
    """The recipes that the operator names, the most wanted first.

    Raises:
        RecipeError: there is no recipe of that name.
    """
    names = [name for part in environment.get(VARIABLE, "").split(",") if (name := part.strip())]
    for name in names:
        if name not in recipe_names():
            raise RecipeError(
                f"${VARIABLE} names no recipe", got=name, fix=f"There are: {', '.join(recipe_names())}."
            )
    return [load_recipe(name) for name in names]


@functools.cache
def beginning_of(task: Task) -> Beginning:
    """What the form of `task` begins with on this machine; found out once a process."""
    own = load_recipe(task.recipe)
    wanted = [recipe for recipe in preferred() if recipe.task == task.name]
    return choose(wanted, own, gpu_memory_mb()) if wanted else Beginning(own)


def choose(wanted: list[Recipe], own: Recipe, memory_mb: float | None) -> Beginning:
    """The first of `wanted` that fits into a GPU's memory, else `own`; and why none before it was taken.

    Args:
        wanted: the most wanted first.
        own: runs anywhere.
        memory_mb: of the GPU, in MiB; None where there is none.
    """
    if memory_mb is None:
        names = " and ".join(_named(recipe) for recipe in wanted)
        return Beginning(own, f"{names} would be trained on a GPU, and this machine has none.")
    from finetuning.estimates.estimate import peak_memory_mb

    said = []
    for recipe in wanted:
        try:
            needed = peak_memory_mb(recipe)
        except ModelError:
            said.append(f"Of {_named(recipe)} nothing is known without fetching it.")
            continue
        if needed + KEPT_FREE_MB <= memory_mb:
            said.append(f"{_named(recipe)} takes about {_gb(needed)} of the {_gb(memory_mb)} that this GPU has.")
            return Beginning(recipe, " ".join(said))
        said.append(
            f"{_named(recipe)} takes about {_gb(needed)}, and this GPU has {_gb(memory_mb)}, of which "
            f"{_gb(KEPT_FREE_MB)} stay free for the page."
        )
    return Beginning(own, " ".join(said))


def gpu_memory_mb() -> float | None:
    """The memory of the GPU that a run would be on, in MiB; None where there is none. Imports torch."""
    from models.loading import device

    if device().type != "cuda":
        return None
    import torch

    return torch.cuda.get_device_properties(0).total_memory / 2**20


def _named(recipe: Recipe) -> str:
    return recipe.model.base.rpartition("/")[2]


def _gb(megabytes: float) -> str:
    return f"{megabytes / 1024:.1f} GB"
