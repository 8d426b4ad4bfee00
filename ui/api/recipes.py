"""What a caller asks to be trained: a recipe or a file, and settings on top → a recipe and its rows.

On a page of one's own every setting can be given, as on the command line. On a public one those can that its form
has, and no name of anything that lies on the server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.sources import Opened
from finetuning.recipe import Recipe, load_recipe, recipe_names, with_overrides, with_settings
from models import libraries
from plumbing.errors import DataError, RecipeError
from ui.server.rows import ROWS
from ui.server.visitors import Visitor
from ui.tabs.train_form import FIELDS

STRANGERS = (frozenset(FIELDS) - {"where"}) | {
    "strategy", "training.max_steps", "evaluation.few_shot", "evaluation.forgetting", "task.kind",
    "task.instruction", "task.labels", "data.columns", "data.labels", "data.skip_empty",
}  # fmt: skip
"""The settings that a stranger can give: what the form has, and what makes a run shorter."""
_MAPPINGS = ("data.columns.", "data.labels.")
_FILE = "file:"


def source_for(visitor: Visitor, source: str, file: Mapping[str, Any] | None) -> str | None:
    """The rows that a caller names, as `data.sources` does; None for none.

    Raises:
        UserError: both are named, or it is not for this visitor to name.
    """
    if file is not None and source:
        raise DataError("A file is given and a source is named", got=source[:100], fix="Leave one of them out.")
    if file is not None:  # whose it is was checked with the call
        return f"{_FILE}{file['path']}"
    if not source:
        return None
    visitor.check_source(source)
    if visitor.is_stranger and source.startswith(_FILE):
        raise DataError("This public page opens no file by its path", got=source[:100], fix="Upload it.")
    return source


def asked_for(
    visitor: Visitor, recipe: str, source: str | None, settings: Mapping[str, Any] | None
) -> tuple[Recipe, Opened]:
    """The recipe that a caller asks for, within the limits, and its rows.

    Args:
        visitor: who asks.
        recipe: one that ships, by its name; empty for what suits the rows.
        source: rows in place of the recipe's own.
        settings: changes, by their dotted names.

    Raises:
        UserError: there is no such recipe, settings or rows are wrong, or beyond the limits.
    """
    libraries.ready()
    written = _written(visitor, settings or {})
    made = _named(recipe, source, written) if recipe else _proposed(source, written)
    visitor.check_recipe(made)
    opened = _opened(made)
    visitor.check_rows(opened.splits, opened.task, made)
    return made, opened


def _opened(recipe: Recipe) -> Opened:
    from finetuning.preparation import open_data

    data = recipe.data
    if data.test is not None:
        return open_data(recipe)
    return ROWS.open(
        data.source,
        recipe.task_definition,
        columns=data.columns,
        labels=data.labels,
        skip_empty=data.skip_empty,
        besides=recipe.way.besides,
    )


def kept(recipe: Recipe, visitor: Visitor) -> Recipe:
    """`recipe` with a file that it trains on copied beside the runs: an upload's own place does not last."""
    if not recipe.data.source.startswith(_FILE):
        return recipe
    copy = visitor.keep(Path(recipe.data.source.removeprefix(_FILE)))
    return with_overrides(recipe, {"data.source": f"{_FILE}{copy}"})


def _named(name: str, source: str | None, written: list[str]) -> Recipe:
    if name not in recipe_names():
        raise RecipeError("There is no such recipe", got=name[:100], fix="See list_models.")
    shipped = load_recipe(name)
    if source is not None:
        shipped = with_overrides(shipped, {"data.source": source})
    return with_settings(shipped, written)


def _proposed(source: str | None, written: list[str]) -> Recipe:
    """What suits a file, as the page and the command line propose it."""
    from finetuning.proposal import propose

    if source is None or not source.startswith(_FILE):
        raise RecipeError("Nothing says what to train", fix="Name a recipe of list_models, or give a file.")
    proposal = propose(source, settings=written)
    if proposal.error is not None:
        raise proposal.error
    return proposal.recipe


def _written(visitor: Visitor, settings: Mapping[str, Any]) -> list[str]:
    """Settings as the command line writes them.

    Raises:
        RecipeError: one of them is not for this visitor.
    """
    for name in settings:
        if visitor.is_stranger and name not in STRANGERS and not name.startswith(_MAPPINGS):
            known = ", ".join(sorted(STRANGERS))
            raise RecipeError("This public page has no such setting", got=name[:100], fix=f"There are: {known}.")
    return [f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in settings.items()]
