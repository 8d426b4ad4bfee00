"""python -m finetuning inspect"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from finetuning.commands.following import console
from finetuning.commands.options import Set, TestSource

if TYPE_CHECKING:
    from finetuning.proposal import Proposal
    from finetuning.recipe import Recipe


def inspect(
    file: Annotated[str, typer.Argument(help="A file or folder of rows of your own, or votes:NAME.")],
    set_: Set = [],  # noqa: B006
    test: TestSource = None,
) -> None:
    """Say what FILE is, what could be learned from it, and which recipe suits."""
    from finetuning.proposal import propose
    from finetuning.votes.training import is_votes

    if is_votes(file):
        proposed_of_votes(file, set_, test)
        return
    proposal = propose(file, test=test, settings=set_)
    print_proposal(proposal)
    if proposal.error is not None:
        raise proposal.error
    said = f"To train it: python -m finetuning train {shlex.quote(file)}"
    console.print(said, highlight=False, markup=False, soft_wrap=True)


def proposed_of_votes(name: str, settings: list[str], test: str | None) -> Recipe:
    """What learns from votes, once it has been said."""
    from finetuning.votes.training import from_votes

    recipe, said = from_votes(name, [*settings, *([f"data.test={test}"] if test else [])])
    for sentence in said:
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)
    return recipe


def print_proposal(proposal: Proposal) -> None:
    """What a file is, and what would be trained on it."""
    for sentence in proposal.sentences():
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)
