"""python -m finetuning runs"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Column, Table

from finetuning.commands.following import console
from plumbing.errors import UserError

if TYPE_CHECKING:
    from finetuning.runs.folder import Run


def runs() -> None:
    """List the runs, newest first."""
    from finetuning.runs.folder import list_runs
    from finetuning.runs.launch import place_in_queue, reconcile

    reconcile()
    table = Table(Column("run", no_wrap=True), "state", "base → tuned", "training")
    for run in list_runs():
        try:
            status = run.status()
            seconds = f"{status.training_seconds:.0f} s" if status.training_seconds else ""
            before = place_in_queue(run) if status.state == "queued" else 0
            state = f"queued, {before} before it" if before else status.state
            table.add_row(run.id, state, _scores(run), seconds)
        except UserError as error:
            table.add_row(run.id, "[red]damaged[/]", escape(str(error)), "")
    console.print(table if table.row_count else "There are no runs yet. Start one: python -m finetuning train …")


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
