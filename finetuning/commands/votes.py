"""python -m finetuning votes"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from finetuning.commands.following import console


def votes(
    on: Annotated[
        str | None, typer.Argument(help="Only votes on this: a run's id, or the name of an adapter that ships.")
    ] = None,
    export: Annotated[
        Path | None, typer.Option(help="Write the pairs of answers that they give to this file (JSON Lines).")
    ] = None,
    thumbs: Annotated[bool, typer.Option("--thumbs", help="Write answers with thumbs, and not pairs.")] = False,
) -> None:
    """Say which side people preferred in Compare who did not know which is which."""
    from finetuning.votes.keeping import votes_on
    from finetuning.votes.lessons import PAIRS, THUMBS
    from finetuning.votes.printing import export_votes, print_votes

    found = votes_on(on)
    print_votes(console, found)
    if export:
        export_votes(console, found, THUMBS if thumbs else PAIRS, export)
