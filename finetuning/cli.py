"""The command line: the same calls as the page's tabs.

python -m finetuning inspect FILE · train RECIPE · train FILE · evaluate RUN · chat RUN · votes · runs ·
cancel RUN · resume RUN · delete RUN · estimate RECIPE · recipes · sweep LAB

An error that a person can mend is one line on stderr and exit code 2. Nothing heavy is imported before a command
needs it, so `--help` answers at once.
"""

from __future__ import annotations

import logging
import os
import shlex
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from finetuning.lab.command import sweep
from plumbing.errors import RecipeError, RunError, UserError

if TYPE_CHECKING:
    from finetuning.judged_rows import JudgedRows
    from finetuning.proposal import Proposal
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
RecipeName = Annotated[str, typer.Argument(help="A recipe or a chain that ships, or a YAML file of one.")]
RecipeOrFile = Annotated[
    str,
    typer.Argument(
        help="A recipe or a chain that ships, a YAML file of one, a file or folder of rows of your own, or "
        "votes:NAME for the votes on a run or an adapter that ships."
    ),
]
RunName = Annotated[str, typer.Argument(help="A run's id, `last`, or the folder of an adapter or whole model.")]
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
def inspect(
    file: Annotated[str, typer.Argument(help="A file or folder of rows of your own, or votes:NAME.")],
    set_: Set = [],  # noqa: B006
    test: TestSource = None,
) -> None:
    """Say what FILE is, what could be learned from it, and which recipe suits."""
    from finetuning.proposal import propose
    from finetuning.votes.training import is_votes

    if is_votes(file):
        _proposed_of_votes(file, set_, test)
        return

    proposal = propose(file, test=test, settings=set_)
    _print_proposal(proposal)
    if proposal.error is not None:
        raise proposal.error
    said = f"To train it: python -m finetuning train {shlex.quote(file)}"
    console.print(said, highlight=False, markup=False, soft_wrap=True)


@app.command()
def train(
    recipe: RecipeOrFile,
    set_: Set = [],  # noqa: B006
    data: Source = None,
    test: TestSource = None,
    export: Annotated[Path | None, typer.Option(help="Copy what was tuned and the report to this folder.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Of a file: do not ask, train what is proposed.")] = False,
    anew: Annotated[bool, typer.Option("--anew", help="Of a chain: begin again with its first step.")] = False,
) -> None:
    """Train RECIPE, or what suits a file, compare base with tuned, and print the table.

    A chain is trained step after step; called again, it goes on where it stopped. Of its settings, --set names the
    step first: --set policy.training.max_steps=40.
    """
    from finetuning.chains import is_chain
    from finetuning.export.folder import copy_tuned
    from finetuning.proposal import is_own_file
    from finetuning.runs import launch
    from finetuning.votes.training import is_votes

    if is_chain(recipe):
        _refuse_of_a_chain({"--data": data, "--test": test, "--export": export})
        _train_chain(recipe, set_, anew=anew)
        return
    is_own = is_votes(recipe) or is_own_file(recipe)
    chosen = _proposed(recipe, set_, data, test) if is_own else _recipe(recipe, set_, data, test)
    if is_own and not yes and not typer.confirm("Train this?"):
        return
    run = launch.submit(chosen)
    console.print(f"Run [bold]{run.id}[/] in {run.folder}")
    _follow_to_its_end(run)
    _print_outcome(run)
    if export:
        copy_tuned(run, export)
        console.print(f"What was tuned and the report were copied to {export}")


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
    context: Annotated[
        str | None, typer.Option(help="Also show the base this text before every question: a file, or corpus:FILE.")
    ] = None,
    metric: Annotated[
        list[str], typer.Option(help="Also score by evaluate:NAME, one of evaluate's on this machine. Repeatable.")
    ] = [],  # noqa: B006
    out: Annotated[Path | None, typer.Option(help="Folder for report.json, report.md, rows.jsonl.")] = None,
) -> None:
    """Compare base with tuned on any test set; left out, on the run's own.

    Rows that the run was trained on are left out. Columns and labels are read as in the run unless --set says how.
    """
    adapter = _adapter(run)
    judged = _judged(adapter, data, set_, rows, keep_trained_rows)
    from eval.report.folder import save
    from finetuning.besides import besides_of
    from finetuning.evaluation import evaluate_adapter
    from finetuning.printing import print_report

    besides = besides_of(adapter, judged, context=context, metrics=metric)
    with _progress() as bar:
        task = bar.add_task("Opening the models", total=None)
        result = evaluate_adapter(
            adapter,
            judged,
            few_shot=few_shot,
            forgetting=forgetting,
            besides=besides,
            on_progress=lambda what, done, total: _show(bar, task, what, done, total),
        )
    print_report(console, result.report)
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
def votes(
    on: Annotated[
        str | None, typer.Argument(help="Only votes on this: a run's id, or the name of an adapter that ships.")
    ] = None,
    export: Annotated[
        Path | None, typer.Option(help="Write the pairs of answers that they give to this file (JSON Lines).")
    ] = None,
    thumbs: Annotated[bool, typer.Option("--thumbs", help="Write answers with thumbs, and not pairs.")] = False,
) -> None:
    """Say which side people preferred in Compare who did not know which is which."""
    from finetuning.votes.keeping import votes_on
    from finetuning.votes.lessons import PAIRS, THUMBS
    from finetuning.votes.printing import export_votes, print_votes

    found = votes_on(on)
    print_votes(console, found)
    if export:
        export_votes(console, found, THUMBS if thumbs else PAIRS, export)


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
    """List the recipes and the chains that ship."""
    from finetuning.chains import chain_names, load_chain
    from finetuning.recipe import load_recipe, recipe_names

    table = Table("recipe", "what it trains", "base model")
    for name in recipe_names():
        recipe = load_recipe(name)
        table.add_row(name, recipe.title, recipe.model.base)
    for name in chain_names():
        chain = load_chain(name).chain
        table.add_row(name, f"{chain.title}: {', '.join(step.title for step in chain.steps)}", "a chain of runs")
    console.print(table)


