"""python -m finetuning evaluate"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finetuning.commands.following import console, progress, show
from finetuning.commands.options import KeepTrained, Mapping, Rows, RunName, Source, adapter_of

if TYPE_CHECKING:
    from finetuning.judged_rows import JudgedRows


def evaluate(
    run: RunName,
    data: Source = None,
    set_: Mapping = [],  # noqa: B006
    rows: Rows = None,
    keep_trained_rows: KeepTrained = False,
    few_shot: Annotated[
        int, typer.Option(min=0, max=32, help="Also show the base this many examples in its prompt.")
    ] = 0,
    forgetting: Annotated[bool, typer.Option(help="Also measure what tuning cost on general text.")] = False,
    context: Annotated[
        str | None, typer.Option(help="Also show the base this text before every question: a file, or corpus:FILE.")
    ] = None,
    metric: Annotated[
        list[str],
        typer.Option(
            help="Also score by number:1%, regex:PATTERN, json-schema:FILE, or evaluate:NAME. Repeatable."
        ),
    ] = [],  # noqa: B006
    out: Annotated[Path | None, typer.Option(help="Folder for report.json, report.md, rows.jsonl.")] = None,
) -> None:
    """Compare base with tuned on any test set; left out, on the run's own.

    Rows that the run was trained on are left out. Columns and labels are read as in the run unless --set says how.
    """
    adapter = adapter_of(run)
    judged = judged_of(adapter, data, set_, rows, keep_trained_rows)
    from eval.report.folder import save
    from finetuning.besides import besides_of
    from finetuning.evaluation import evaluate_adapter
    from finetuning.printing import print_report

    besides = besides_of(adapter, judged, context=context, metrics=metric)
    with progress() as bar:
        task = bar.add_task("Opening the models", total=None)
        result = evaluate_adapter(
            adapter,
            judged,
            few_shot=few_shot,
            forgetting=forgetting,
            besides=besides,
            on_progress=lambda what, done, total: show(bar, task, what, done, total),
        )
    print_report(console, result.report)
    if out:
        save(result.report, result.rows, out)
        console.print(f"Written to {out}")


def judged_of(
    adapter: Path, data: str | None, mapping: list[str], rows: int | None, keep_trained: bool
) -> JudgedRows:
    """The rows that are judged, by what the options say of them."""
    from data.how_read import HowRead
    from finetuning.judged_rows import choose_rows

    read = HowRead.of(mapping)
    return choose_rows(
        adapter,
        data,
        columns=read.columns,
        labels=read.labels,
        skip_empty=read.skip_empty,
        rows=rows,
        keep_trained=keep_trained,
    )
