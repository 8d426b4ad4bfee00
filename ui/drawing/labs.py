"""How a lab is drawn: what it compares, how far it is, and what came out, which `eval.lab.document` draws."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from eval.lab import document
from eval.lab.schema import LabResult
from finetuning.lab.dry_run import Share, minutes, total
from finetuning.lab.folder import LabFolder, Record
from finetuning.lab.lab import Lab
from finetuning.lab.plan import Cell, Plan, seed_place, trial_place, written
from plumbing.errors import UserError
from ui.drawing import text
from ui.drawing.markup import Child, Markup, cell, counted, join, progress, table, tag


def about(lab: Lab, plan: Plan | None, measured: LabResult | None) -> Markup:
    """What a shipped lab asks and compares, and what it came to where it was measured."""
    parts: list[Child] = [tag("p", lab.question, class_="ba-said")]
    if measured is not None:
        machine = measured.machine
        said = text.LAB_MEASURED.format(
            processor=machine.get("processor", "?"), cores=machine.get("cores", "?"), minutes=measured.minutes
        )
        parts += [tag("div", said, class_="ba-note"), result(measured)]
    else:
        command = f"python -m finetuning sweep {lab.name}"
        parts += [
            tag("div", text.LAB_NOT_MEASURED.format(command=command), class_="ba-note"),
            _options(plan) if plan else None,
        ]
    return tag("div", *parts, class_="ba-stack")


def result(found: LabResult) -> Markup:
    """What a lab found: its table and plots."""
    return document.body(found, level=3)


def _options(plan: Plan) -> Markup:
    rows = [[each.name, each.about, "" if each.rows is None else f"{each.rows:,}"] for each in plan.cells]
    width = 3 if any(each.rows is not None for each in plan.cells) else 2
    head = ["option", "what is done", "training rows"]
    return table(head[:width], [row[:width] for row in rows], label="Options")


def takes(found: list[Share]) -> Markup:
    """What each option takes on this machine."""
    rows = [
        [
            share.cell.name,
            share.what,
            f"{share.runs}",
            minutes(share.seconds) if share.seconds is not None else "not known",
        ]
        for share in found
    ]
    said = total(found)
    drawn = table(["option", "what is done", "runs", "time here"], rows, label="What the lab takes here")
    return tag("div", tag("div", f"{said[0].upper()}{said[1:]}.", class_="ba-strong"), drawn, class_="ba-stack")


def listing(labs: Sequence[LabFolder]) -> Markup:
    """Labs, newest first; one that cannot be read says so."""
    if not labs:
        return tag("div", text.NO_LABS, class_="ba-empty-chart")
    return table(["lab", "state", "done", "when"], map(_row, labs), class_="ba-table ba-rows", label="Labs")


def _row(lab: LabFolder) -> list[Child]:
    try:
        title, status = lab.lab().title, lab.status()
    except UserError:
        name = tag("button", lab.id, data_lab=lab.id, type="button")
        return [name, tag("span", "damaged", class_="ba-state ba-state-damaged"), "", ""]
    name = tag("button", title, data_lab=lab.id, type="button")
    return [
        join([name, tag("div", lab.id[-20:], class_="ba-small")]),
        _chip(status.state),
        f"{status.done:,} of {status.total:,}",
        time.strftime("%d %b %H:%M", time.localtime(status.created)),
    ]


def _chip(state: str) -> Markup:
    return tag("span", state, class_=f"ba-state ba-state-{state}")


def state_of(lab: LabFolder, shown: Callable[[str], str]) -> Markup:
    """What a lab is doing, how far each of its options is, and what is wrong.

    `shown` makes of a text what its visitor may read.
    """
    status = lab.status()
    doing = "stopping after this step" if lab.cancel_requested() and status.state == "running" else status.phase
    parts: list[Child] = [tag("div", _chip(status.state), "  ", doing, class_="ba-note")]
    if status.state == "running":
        parts.append(progress(counted(doing or "Starting", status.done, status.total), status.done, status.total))
    if status.error:
        parts.append(tag("div", tag("div", shown(status.error), class_="ba-strong"), class_="ba-problems"))
    parts.append(_cells(lab, lab.plan(), lab.record(), shown))
    return tag("div", *parts, class_="ba-stack")


def _cells(lab: LabFolder, plan: Plan, record: Record, shown: Callable[[str], str]) -> Markup:
    rows = [
        [
            each.name if each.rows is None else f"{each.name}, {each.rows:,} rows",
            _tried(each, record),
            f"{sum(lab.measured(seed_place(each, seed)) is not None for seed in each.seeds)} of {len(each.seeds)}",
            cell(shown(record.failed.get(each.key, ""))),
        ]
        for each in (*plan.trained, *plan.untrained)
    ]
    return table(["option", "tried", "judged", ""], rows, label="How far each option is")


def _tried(each: Cell, record: Record) -> str:
    """`2 of 2, learning_rate 0.001 chosen`; nothing where there is nothing to choose."""
    if not each.is_tuned:
        return ""
    begun = sum(trial_place(each, number) in record.runs for number in range(len(each.trials)))
    said = f"{begun} of {len(each.trials)}"
    if each.key in record.chosen:
        chosen = each.trials[record.chosen[each.key]]
        said += f", {written(chosen)} chosen"
    return said
