"""python -m finetuning cancel"""

from __future__ import annotations

from typing import Annotated

import typer

from finetuning.commands.following import console, follow, said_of_rows


def cancel(
    run: Annotated[str, typer.Argument(help="The id of a run or a job that is queued or being worked on.")],
) -> None:
    """Stop a run after the step it is in, what it learned is kept in a checkpoint; a job at once."""
    from finetuning.commands.options import in_queue
    from finetuning.runs import launch

    opened = in_queue(run)
    launch.cancel(opened)
    follow(opened, said_of_rows(opened))
    console.print(f"{opened.id} is {opened.status().state}.", highlight=False)
