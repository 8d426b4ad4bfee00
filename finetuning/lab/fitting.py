"""Whether the runs of a lab fit together, by their settings, and can be made here: asked before any of them is.

Whether they are judged on the same rows is asked in `rows`, once these are open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from finetuning.lab.plan import Cell, Plan, written
from finetuning.recipe import Recipe, with_overrides
from models.kinds import answers
from plumbing.errors import ModelError, RecipeError


def require_fit(plan: Plan) -> None:
    """Refuse a lab whose options would not be asked the same, or not be judged by the same.

    Raises:
        RecipeError: with the two options, what differs, and what would do.
    """
    (_, first, recipe), *others = _recipes(plan)
    for what, of, remedy in _COMPARED:
        for _, name, other in others:
            if of(recipe) != of(other):
                raise RecipeError(
                    f"The runs of this lab do not fit together: {first} has {what} {of(recipe)}, and "
                    f"{name} {of(other)}",
                    fix=remedy,
                )
    for cell in plan.trained:
        if cell.is_tuned and cell.recipe.training.eval_rows == 0:
            raise RecipeError(
                f"{cell.name}: there is nothing to choose {', '.join(cell.trials[0])} by",
                got="training.eval_rows 0",
                fix="Set training.eval_rows to 1 or more, or give each setting one value.",
            )


def _recipes(plan: Plan) -> Iterator[tuple[Cell, str, Recipe]]:
    """Every recipe that is run, with every setting that is tried, and what it is called."""
    for cell in plan.cells:
        for settings in cell.trials:
            name = f"{cell.name} ({written(settings)})" if cell.is_tuned else cell.name
            yield cell, name, with_overrides(cell.recipe, settings)


def require_bases(plan: Plan) -> None:
    """Refuse a lab whose base models cannot be had here: neither on this machine, nor from the Hub or the mirror.

    Raises:
        ModelError: with those that are missing.
    """
    from models.mirror import PACKAGES
    from models.sources import in_reach
    from plumbing.network import hub_reachable

    asked = [recipe.model.base for cell, _, recipe in _recipes(plan) if cell.asks_base]
    missing = [base for base in dict.fromkeys(asked) if base not in PACKAGES and in_reach(base) is None]
    if missing and not hub_reachable():
        raise ModelError(
            "This lab needs base models from the Hub, which cannot be reached from here",
            got=", ".join(missing),
            fix="Start it where the Hub can be reached, or name folders that hold them (model.base).",
        )


_COMPARED: list[tuple[str, Callable[[Recipe], Any], str]] = [
    ("the task", lambda recipe: recipe.task_definition.name, "Give all options one task."),
    (
        "a verdict on",
        lambda recipe: "answers" if answers(recipe.kind) else "rewards",
        "Compare reward models with each other, and in another lab what answers.",
    ),
    ("the metric", lambda recipe: recipe.task_definition.metric, "Give all options one task.metric."),
    ("the instruction", lambda recipe: recipe.task_definition.instruction, "Give all options one task."),
    (
        "answers of up to",
        lambda recipe: None if recipe.task_definition.is_classification else recipe.evaluation.max_new_tokens,
        "Set evaluation.max_new_tokens once, in set: of the lab.",
    ),
]
"""What has to be the same for all, what it is of a recipe, and what to do."""
