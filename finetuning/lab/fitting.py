"""Whether the runs of a lab fit together, and can be made here: asked before the first of them is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from data.sources import shown_spec
from finetuning.lab.plan import Plan
from finetuning.preparation import open_data
from finetuning.recipe import Recipe, with_overrides
from plumbing.errors import ModelError, RecipeError

if TYPE_CHECKING:
    from data.sources import Opened


def require_fit(plan: Plan) -> None:
    """Refuse a lab whose options would not answer the same test rows, or not be judged by the same.

    Raises:
        RecipeError: with the two options, what differs, and what would do.
    """
    first, *others = plan.cells
    for what, of, remedy in _COMPARED:
        for cell in others:
            one, other = of(first.recipe), of(cell.recipe)
            if one != other:
                raise RecipeError(
                    f"The runs of this lab do not fit together: {first.name} has {what} {_said(one)}, and "
                    f"{cell.name} {_said(other)}",
                    fix=remedy,
                )
    for cell in plan.trained:
        if cell.is_tuned and cell.recipe.training.eval_rows == 0:
            raise RecipeError(
                f"{cell.name}: there is nothing to choose {', '.join(cell.trials[0])} by",
                got="training.eval_rows 0",
                fix="Set training.eval_rows to 1 or more, or give each setting one value.",
            )


def require_bases(plan: Plan) -> None:
    """Refuse a lab whose base models cannot be had here: neither on this machine, nor from the Hub or the mirror.

    Raises:
        ModelError: with those that are missing.
    """
    from models.mirror import PACKAGES
    from models.sources import in_reach
    from plumbing.network import hub_reachable

    asked = [cell.recipe.model.base for cell in plan.cells if cell.untrained is None or cell.untrained.asks_model]
    missing = [base for base in dict.fromkeys(asked) if base not in PACKAGES and in_reach(base) is None]
    if missing and not hub_reachable():
        raise ModelError(
            "This lab needs base models from the Hub, which cannot be reached from here",
            got=", ".join(missing),
            fix="Start it where the Hub can be reached, or name folders that hold them (model.base).",
        )


def open_rows(plan: Plan) -> dict[str, Opened]:
    """Cell → its rows, of which all are there to train on: a mistake in the data is told before any run.

    Raises:
        DataError: they cannot be read.
    """
    known: dict[str, Opened] = {}
    found = {}
    for cell in plan.cells:
        recipe = with_overrides(cell.recipe, {"data.train_rows": None})
        how = repr((recipe.data, recipe.task, recipe.way.besides))
        if how not in known:
            known[how] = open_data(recipe)
        found[cell.key] = known[how]
    return found


def _test_source(recipe: Recipe) -> Any:
    """What decides which rows are judged."""
    data = recipe.data
    if recipe.evaluation.source is not None:
        return shown_spec(recipe.evaluation.source)
    read = {"columns": data.columns, "labels": data.labels, "skip_empty": data.skip_empty or None}
    how = ", ".join(f"{name} {value}" for name, value in read.items() if value is not None)
    spec = shown_spec(data.test or data.source)
    source = spec if data.test is None else f"{spec} beside {shown_spec(data.source)}"
    return f"{source} ({how})" if how else source


_COMPARED: list[tuple[str, Callable[[Recipe], Any], str]] = [
    ("the task", lambda recipe: recipe.task_definition.name, "Give all options one task."),
    ("the metric", lambda recipe: recipe.task_definition.metric, "Give all options one task.metric."),
    ("the instruction", lambda recipe: recipe.task_definition.instruction, "Give all options one task."),
    ("the test rows of", _test_source, "Give all options one source, or say with test: which rows judge all."),
    ("data.test_rows", lambda recipe: recipe.data.test_rows, "Set data.test_rows once, in set: of the lab."),
    (
        "answers of up to",
        lambda recipe: None if recipe.task_definition.is_classification else recipe.evaluation.max_new_tokens,
        "Set evaluation.max_new_tokens once, in set: of the lab.",
    ),
]
"""What has to be the same for all, what it is of a recipe, and what to do."""


def _said(value: Any) -> str:
    return "all" if value is None else str(value)
