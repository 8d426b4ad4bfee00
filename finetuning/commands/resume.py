"""python -m finetuning resume"""

from __future__ import annotations

from typing import Annotated

import typer

from finetuning.commands.following import follow, print_outcome, said_of_rows
from finetuning.commands.options import Where


def resume(
    run: Annotated[str, typer.Argument(help="The id of a run that was cancelled, interrupted or failed.")],
    where: Where = None,
    max_minutes: Annotated[float | None, typer.Option(help="Replaces the recipe's training.max_minutes.")] = None,
) -> None:
    """Go on with a run that ended early, from its last whole checkpoint."""
    from finetuning.runs import launch
    from finetuning.runs.folder import open_run

    opened = open_run(run)
    said = said_of_rows(opened)  # by an earlier attempt: said again only if it reads otherwise
    launch.resume(opened, max_minutes=max_minutes, where=where)
    follow(opened, said)
    print_outcome(opened)
