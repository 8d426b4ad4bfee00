"""Which layers of a base get a low-rank update, and their shapes, without its weights."""

from __future__ import annotations

import copy

from finetuning.estimates.estimate import base_config
from finetuning.recipe import Recipe
from finetuning.strategies import Lora
from models.adapter_files import linear_layers
from models.building import one_at_a_time
from plumbing.errors import RecipeError


def adapted_layers(recipe: Recipe) -> dict[str, tuple[int, int]]:
    """Name → (inputs, outputs) of each layer that the recipe's adapter acts on, of a language model.

    Raises:
        ModelError: nothing is known of the base model without fetching it.
        RecipeError: the recipe trains no adapter, or names layers that the base has not.
    """
    import torch
    from transformers import AutoModelForCausalLM

    strategy = recipe.strategy
    if not isinstance(strategy, Lora):
        raise RecipeError("This recipe trains no adapter", got=strategy.kind, fix="Set strategy.kind=lora.")
    with one_at_a_time(), torch.device("meta"):
        model = AutoModelForCausalLM.from_config(copy.deepcopy(base_config(recipe.model.base)))
    strategy.require(model, recipe.kind, recipe.model.base)
    targets = strategy.targets(model, recipe.kind)
    return {name: shape for name, shape in linear_layers(model).items() if name.rsplit(".", 1)[-1] in targets}
