"""What the buttons of the Learn tab open: a recipe in the form of Train that it belongs to, or another tab.

A button names a target, which anybody may send:

    recipe:NAME                a recipe that ships
    strategy:NAME:STRATEGY     it with another strategy, as the form calls those
    demonstration:NAME         a demonstration that ships
    own                        the form for rows of one's own
    lab:NAME                   a lab that ships
    tab:ID                     another tab
"""

from __future__ import annotations

from typing import Any

from finetuning.demonstrations.demonstration import load_demonstration
from finetuning.limits import Limits, check_recipe
from finetuning.recipe import Recipe, load_recipe, with_overrides
from finetuning.strategies import STRATEGIES
from plumbing.errors import RecipeError, UserError
from ui.tabs import sizes
from ui.tabs.beginning import known_task
from ui.tabs.data_form import visible_parts
from ui.tabs.events import Updates
from ui.tabs.train_form import WHOLE_RATE, chosen_strategy, kind_of, strategies
from ui.tabs.train_steps import TrainTask

OWN, TAB, LAB = "own", "tab", "lab"


def recipe_of(target: str) -> Recipe:
    """The recipe that a target means.

    Raises:
        UserError: it means none.
    """
    kind, _, name = target.partition(":")
    if kind == "recipe":
        return load_recipe(_shipped(name))
    if kind == "demonstration":
        return load_demonstration(name).as_recipe()
    if kind == "strategy":
        name, _, strategy = name.partition(":")
        return with_strategy(load_recipe(_shipped(name)), strategy)
    raise UserError("This opens nothing", got=target[:100])


def _shipped(name: str) -> str:
    """A name, and never a path."""
    if "/" in name or "." in name:
        raise RecipeError("There is no such recipe", got=name[:100])
    return name


def with_strategy(recipe: Recipe, strategy: str) -> Recipe:
    """`recipe` with another strategy, by its name in the form, at the rate that is usual for it."""
    if strategy not in {name for _, name in strategies()}:
        raise RecipeError("There is no such strategy", got=strategy[:100])
    settings: dict[str, object] = {"model.precision": "auto"} if recipe.model.precision == "nf4" else {}
    settings |= chosen_strategy(strategy)  # which says where the base is in 4 bits
    if STRATEGIES[kind_of(strategy)].whole and not recipe.strategy.whole:
        settings["training.learning_rate"] = recipe.training.learning_rate * WHOLE_RATE
    return with_overrides(recipe, settings)


def may(recipe: Recipe, limits: Limits | None) -> bool:
    """Whether a visitor with such limits can train it. How large a whole model is, the libraries have to say."""
    if limits is None:
        return True
    try:
        check_recipe(recipe, limits)
    except RecipeError:
        return False
    return True


def filled(tab: TrainTask, target: str) -> Updates:
    """The form of Train as the recipe of a target fills it; of what has no form of its own, the rows alone.

    Those propose the rest, see `train.begin_anew`.
    """
    recipe = recipe_of(target)
    task = known_task(tab.name)
    kind = task.corpus if task else recipe.data.source
    updates: Updates = {tab.data.kind: kind} | dict(zip(tab.data.parts, visible_parts(kind), strict=True))
    if task is None:
        return updates
    as_written = {tab.form.recipe: recipe.name, tab.form.size: sizes.AS_SET}
    return updates | tab.form.filled(recipe) | as_written


def outputs(tab: TrainTask) -> list[Any]:
    """The outputs of `filled`."""
    own = [] if known_task(tab.name) is None else [*tab.form.inputs, tab.form.size]
    return [tab.data.kind, *tab.data.parts, *own]
