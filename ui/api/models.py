"""What there is to compare, to evaluate and to train."""

from __future__ import annotations

from typing import Any

import gradio as gr

from finetuning.recipe import Recipe, load_recipe, recipe_names
from ui.server.choices import Choice, all_choices
from ui.server.visitors import Visitor, visitor_of


def list_models(request: gr.Request, task: str = "") -> dict[str, Any]:
    """Tuned models to compare and to evaluate (what ships, and your own runs), and recipes to train by.

    Args:
        task: only what is for the task of this name, such as sentiment; empty for all.

    Returns:
        models, the newest run first, each with the name that other endpoints take; recipes.
    """
    visitor = visitor_of(request)
    models = [_model(choice, visitor) for choice in all_choices(visitor)]
    recipes = [_recipe(recipe) for recipe in recipes_for(visitor)]
    return {
        "models": [each for each in models if task in ("", each["task"])],
        "recipes": [each for each in recipes if task in ("", each["task"])],
    }


def recipes_for(visitor: Visitor) -> list[Recipe]:
    """The recipes that ship and whose base this visitor may train."""
    found = [load_recipe(name) for name in recipe_names()]
    return [recipe for recipe in found if visitor.limits is None or recipe.model.base in visitor.limits.base_models]


def _model(choice: Choice, visitor: Visitor) -> dict[str, Any]:
    return {
        "model": choice.key,
        "title": choice.label,
        "task": choice.task.name,
        "kind": choice.task.kind,
        "labels": list(choice.task.labels),
        "base": visitor.shown(choice.base),
        "compares": choice.kind != "reward",
    }


def _recipe(recipe: Recipe) -> dict[str, Any]:
    return {
        "recipe": recipe.name,
        "title": recipe.title,
        "task": recipe.task_definition.name,
        "base": recipe.model.base,
        "way": recipe.way.kind,
        "strategy": recipe.strategy_title,
    }
