"""python -m finetuning delete"""

from __future__ import annotations

from typing import Annotated

import typer

from finetuning.commands.following import console


def delete(
    run: Annotated[str, typer.Argument(help="The id of a run or a job that is not being worked on.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Move a run or a job to the trash, which is emptied after a week."""
    from finetuning.commands.options import in_queue
    from finetuning.runs import launch

    opened = in_queue(run)
    if not yes and not typer.confirm(f"Delete {opened.id}?"):
        return
    launch.trash(opened)
    place = opened.folder.parent / launch.TRASH
    console.print(f"Moved to {place}, where it stays for {launch.TRASH_DAYS:g} days.", highlight=False)
