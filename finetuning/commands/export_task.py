"""python -m finetuning export-task"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from finetuning.commands.evaluate import judged_of
from finetuning.commands.following import console
from finetuning.commands.options import KeepTrained, Mapping, Rows, RunName, Source, adapter_of


def export_task(
    run: RunName,
    folder: Annotated[Path, typer.Argument(help="Folder to write: new, empty, or an earlier export.")],
    data: Source = None,
    set_: Mapping = [],  # noqa: B006
    rows: Rows = None,
    keep_trained_rows: KeepTrained = False,
    name: Annotated[str | None, typer.Option(help="The task's name in lm-eval.")] = None,
) -> None:
    """Write the rows that `evaluate` would judge as a task of lm-evaluation-harness."""
    adapter = adapter_of(run)
    judged = judged_of(adapter, data, set_, rows, keep_trained_rows)
    from eval.report.rows_text import counts
    from finetuning.evaluation import export_adapter_task

    name = export_adapter_task(adapter, judged, folder, name=name)
    console.print(counts(judged.selection, len(judged.rows)), highlight=False)
    console.print(f"Task {name} written to {folder}; {folder / 'README.md'} says how to run it.", highlight=False)
