"""python -m finetuning chat"""

from __future__ import annotations

from typing import Annotated

import typer

from finetuning.commands.following import console
from finetuning.commands.options import RunName, adapter_of


def chat(
    run: RunName,
    message: Annotated[str | None, typer.Option("--message", "-m", help="Ask once and leave.")] = None,
    tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 64,
) -> None:
    """Ask both sides the same: base and tuned answer at once."""
    adapter = adapter_of(run)
    from finetuning.chat import converse

    converse(adapter, console, message=message, max_new_tokens=tokens)
