"""python -m finetuning rename"""

from __future__ import annotations

from typing import Annotated

import typer

from finetuning.commands.following import console


def rename(
    run: Annotated[str, typer.Argument(help="A run's id, or `last` for the newest.")],
    name: Annotated[
        str, typer.Argument(help="What it is called from now on; empty for what it was called at first.")
    ],
) -> None:
    """Give a run a name of your own; its id stays."""
    from finetuning.commands.options import run_named

    found = run_named(run)
    found.rename(name)
    console.print(f"{found.id} is called {found.called or found.recipe().title}.", highlight=False, markup=False)
