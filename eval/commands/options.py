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
Metric = Annotated[
    str | None,
    typer.Option(
        help="What the verdict is about; left out, the task's own. Of labels accuracy; of answers rouge1, rouge2, "
        "rougeL, rougeLsum, exact_match, token_f1, chrf, number:0.01, regex:PATTERN, json, json-equal, "
        "json-schema:FILE."
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
