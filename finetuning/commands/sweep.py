"""python -m finetuning sweep LAB: starts a lab or goes on with it, shows how far it is, prints what came out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table

from finetuning.commands.following import console, progress, until_its_end
from plumbing.errors import RecipeError, RunError

if TYPE_CHECKING:
    from eval.lab.schema import LabResult
    from finetuning.lab.folder import LabFolder
    from finetuning.lab.lab import Lab
    from finetuning.lab.plan import Plan


def sweep(
    lab: Annotated[
        str | None, typer.Argument(help="A shipped lab's name, or a YAML file; none: list them.")
    ] = None,
    set_: Annotated[
        list[str], typer.Option("--set", help="A setting of every run: data.test_rows=50. Repeatable.")
    ] = [],  # noqa: B006
    only: Annotated[list[str], typer.Option(help="Some of the options, by name. Repeatable.")] = [],  # noqa: B006
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print its runs and how long they take here.")] = False,
    new: Annotated[bool, typer.Option("--new", help="Start anew, and do not go on with the last one.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Stop it; called again, it goes on.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for NAME.json, NAME.html and NAME.md, too.")] = None,
) -> None:
    """Several options on the same work: train, choose on validation rows, judge all once on the same test rows."""
    from finetuning.lab import launch
    from finetuning.lab.folder import newest_of

    if lab is None:
        _print_labs()
        return
    chosen = _chosen(lab, set_, only)
    plan = launch.planned(chosen)
    found = None if new else newest_of(chosen, plan)
    if cancel:
        _cancel(found)
        return
    if dry_run:
        _print_plan(chosen, plan)
        return
    found = _begun(chosen, plan, found)
    until_its_end(lambda: _follow(found), cancel=lambda: launch.cancel(found))
    _print_outcome(found, out)


def _begun(chosen: Lab, plan: Plan, found: LabFolder | None) -> LabFolder:
    """The lab that is worked on now: a new one, or the last one with the same settings."""
    from finetuning.lab import launch
    from finetuning.lab.folder import ACTIVE, RESUMABLE

    if found is None:
        found = launch.begin(chosen, plan)
        console.print(f"Lab [bold]{found.id}[/] in {found.folder}", highlight=False)
        return found
    launch.settle(found)
    state = found.status().state
    if state in RESUMABLE or (state == "finished" and found.record().failed):
        launch.go_on(found)
        console.print(f"Going on with lab [bold]{found.id}[/]", highlight=False)
    elif state in ACTIVE:
        console.print(f"Lab [bold]{found.id}[/] is being worked on", highlight=False)
    else:
        console.print(f"Lab [bold]{found.id}[/] has finished; --new starts another.", highlight=False)
    return found


def _chosen(name: str, settings: list[str], only: list[str]) -> Lab:
    from finetuning.lab.lab import load_lab, parse_lab

    lab = load_lab(name)
    known = [option.name for option in lab.options]
    if missing := [one for one in only if one not in known]:
        raise RecipeError(
            "There is no such option in this lab", got=missing[0], fix=f"There are {', '.join(known)}."
        )
    values = lab.model_dump(exclude_unset=True)
    values["options"] = [each for each in values["options"] if not only or each["name"] in only]
    # Last, so that they hold whatever an option says.
    for option in values["options"] if settings else ():
        option["set"] = [*option.get("set", []), *settings]
    return parse_lab(values)


def _cancel(found: LabFolder | None) -> None:
    from finetuning.lab import launch

    if found is None:
        raise RunError("There is no such lab to stop", fix="Give the same lab and settings as it was started with.")
    launch.cancel(found)
    for _ in launch.wait(found):
        pass
    console.print(f"Lab {found.id} is {found.status().state}.", highlight=False)


def _print_labs() -> None:
    from finetuning.lab.lab import lab_names, load_lab
    from finetuning.lab.results import stored

    table = Table(Column("lab", no_wrap=True), "what it asks", "measured")
    for name in lab_names():
        measured = stored(name)
        table.add_row(name, load_lab(name).question, f"in {measured.minutes:.0f} min" if measured else "not yet")
    console.print(table)


def _print_plan(lab: Lab, plan: Plan) -> None:
    from finetuning.lab.dry_run import minutes, shares, total
    from finetuning.lab.rows import open_rows

    found = shares(plan, open_rows(plan))
    table = Table("option", "rows", "what is done", "runs", "time here")
    for share in found:
        cell = share.cell
        time = minutes(share.seconds) if share.seconds is not None else "not known"
        rows = f"{cell.rows:,}" if cell.rows else ""
        table.add_row(escape(cell.name), rows, escape(f"{cell.about}: {share.what}"), str(share.runs), time)
    console.print(escape(lab.question), highlight=False)
    console.print(table)
    console.print(f"{total(found)[0].upper()}{total(found)[1:]}.", highlight=False)


def _follow(lab: LabFolder) -> None:
    """Show what the lab does until it has ended."""
    from finetuning.lab.launch import wait

    with progress() as bar:
        task, said = bar.add_task("Waiting", total=None), ""
        for _ in wait(lab):
            status = lab.status()
            if status.phase != said and not console.is_terminal:
                console.print(escape(f"{status.done} of {status.total}: {status.phase}"), highlight=False)
            said = status.phase
            bar.update(task, description=escape(said or status.state), completed=status.done, total=status.total)


def _print_outcome(lab: LabFolder, out: Path | None) -> None:
    from finetuning.lab.folder import HTML_FILE
    from finetuning.lab.results import write

    status = lab.status()
    result = lab.results() if status.state == "finished" else None
    if result is None:
        why = f": {status.error.rstrip('.')}" if status.error else ""
        raise RunError(
            f"The lab was {status.state}{why}", fix=f"Call it again to go on. Its log is {lab.log_file}."
        )
    _print_result(result)
    console.print(f"Report: {lab.folder / HTML_FILE}", highlight=False, soft_wrap=True)
    if out is not None:
        write(result, out, name=result.name)
        console.print(f"Written to {out}", highlight=False)


def _print_result(result: LabResult) -> None:
    from eval.lab import words

    console.print(f"[bold]{escape(words.headline(result))}[/]", highlight=False)
    table = Table(*words.heads(result))
    for option in result.options:
        table.add_row(*map(escape, words.row_of(option, result)))
    console.print(table)
    for sentence in (words.how_chosen(result), words.what_is_tested(result), *result.notes):
        console.print(sentence, highlight=False, markup=False)
