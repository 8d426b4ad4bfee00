"""Arguments and options that several commands take, and what the names in them stand for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from plumbing.errors import RecipeError, RunError

if TYPE_CHECKING:
    from finetuning.recipe import Recipe
    from finetuning.runs.folder import Run

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
Where = Annotated[str | None, typer.Option(help="Where it runs: here, or here:N for N processes or GPUs.")]
TestSource = Annotated[str | None, typer.Option("--test", help="Another source whose rows are the test split.")]


def adapter_of(name: str) -> Path:
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


def in_queue(name: str) -> Run:
    """The run or the job of that id."""
    from finetuning.runs.folder import is_job_id, open_run
    from finetuning.runs.jobs import open_job

    return open_job(name) if is_job_id(name) else open_run(name)


def run_named(name: str) -> Run:
    """The run of that id; `last` is the newest, whatever became of it."""
    from finetuning.runs.folder import list_runs, open_run

    if name != "last":
        return open_run(name)
    newest = next(iter(list_runs()), None)
    if newest is None:
        raise RunError("There are no runs yet", fix="Start one: python -m finetuning train RECIPE.")
    return newest


def with_place(settings: list[str], where: str | None) -> list[str]:
    """`settings`, and where it runs, if that was given."""
    return [*settings, f"where={where}"] if where is not None else settings


def recipe_of(name: str, overrides: list[str], data: str | None, test: str | None) -> Recipe:
    """The recipe of that name, with what else was given."""
    from finetuning.recipe import load_recipe

    sources = [f"data.source={data}"] if data else []
    sources += [f"data.test={test}"] if test else []
    return load_recipe(name, [*overrides, *sources])


def refuse_of_a_chain(options: dict[str, object]) -> None:
    """Refuse `options`, by their names, of which a chain has none; None is one that was not given."""
    if given := [name for name, value in options.items() if value is not None]:
        raise RecipeError(
            f"A chain has no {given[0]}: its runs have rows of their own",
            fix="Change a step's: --set supervised.data.source=file:PATH; and export a run.",
        )
