"""python -m finetuning train"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finetuning.commands.following import console, follow_to_its_end, minutes, print_outcome
from finetuning.commands.inspect import print_proposal, proposed_of_votes
from finetuning.commands.options import (
    RecipeOrFile,
    Set,
    Source,
    TestSource,
    Where,
    recipe_of,
    refuse_of_a_chain,
    with_place,
)
from plumbing.errors import RecipeError

if TYPE_CHECKING:
    from finetuning.recipe import Recipe
    from finetuning.runs.folder import Run


def train(
    recipe: RecipeOrFile,
    set_: Set = [],  # noqa: B006
    data: Source = None,
    test: TestSource = None,
    where: Where = None,
    export: Annotated[Path | None, typer.Option(help="Copy what was tuned and the report to this folder.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Of a file: do not ask, train what is proposed.")] = False,
    anew: Annotated[bool, typer.Option("--anew", help="Of a chain: begin again with its first step.")] = False,
) -> None:
    """Train RECIPE, or what suits a file, compare base with tuned, and print the table.

    A chain is trained step after step; called again, it goes on where it stopped. Of its settings, --set names the
    step first: --set policy.training.max_steps=40.
    """
    from finetuning.chains import is_chain
    from finetuning.export.folder import copy_tuned, require_place
    from finetuning.proposal import is_own_file
    from finetuning.runs import launch
    from finetuning.votes.training import is_votes

    if is_chain(recipe):
        refuse_of_a_chain({"--data": data, "--test": test, "--where": where, "--export": export})
        _train_chain(recipe, set_, anew=anew)
        return
    if export:
        require_place(export)
    set_ = with_place(set_, where)
    is_own = is_votes(recipe) or is_own_file(recipe)
    chosen = _proposed(recipe, set_, data, test) if is_own else recipe_of(recipe, set_, data, test)
    if is_own and not yes and not typer.confirm("Train this?"):
        return
    run = launch.submit(chosen)
    console.print(f"Run [bold]{run.id}[/] in {run.folder}")
    follow_to_its_end(run)
    print_outcome(run)
    if export:
        copy_tuned(run, export)
        console.print(f"What was tuned and the report were copied to {export}")


def _train_chain(name: str, settings: list[str], *, anew: bool) -> None:
    """Every step of a chain after the other; the first that does not finish ends it."""
    from finetuning.chains import begin_anew, load_chain, take_up

    plan = load_chain(name, settings)
    if anew:
        begin_anew(plan.chain)
    runs: dict[str, Run] = {}
    for number, step in enumerate(plan.chain.steps, start=1):
        run, how = take_up(plan, step, {each: done.id for each, done in runs.items()})
        console.print(f"Step {number} of {len(plan.chain.steps)}, {step.title}: run [bold]{run.id}[/] {how}")
        if how != "has finished":
            follow_to_its_end(run)
            print_outcome(run)
        runs[step.name] = run
    seconds = sum(run.status().seconds for run in runs.values())
    console.print(f"The chain has finished: {minutes(seconds)} min in all.", highlight=False)


def _proposed(name: str, settings: list[str], data: str | None, test: str | None) -> Recipe:
    """What suits a file, or votes, once it has been said."""
    from finetuning.proposal import propose
    from finetuning.votes.training import is_votes

    if data is not None:
        raise RecipeError(
            "A file stands where a recipe may, and --data names another", got=data, fix="Leave one of them out."
        )
    if is_votes(name):
        return proposed_of_votes(name, settings, test)
    proposal = propose(name, test=test, settings=settings)
    print_proposal(proposal)
    if proposal.error is not None:
        raise proposal.error
    return proposal.recipe
