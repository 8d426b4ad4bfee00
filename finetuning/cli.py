"""The command line: the same calls as the page's tabs.

python -m finetuning train RECIPE · evaluate RUN · chat RUN · runs · cancel RUN · resume RUN · delete RUN ·
estimate RECIPE · recipes

An error that a person can mend is one line on stderr and exit code 2. Nothing heavy is imported before a command
needs it, so `--help` answers at once.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from plumbing.errors import RunError, UserError

if TYPE_CHECKING:
    from eval.report.schema import Report
    from finetuning.judged_rows import JudgedRows
    from finetuning.recipe import Recipe
    from finetuning.runs.folder import Run

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # a token may be among them
    help="Fine-tune a model and see what changed.",
)
console = Console()

Set = Annotated[list[str], typer.Option("--set", help="Change a setting: training.epochs=2. Repeatable.")]
RecipeName = Annotated[str, typer.Argument(help="A shipped recipe's name, or a YAML file.")]
RunName = Annotated[str, typer.Argument(help="A run's id, `last`, or an adapter's folder.")]
Source = Annotated[
    str | None, typer.Option("--data", help="corpus:NAME, file:PATH or hub:OWNER/NAME, or a file's path.")
]
Mapping = Annotated[
    list[str],
    typer.Option(
        "--set", help="How the rows are read: data.columns.text=review, data.labels.1=negative. Repeatable."
    ),
]
Rows = Annotated[
    int | None, typer.Option(min=1, help="Use only this many test rows: a sample, each label in its share.")
]
KeepTrained = Annotated[bool, typer.Option("--keep-trained-rows", help="Judge rows that were trained on, too.")]
TestSource = Annotated[str | None, typer.Option("--test", help="Another source whose rows are the test split.")]


@app.command()
def train(
    recipe: RecipeName,
    set_: Set = [],  # noqa: B006
    data: Source = None,
    test: TestSource = None,
    export: Annotated[Path | None, typer.Option(help="Copy adapter and report to this folder.")] = None,
) -> None:
    """Train RECIPE, compare base with tuned, and print the table."""
    from finetuning.export.adapter import copy_adapter
    from finetuning.runs import launch

    run = launch.submit(_recipe(recipe, set_, data, test))
    console.print(f"Run [bold]{run.id}[/] in {run.folder}")
    try:
        _follow(run)
    except KeyboardInterrupt:
        launch.cancel(run)
        console.print("Stopping after this step. Press Ctrl+C again to leave it to itself.")
        _follow(run)
    _print_outcome(run)
    if export:
        copy_adapter(run, export)
        console.print(f"Adapter and report copied to {export}")


@app.command()
def resume(
    run: Annotated[str, typer.Argument(help="The id of a run that was cancelled, interrupted or failed.")],
    max_minutes: Annotated[float | None, typer.Option(help="Replaces the recipe's training.max_minutes.")] = None,
) -> None:
    """Go on with a run that ended early, from its last whole checkpoint."""
    from finetuning.runs import launch
    from finetuning.runs.folder import open_run

    opened = open_run(run)
    said = str(
        opened.status().facts.get("data", "")
    )  # by an earlier attempt: said again only if it reads otherwise
    launch.resume(opened, max_minutes=max_minutes)
    _follow(opened, said)
    _print_outcome(opened)


@app.command()
def cancel(run: Annotated[str, typer.Argument(help="The id of a run that is queued or being worked on.")]) -> None:
    """Stop a run after the step it is in; what it learned is kept in a checkpoint."""
    from finetuning.runs import launch
    from finetuning.runs.folder import open_run

    opened = open_run(run)
    launch.cancel(opened)
    _follow(opened, _said(opened))
    console.print(f"Run {opened.id} is {opened.status().state}.", highlight=False)


@app.command()
def delete(
    run: Annotated[str, typer.Argument(help="The id of a run that is not being worked on.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Move a run to the trash, which is emptied after a week."""
    from finetuning.runs import launch
    from finetuning.runs.folder import open_run

    opened = open_run(run)
    if not yes and not typer.confirm(f"Delete run {opened.id}?"):
        return
    launch.trash(opened)
    place = opened.folder.parent / launch.TRASH
    console.print(f"Moved to {place}, where it stays for {launch.TRASH_DAYS:g} days.", highlight=False)


@app.command()
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
    out: Annotated[Path | None, typer.Option(help="Folder for report.json, report.md, rows.jsonl.")] = None,
) -> None:
    """Compare base with tuned on any test set; left out, on the run's own.

    Rows that the run was trained on are left out. Columns and labels are read as in the run unless --set says how.
    """
    adapter = _adapter(run)
    judged = _judged(adapter, data, set_, rows, keep_trained_rows)
    from eval.report.folder import save
    from finetuning.evaluation import evaluate_adapter

    with _progress() as bar:
        task = bar.add_task("Opening the models", total=None)
        result = evaluate_adapter(
            adapter,
            judged,
            few_shot=few_shot,
            forgetting=forgetting,
            on_progress=lambda what, done, total: _show(bar, task, what, done, total),
        )
    _print_report(result.report)
    if out:
        save(result.report, result.rows, out)
        console.print(f"Written to {out}")


