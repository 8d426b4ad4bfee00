"""python -m finetuning inspect"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from finetuning.commands.following import console
from finetuning.commands.options import Set, TestSource

if TYPE_CHECKING:
    from finetuning.proposal import Proposal


def inspect(
    file: Annotated[str, typer.Argument(help="A file or folder of rows of your own.")],
    set_: Set = [],  # noqa: B006
    test: TestSource = None,
) -> None:
    """Say what FILE is, what could be learned from it, and which recipe suits."""
    from finetuning.proposal import propose

    proposal = propose(file, test=test, settings=set_)
    print_proposal(proposal)
    if proposal.error is not None:
        raise proposal.error
    said = f"To train it: python -m finetuning train {shlex.quote(file)}"
    console.print(said, highlight=False, markup=False, soft_wrap=True)


def print_proposal(proposal: Proposal) -> None:
    """What a file is, and what would be trained on it."""
    for sentence in proposal.sentences():
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)
