"""What the buttons of the Learn tab open: a recipe in the form of Train that it belongs to, or another tab.

A button names a target, which anybody may send:

    recipe:NAME                a recipe that ships
    strategy:NAME:STRATEGY     it with another strategy, as the form calls those
    demonstration:NAME         a demonstration that ships
    own                        rows of one's own
    lab:NAME                   a lab that ships
    tab:ID                     another tab
"""

from __future__ import annotations

from finetuning.demonstrations.demonstration import load_demonstration
from finetuning.limits import Limits, check_recipe
from finetuning.recipe import Recipe, load_recipe, with_overrides
from finetuning.strategies import STRATEGIES
from plumbing.errors import RecipeError, UserError
from ui.drawing import text
from ui.server.visitors import Visitor
from ui.tabs.beginning import known_task
from ui.tabs.events import Updates
from ui.tabs.task_form import place_of
from ui.tabs.train_form import WHOLE_RATE, chosen_strategy, kind_of, strategies
from ui.tabs.train_parts import Given
from ui.tabs.train_steps import Train

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


def filled(tab: Train, target: str, given: Given, visitor: Visitor) -> Updates:
    """The form of Train as the recipe of a target fills it; of what is no starting point the rows propose the rest.

    Raises:
        UserError: the target means no recipe.
    """
    if target == OWN:
        return tab.begin_at(text.OWN, given, visitor)
    recipe = recipe_of(target)
    place = place_of(recipe)
    if (task := known_task(place)) is None:
        return tab.begin_at(place, given, visitor, source=recipe.data.source)
    return tab.begin_at(place, given, visitor, source=task.corpus, as_written=recipe)
