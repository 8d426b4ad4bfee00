"""python -m finetuning runs"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table

from finetuning.commands.following import console
from plumbing.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from finetuning.runs.folder import Run


def runs(
    run: Annotated[
        list[str] | None, typer.Argument(help="Two or more runs to compare, by their ids; `last` is the newest.")
    ] = None,
) -> None:
    """List the runs, newest first; or compare some: settings that differ, verdicts, and tests between them."""
    from finetuning.runs.launch import reconcile

    reconcile()
    if run:
        _compare(run)
    else:
        _list()


def _list() -> None:
    from finetuning.runs.folder import list_runs
    from finetuning.runs.launch import place_in_queue

    table = Table(Column("run", no_wrap=True), "state", "base → tuned", "training")
    for run in list_runs():
        try:
            status = run.status()
            seconds = f"{status.training_seconds:.0f} s" if status.training_seconds else ""
            before = place_in_queue(run) if status.state == "queued" else 0
            state = f"queued, {before} before it" if before else status.state
            name = f"{escape(run.called)}\n{run.id}" if run.called else run.id
            table.add_row(name, state, _scores(run), seconds)
        except UserError as error:
            table.add_row(run.id, "[red]damaged[/]", escape(str(error)), "")
    console.print(table if table.row_count else "There are no runs yet. Start one: python -m finetuning train …")


def _compare(names: Sequence[str]) -> None:
    from finetuning.commands.options import run_named
    from finetuning.side_by_side import (
        VERDICT_HEAD,
        compare_runs,
        headline,
        pair_head,
        pair_rows,
        rests_on,
        verdict_cells,
    )

    found = compare_runs([run_named(name) for name in names])
    for each in found.runs:
        console.print(f"{each.title}  {each.run.id}", highlight=False, markup=False)
    for group in found.alike:
        console.print(f"\n{headline(group)}", highlight=False, markup=False)
        console.print(rests_on(group), highlight=False, markup=False)
    for note in found.notes:
        console.print(f"\n{note}", highlight=False, markup=False)
    verdicts = ([each.letter, *verdict_cells(each)[1:]] for each in found.runs)
    _print("Verdicts, each against its base", VERDICT_HEAD, verdicts)
    for group in found.alike:
        _print("Between the runs, on the same test rows", pair_head(group), pair_rows(group))
    letters = [each.letter for each in found.runs]
    settings = [[name, *values] for name, values in found.settings]
    _print("Settings that differ", ["setting", *letters], settings)
    if not settings:
        console.print("No setting differs.")


def _print(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    lines = [list(map(escape, row)) for row in rows]
    if lines:
        table = Table(*head, title=title, title_justify="left")
        for line in lines:
            table.add_row(*line)
        console.print(table)


def _scores(run: Run) -> str:
    """The primary metric of a run that has been evaluated."""
    if not (run.evaluation / "report.json").is_file():
        return ""
    from eval.report.folder import load

    primary = load(run.evaluation)[0].primary
    if primary.metric.told is None:
        return escape(f"{primary.title} {primary.base:.3f} → {primary.tuned:.3f}")
    said = primary.metric.said
    return escape(f"{primary.metric.named} {said(primary.base)} → {said(primary.tuned)}")