@app.command("export-task")
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
    adapter = _adapter(run)
    judged = _judged(adapter, data, set_, rows, keep_trained_rows)
    from eval.report.rows_text import counts
    from finetuning.evaluation import export_adapter_task

    name = export_adapter_task(adapter, judged, folder, name=name)
    console.print(counts(judged.selection, len(judged.rows)), highlight=False)
    console.print(f"Task {name} written to {folder}; {folder / 'README.md'} says how to run it.", highlight=False)


@app.command()
def chat(
    run: RunName,
    message: Annotated[str | None, typer.Option("--message", "-m", help="Ask once and leave.")] = None,
    tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 64,
) -> None:
    """Ask both sides the same: base and tuned answer at once."""
    adapter = _adapter(run)
    from finetuning.chat import converse

    converse(adapter, console, message=message, max_new_tokens=tokens)


@app.command()
def runs() -> None:
    """List the runs, newest first."""
    from finetuning.runs.folder import list_runs
    from finetuning.runs.launch import place_in_queue, reconcile

    reconcile()
    table = Table("run", "state", "base → tuned", "training")
    for run in list_runs():
        try:
            status = run.status()
            seconds = f"{status.training_seconds:.0f} s" if status.training_seconds else ""
            before = place_in_queue(run) if status.state == "queued" else 0
            state = f"queued, {before} before it" if before else status.state
            table.add_row(run.id, state, _scores(run), seconds)
        except UserError as error:
            table.add_row(run.id, "[red]damaged[/]", _escape(str(error)), "")
    console.print(table if table.row_count else "There are no runs yet. Start one: python -m finetuning train …")


@app.command()
def recipes() -> None:
    """List the recipes that ship."""
    from finetuning.recipe import load_recipe, recipe_names

    table = Table("recipe", "what it trains", "base model")
    for name in recipe_names():
        recipe = load_recipe(name)
        table.add_row(name, recipe.title, recipe.model.base)
    console.print(table)


@app.command()
def estimate(recipe: RecipeName, set_: Set = [], data: Source = None) -> None:  # noqa: B006
    """Say what RECIPE will take here, parameters, memory, time, and what is odd about its rows."""
    loaded = _recipe(recipe, set_, data, None)
    from data.hygiene import inspect
    from finetuning.estimates.estimate import estimate as estimate_recipe
    from finetuning.preparation import open_data, said_of

    opened = open_data(loaded)
    for sentence in said_of(opened, inspect(opened.splits, opened.task).sentences()):
        console.print(sentence, highlight=False, markup=False)
    console.print(estimate_recipe(loaded, splits=opened.splits, task=opened.task).sentence(), highlight=False)


def main() -> None:
    """Run the command line; a `UserError` becomes one line and exit code 2."""
    from plumbing.proxies import settle_proxies

    _quiet_libraries()
    for sentence in settle_proxies():
        Console(stderr=True).print(f"[yellow]{_escape(sentence)}[/]", highlight=False, soft_wrap=True)
    try:
        app()
    except UserError as error:
        Console(stderr=True).print(f"[red]Error:[/] {_escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(2)


def _recipe(name: str, overrides: list[str], data: str | None, test: str | None) -> Recipe:
    from finetuning.recipe import load_recipe

    sources = [f"data.source={data}"] if data else []
    sources += [f"data.test={test}"] if test else []
    return load_recipe(name, [*overrides, *sources])


def _adapter(name: str) -> Path:
    """The adapter folder that a run's id, `last` or a path stands for."""
    from finetuning.runs.folder import finished_runs, open_run

    if (Path(name) / "adapter_config.json").is_file():
        return Path(name)
    if name == "last":
        newest = next(finished_runs(), None)
        if newest is None:
            raise RunError("No run has finished yet", fix="Train one: python -m finetuning train RECIPE.")
        return newest.tuned
    run = open_run(name)
    if not run.tuned.is_dir():
        raise RunError("This run has no adapter", got=f"state {run.status().state}", fix="Choose a finished run.")
    return run.tuned


def _judged(
    adapter: Path, data: str | None, mapping: list[str], rows: int | None, keep_trained: bool
) -> JudgedRows:
    from finetuning.judged_rows import choose_rows
    from finetuning.recipe import read_mapping

    read = read_mapping(mapping)
    return choose_rows(
        adapter,
        data,
        columns=read.columns,
        labels=read.labels,
        skip_empty=read.skip_empty,
        rows=rows,
        keep_trained=keep_trained,
    )


def _said(run: Run) -> str:
    """What the worker has noted of the run's rows, if it has read them."""
    return str(run.status().facts.get("data", ""))


_LOSSES = (("loss", "loss"), ("eval_loss", "validation"))
"""What of a metric line is shown while a run trains."""


def _follow(run: Run, said: str = "") -> None:
    """Show the run's progress until it has ended, and what there is to say of its rows before it trains on them."""
    from finetuning.runs.launch import wait
    from finetuning.runs.metrics import MetricsReader

    metrics, losses = MetricsReader(run.folder / "metrics.jsonl"), dict[str, str]()
    with _progress() as bar:
        task = bar.add_task("Waiting", total=None)
        for _ in wait(run):
            status = run.status()
            if (about := _said(run)) != said:
                bar.console.print(about, highlight=False, markup=False)
                said = about
            what = status.phase or status.state.capitalize()
            if what == "Fine-tuning":
                for _anew, lines in metrics.new_lines():
                    for line in lines:
                        losses |= {name: f" · {said} {line[name]:.3f}" for name, said in _LOSSES if line.get(name)}
                what += "".join(losses.get(name, "") for name, _ in _LOSSES)
            _show(bar, task, what, status.done, status.total)


def _show(bar: Progress, task: TaskID, what: str, done: int, total: int) -> None:
    bar.update(task, description=what, completed=done, total=total or None)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=not console.is_terminal,
    )


