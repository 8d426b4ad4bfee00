"""A lab on a public page: within its limits, and its runs in the queue like anybody's."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from finetuning import limits as limiting
from finetuning.lab.folder import ACTIVE, list_labs
from finetuning.lab.plan import Plan
from finetuning.limits import Limits
from finetuning.recipe import Recipe, with_overrides
from finetuning.runs import launch
from finetuning.runs.folder import Run
from plumbing.errors import RecipeError, RunError

if TYPE_CHECKING:
    from data.sources import Opened

_WAIT_S = 2.0


def within(plan: Plan, limits: Limits) -> Plan:
    """`plan` with the minutes and test rows that strangers' runs may have. Reads no data.

    Raises:
        RecipeError: it has too many runs, or one of them is beyond the limits.
    """
    count = len(plan.places())
    if count > limits.lab_places:
        raise RecipeError(
            f"This lab makes {count} runs and passes, and this public page allows {limits.lab_places}",
            fix="Start it on a machine of your own; what it came to where it was measured is shown here.",
        )
    for cell in plan.cells:
        for settings in cell.trials:
            limiting.check_recipe(with_overrides(cell.recipe, settings), limits)
    cells = [cell.model_copy(update={"recipe": limiting.as_submitted(cell.recipe, limits)}) for cell in plan.cells]
    return plan.model_copy(update={"cells": cells})


def require_room(plan: Plan, rows: Mapping[str, Opened], limits: Limits, owner: str) -> None:
    """Refuse a lab whose rows or steps are beyond the limits, or a second one of the same visitor.

    Raises:
        RecipeError: with the number and what is allowed.
        RunError: this owner has a lab that is not over.
    """
    for cell in plan.trained:
        opened = rows[cell.key]
        limiting.check_rows(opened.splits, opened.task, limits, cell.recipe)
    require_no_other(owner)


def require_no_other(owner: str) -> None:
    """Raise a `RunError` where this owner has a lab that is not over."""
    if any(lab.state() in ACTIVE for lab in list_labs(owner=owner)):
        raise RunError("You have a lab that is not over, and each visitor may have one at a time", fix="Cancel it.")


def submit(recipe: Recipe, folder: Path, limits: Limits | None, *, owner: str, check: Callable[[], None]) -> Run:
    """Put a run of a lab into the queue; a stranger's waits until there is room, and `check` may end that."""
    if limits is None:
        return launch.submit(recipe, folder, owner=owner)
    while not limiting.has_room(limits, owner):
        check()
        time.sleep(_WAIT_S)
    limiting.make_room(limits)
    return launch.submit(recipe, folder, owner=owner)


def forget_oldest(limits: Limits) -> None:
    """Remove strangers' labs, the oldest that have ended first, until there are no more than may be kept."""
    theirs = [lab for lab in list_labs() if lab.owner]
    for lab in reversed(theirs[limits.labs - 1 :]):
        if lab.state() not in ACTIVE:
            shutil.rmtree(lab.folder, ignore_errors=True)
