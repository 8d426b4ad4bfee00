"""Whether several processes hold a part of the base each (FSDP2), for one that a GPU has no room for.

transformers shards the base as it loads it and lets an adapter beside it be whole in each process. So an adapter's
checkpoints are those of any run; what other parameters there are it cannot save for a run that is to go on.
"""

from __future__ import annotations

from finetuning.recipe import Recipe
from plumbing.errors import ModelError, RecipeError

_OF_A_GPU = 0.7
"""Of its memory, for the base alone: the rest is for what learning takes."""


def shards(recipe: Recipe, processes: int) -> int:
    """In how many parts so many processes hold the base; 1, where each holds all of it.

    Raises:
        RecipeError: it is to be in parts, and cannot; or has to be, and is to be evaluated as well.
    """
    chosen, problem = recipe.training.shard, _why_whole(recipe)
    if processes == 1:
        if chosen:
            raise RecipeError(
                "training.shard spreads the base over several processes, and there is one",
                fix="Set where=here:N for N GPUs, or leave training.shard out.",
            )
        return 1
    if chosen and problem:
        raise RecipeError(f"training.shard: {problem}", fix="Leave training.shard out.")
    if chosen is not None or problem:
        return processes if chosen else 1
    if not _is_too_large(recipe):
        return 1
    if not recipe.evaluation.skip:
        raise RecipeError(
            "A GPU of this machine has no room for the whole base: it is trained in parts, and an evaluation needs "
            "all of it",
            got=recipe.model.base,
            fix="Set evaluation.skip=true and evaluate it where there is room, or hold the base in 4 bits.",
        )
    return processes


def _why_whole(recipe: Recipe) -> str | None:
    """Why each process has to hold the whole base, in a sentence; None where it has not to."""
    if recipe.strategy.whole:
        return "a base whose own weights learn is not spread over processes here; under an adapter it is"
    if recipe.model.precision == "nf4":
        return "a base in 4 bits is not spread over processes here; one in bfloat16 is (model.precision=bfloat16)"
    if recipe.kind != "causal":
        return f"the base of way: {recipe.way.kind} is not spread over processes here"
    if recipe.training.eval_metric:
        return "training.eval_metric is measured by one process alone, which needs the whole base"
    return None


def _is_too_large(recipe: Recipe) -> bool:
    """Whether a GPU has no room for the base and what learning takes; a processor's memory is everybody's."""
    from models.loading import device

    if device().type != "cuda":
        return False
    import torch

    from finetuning.estimates.estimate import parameter_count
    from finetuning.estimates.memory import weight_mb

    room = torch.cuda.get_device_properties(device()).total_memory / 2**20
    try:
        return weight_mb(recipe, parameter_count(recipe)) > _OF_A_GPU * room
    except ModelError:  # it has to be fetched first: the worker asks again
        return False
