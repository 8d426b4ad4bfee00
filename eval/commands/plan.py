"""python -m eval plan"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plumbing.errors import UserError
from plumbing.terminal import console


def plan(
    difference: Annotated[
        float | None,
        typer.Option(help="The smallest difference that is worth finding, in the metric's units: 0.03."),
    ] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Instead: what so many rows find.")] = None,
    seen: Annotated[
        Path | None,
        typer.Option(
            help="How often the sides disagree, from an earlier verdict.json, report.json or rows.jsonl, or the "
            "folder that compare --out wrote."
        ),
    ] = None,
    discordance: Annotated[
        float | None, typer.Option(help="Or as you expect it: the share of rows that one side alone has right.")
    ] = None,
    alpha: Annotated[float, typer.Option(help="Up to which a p-value is a difference.")] = 0.05,
    comparisons: Annotated[
        int, typer.Option(min=1, help="Pairs of sides that are judged together: three sides are three pairs.")
    ] = 1,
) -> None:
    """Say how many test rows find a difference in 80 % of test sets, or what so many rows find."""
    if (difference is None) == (rows is None):
        raise UserError(
            "Say either what is to be found or how many rows there are", fix="--difference 0.03 or --rows N."
        )
    if seen is not None and discordance is not None:
        raise UserError("How often the sides disagree is given twice", fix="Leave out --seen or --discordance.")
    from eval.verdict.folder import VERDICT_FILE
    from eval.verdict.plan import assumed, plan_difference, plan_rows, seen_in

    if seen is not None and seen.is_dir():
        seen = seen / VERDICT_FILE
    spread = assumed(discordance) if seen is None else seen_in(seen)
    if difference is not None:
        found = plan_rows(difference, spread, alpha=alpha, comparisons=comparisons)
    else:
        assert rows is not None
        found = plan_difference(rows, spread, alpha=alpha, comparisons=comparisons)
    for sentence in (found.sentence, spread.sentence, *found.notes):
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)