@app.command()
def estimate(recipe: RecipeName, set_: Set = [], data: Source = None) -> None:  # noqa: B006
    """Say what RECIPE, or each run of a chain, takes: parameters, memory, time, and what is odd in its rows."""
    from finetuning.chains import is_chain, load_chain

    if not is_chain(recipe):
        _print_estimate(_recipe(recipe, set_, data, None))
        return
    _refuse_of_a_chain({"--data": data})
    plan = load_chain(recipe, set_)
    for number, step in enumerate(plan.chain.steps, start=1):
        console.print(f"Step {number} of {len(plan.chain.steps)}, {step.title}:", highlight=False)
        _print_estimate(plan.recipe(step, plan.places))


def _print_estimate(loaded: Recipe) -> None:
    from data.hygiene import inspect
    from finetuning.estimates.estimate import estimate as estimate_recipe
    from finetuning.preparation import open_data, said_of

    opened = open_data(loaded)
    for sentence in said_of(opened, inspect(opened.splits, opened.task).sentences()):
        console.print(sentence, highlight=False, markup=False)
    console.print(estimate_recipe(loaded, splits=opened.splits, task=opened.task).sentence(), highlight=False)


app.command()(sweep)


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


def _train_chain(name: str, settings: list[str], *, anew: bool) -> None:
    """Every step of a chain after the other; the first that does not finish ends it."""
    from finetuning.chains import begin_anew, load_chain, take_up

    plan = load_chain(name, settings)
    if anew:
        begin_anew(plan.chain)
    runs: dict[str, Run] = {}
    for number, step in enumerate(plan.chain.steps, start=1):
        run, how = take_up(plan, step, {each: done.id for each, done in runs.items()})
        console.print(f"Step {number} of {len(plan.chain.steps)}, {step.title}: run [bold]{run.id}[/] {how}")
        if how != "has finished":
            _follow_to_its_end(run)
            _print_outcome(run)
        runs[step.name] = run
    seconds = sum(run.status().seconds for run in runs.values())
    console.print(f"The chain has finished: {_minutes(seconds)} min in all.", highlight=False)


