"""Arguments and options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Set = Annotated[
    list[str],
    typer.Option(
        "--set", help="How the rows are read: data.columns.text=review, data.labels.1=negative. Repeatable."
    ),
]
Json = Annotated[Path | None, typer.Option("--json", help="Write the verdict as JSON.")]
Markdown = Annotated[Path | None, typer.Option("--markdown", help="Write it as Markdown, for a pull request.")]
Html = Annotated[Path | None, typer.Option("--html", help="Write it as one HTML file, with plots.")]
Junit = Annotated[Path | None, typer.Option("--junit", help="Write it as a JUnit file, for CI.")]
Out = Annotated[Path | None, typer.Option("--out", help="Folder for verdict.json, .md, .html, and rows.jsonl.")]
Require = Annotated[
    list[str],
    typer.Option(
        "--require",
        help="Exit with 1 unless so: better: than the base; slices: no slice is worse. Repeatable.",
    ),
]
