"""python -m finetuning estimate"""

from __future__ import annotations

from typing import TYPE_CHECKING

from finetuning.commands.following import console
from finetuning.commands.options import RecipeName, Set, Source, Where, recipe_of, refuse_of_a_chain, with_place

if TYPE_CHECKING:
    from finetuning.recipe import Recipe


def estimate(recipe: RecipeName, set_: Set = [], data: Source = None, where: Where = None) -> None:  # noqa: B006
    """Say what RECIPE, or each run of a chain, takes: parameters, memory, time, and what is odd in its rows."""
    from finetuning.chains import is_chain, load_chain

    if not is_chain(recipe):
        _print_estimate(recipe_of(recipe, with_place(set_, where), data, None))
        return
    refuse_of_a_chain({"--data": data, "--where": where})
    plan = load_chain(recipe, set_)
    for number, step in enumerate(plan.chain.steps, start=1):
        console.print(f"Step {number} of {len(plan.chain.steps)}, {step.title}:", highlight=False)
        _print_estimate(plan.recipe(step, plan.places))


def _print_estimate(loaded: Recipe) -> None:
    from data.hygiene import inspect
    from finetuning.estimates.estimate import estimate as estimate_recipe
    from finetuning.preparation import open_data, said_of

    opened = open_data(loaded)
    for sentence in said_of(opened, inspect(opened.splits, opened.task).sentences()):
        console.print(sentence, highlight=False, markup=False)
    console.print(estimate_recipe(loaded, splits=opened.splits, task=opened.task).sentence(), highlight=False)