def _refuse_of_a_chain(options: dict[str, object]) -> None:
    if given := [name for name, value in options.items() if value is not None]:
        raise RecipeError(
            f"A chain has no {given[0]}: its runs have rows of their own",
            fix="Change a step's: --set supervised.data.source=file:PATH; and export a run.",
        )


def _recipe(name: str, overrides: list[str], data: str | None, test: str | None) -> Recipe:
    from finetuning.recipe import load_recipe

    sources = [f"data.source={data}"] if data else []
    sources += [f"data.test={test}"] if test else []
    return load_recipe(name, [*overrides, *sources])


def _proposed(name: str, settings: list[str], data: str | None, test: str | None) -> Recipe:
    """What suits a file, or votes, once it has been said."""
    from finetuning.proposal import propose
    from finetuning.votes.training import is_votes

    if data is not None:
        raise RecipeError(
            "A file stands where a recipe may, and --data names another", got=data, fix="Leave one of them out."
        )
    if is_votes(name):
        return _proposed_of_votes(name, settings, test)
    proposal = propose(name, test=test, settings=settings)
    _print_proposal(proposal)
    if proposal.error is not None:
        raise proposal.error
    return proposal.recipe


def _proposed_of_votes(name: str, settings: list[str], test: str | None) -> Recipe:
    """What learns from votes, once it has been said."""
    from finetuning.votes.training import from_votes

    recipe, said = from_votes(name, [*settings, *([f"data.test={test}"] if test else [])])
    for sentence in said:
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)
    return recipe


def _print_proposal(proposal: Proposal) -> None:
    for sentence in proposal.sentences():
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)


def _adapter(name: str) -> Path:
    """The folder of the adapter or whole model that a run's id, `last` or a path stands for."""
    from finetuning.runs.folder import finished_runs, open_run

    if any((Path(name) / file).is_file() for file in ("adapter_config.json", "base_model.json")):
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


_LOSSES = (("loss", "loss"), ("reward", "reward"), ("eval_loss", "validation"), ("eval_metric", "metric"))
"""What of a metric line is shown while a run trains."""


def _follow_to_its_end(run: Run) -> None:
    """The same as `_follow`; Ctrl+C cancels the run."""
    from finetuning.runs import launch

    try:
        _follow(run)
    except KeyboardInterrupt:
        launch.cancel(run)
        console.print("Stopping after this step. Press Ctrl+C again to leave it to itself.")
        _follow(run)


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
    from finetuning.printing import print_report
    from models.kinds import answers

    if run.recipe().evaluation.skip:
        console.print(f"Trained, and not evaluated (evaluation.skip): python -m finetuning evaluate {run.id}")
        return
    report, _rows = load(run.evaluation)
    print_report(console, report)
    for fact in ("continues", "kept"):
        if said := status.facts.get(fact):
            console.print(str(said), highlight=False, markup=False)
    took = _minutes(status.seconds)
    console.print(
        f"Training {status.training_seconds:.0f} s, in all {took} min. Report: {run.evaluation / 'report.md'}"
    )
    if answers(report.kind):
        console.print(f"Talk to it: python -m finetuning chat {run.id}")


def _minutes(seconds: float) -> str:
    return f"{seconds // 60:.0f}:{seconds % 60:02.0f}"


def _scores(run: Run) -> str:
    """The primary metric of a run that has been evaluated."""
    if not (run.evaluation / "report.json").is_file():
        return ""
    from eval.report.folder import load

    primary = load(run.evaluation)[0].primary
    if primary.metric.told is None:
        return _escape(f"{primary.title} {primary.base:.3f} → {primary.tuned:.3f}")
    said = primary.metric.said
    return _escape(f"{primary.metric.named} {said(primary.base)} → {said(primary.tuned)}")


def _quiet_libraries() -> None:
    """What they log and warn about is ours to mend, not a reader's of the table."""
    warnings.simplefilter("ignore")
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