def _print_outcome(run: Run) -> None:
    status = run.status()
    if status.state != "finished" and status.facts.get("loss"):
        console.print(str(status.facts["loss"]), highlight=False, markup=False)
    if status.state == "failed":
        raise RunError(f"The run failed: {(status.error or '').rstrip('.')}", fix=f"The log is {run.log_file}.")
    if status.state != "finished":
        why = f": {status.error.rstrip('.')}" if status.error else ""
        raise RunError(f"The run was {status.state}{why}", fix=f"The log is {run.log_file}.")
    from eval.report.folder import load

    report, _rows = load(run.evaluation)
    _print_report(report)
    for fact in ("continues", "kept"):
        if said := status.facts.get(fact):
            console.print(str(said), highlight=False, markup=False)
    took = f"{status.seconds // 60:.0f}:{status.seconds % 60:02.0f}"
    console.print(
        f"Training {status.training_seconds:.0f} s, in all {took} min. Report: {run.evaluation / 'report.md'}"
    )
    console.print(f"Talk to it: python -m finetuning chat {run.id}")


def _print_report(report: Report) -> None:
    from eval.report.markdown import (
        EXPLORATORY,
        cost,
        explanation,
        few_shot_sentence,
        flips_sentence,
        headline,
        p_value,
        with_interval,
    )
    from eval.report.rows_text import about_the_rows

    console.print(f"[bold]{headline(report)}[/] {explanation(report)}", highlight=False)
    table = Table("metric", "base", "tuned", "difference", "p")
    for metric in report.metrics:
        test = metric.judgement
        table.add_row(
            metric.title if metric.primary else f"{metric.title} (exploratory)",
            with_interval(metric.base, metric.base_interval),
            with_interval(metric.tuned, metric.tuned_interval),
            with_interval(metric.difference, test.interval if test else None, sign="+"),
            p_value(test),
        )
    console.print(table)
    console.print(EXPLORATORY, highlight=False)
    console.print(flips_sentence(report), highlight=False)
    if report.floors or report.few_shot:
        console.print(_what_else_would_score(report))
    for sentence in about_the_rows(report):
        console.print(sentence, highlight=False, markup=False)
    if report.few_shot:
        console.print(few_shot_sentence(report.few_shot, report), highlight=False)
    if report.forgetting:
        console.print(f"What it cost: {cost(report.forgetting)}", highlight=False)


def _what_else_would_score(report: Report) -> Table:
    """The rivals that need no tuning, by the primary metric, with the paired test of tuned against each."""
    from eval.report.markdown import few_shot_title, p_value

    primary = report.primary
    rivals = [(floor.name, floor.scores.get(primary.name), floor.judgement) for floor in report.floors]
    if shown := report.few_shot:
        rivals.append((few_shot_title(shown), shown.scores.get(primary.name), shown.judgement))
    table = Table("what else would score", primary.title, "tuned against it", "p")
    for name, score, test in rivals:
        table.add_row(name, "" if score is None else f"{score:.3f}", test.outcome if test else "", p_value(test))
    return table


def _scores(run: Run) -> str:
    """The primary metric of a run that has been evaluated."""
    if not (run.evaluation / "report.json").is_file():
        return ""
    from eval.report.folder import load

    primary = next(metric for metric in load(run.evaluation)[0].metrics if metric.primary)
    return f"{primary.name} {primary.base:.3f} → {primary.tuned:.3f}"


def _quiet_libraries() -> None:
    """What they log and warn about is ours to mend, not a reader's of the table."""
    warnings.simplefilter("ignore")
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
