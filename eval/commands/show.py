"""python -m eval show"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eval.commands.options import Html, Json, Junit, Markdown, Require
from eval.commands.output import Output


def show(
    path: Annotated[Path, typer.Argument(help="A folder that compare --out wrote, or a verdict.json.")],
    json: Json = None,
    markdown: Markdown = None,
    html: Html = None,
    junit: Junit = None,
    require: Require = [],  # noqa: B006
) -> None:
    """Say a verdict again that was measured before, or write it in another form. Exits as compare did."""
    output = Output(json, markdown, html, junit, require=require)
    output.check()
    from eval.verdict.folder import load

    verdict, rows = load(path)
    output.give(verdict, rows)
    output.end(verdict)
