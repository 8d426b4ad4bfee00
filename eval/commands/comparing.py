"""From what a person writes to a verdict: sides, task, rows, metrics; the prompts shown, and a yes where it costs.

`python -m eval compare` and `pytest eval/ --base … --tuned …` are both this.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from eval.commands.besides import besides
from eval.commands.request import Request
from plumbing.errors import RecipeError, UserError
from plumbing.terminal import console

if TYPE_CHECKING:
    from data.tasks import Task
    from eval.provenance import Progress
    from eval.sides.side import Asked, Side
    from eval.verdict.rows import TestRows
    from eval.verdict.schema import Verdict, VerdictRow

WHERE_FROM = {
    "contract": "by the prompt that it was tuned with",
    "borrowed": "by the prompt that what is compared with it was tuned with",
    "template": "by its own chat template",
    "file": "by the prompt of your file",
    "server": "by these messages, which the server renders",
    "bare text": "by the bare text",
}


def compared(
    request: Request, *, on_progress: Progress | None = None, show: bool = True
) -> tuple[Verdict, list[VerdictRow]]:
    """The verdict, and every row with all answers.

    Args:
        request: what is compared.
        on_progress: told what is being done and how far it is.
        show: whether the first row's prompt of every side is printed before anything is asked.

    Raises:
        UserError: something cannot be opened, read or asked; or the answer to what it costs was no.
    """
    from eval.metrics import open_metric
    from eval.verdict.compare import judge_sides

    request.check()
    asked, judge = request.asked(), request.asked_judge()
    also = besides(judge, request.rubric, request.votes, request.standard, request.standard_folder)
    rows = rows_of(request, asked)
    also.check(rows.task)
    more = [open_metric(name, rows.task.kind) for name in request.more_metrics]
    openers, close = _openers(request, asked, rows, show=show)
    try:
        verdict, found = judge_sides(
            openers,
            rows,
            more=more,
            max_new_tokens=request.max_new_tokens,
            margin=request.margin,
            at_once=1 if request.one_by_one else len(openers),
            on_progress=on_progress,
        )
    finally:
        close()
    return also.added(verdict, found, asked, rows.task, on_progress)


def rows_of(request: Request, asked: Sequence[Asked]) -> TestRows:
    """The rows that are judged, of the task and by the metric that was asked for.

    Raises:
        UserError: they cannot be read, or the metric does not suit them.
    """
    from data.how_read import HowRead
    from eval.commands.tasks import kind_named, task_named, task_of_sides
    from eval.metrics import open_metric, require_primary
    from eval.verdict.rows import open_rows, with_metric

    read = HowRead.of(request.settings)
    kind = kind_named(request.task)
    task: Task | None = None
    if kind is None:
        task = task_named(request.task) if request.task is not None else task_of_sides(asked[1:])
    rows = open_rows(
        request.data,
        asked,
        task=task,
        kind=kind,
        columns=read.columns,
        labels=read.labels,
        skip_empty=read.skip_empty,
        count=request.rows,
        keep_trained=request.keep_trained,
        slices=request.slices,
    )
    if request.instruction is not None:
        rows = dataclasses.replace(rows, task=dataclasses.replace(rows.task, instruction=request.instruction))
    if request.metric is not None:
        open_metric(request.metric, rows.task.kind)
        try:
            require_primary(request.metric, rows.task.kind)
        except ValueError as error:
            raise RecipeError(f"The verdict cannot be about this metric: {error}", got=request.metric) from None
        rows = with_metric(rows, request.metric)
    return rows


def _openers(
    request: Request, asked: Sequence[Asked], rows: TestRows, *, show: bool
) -> tuple[list[Callable[[], Side]], Callable[[], None]]:
    """What opens each side, shows how it is asked, and after the last asks for a yes; and what closes them all."""
    from eval.sides.named import open_sides

    opened: list[Side] = []
    shown: set[int] = set()

    def opener(number: int) -> Callable[[], Side]:
        def opening() -> Side:
            if request.one_by_one:
                (side,) = open_sides(asked, rows.task, only=number)
            else:
                if not opened:  # together, so that those on one base share its weights
                    opened.extend(open_sides(asked, rows.task))
                side = opened[number]
            if number not in shown:
                shown.add(number)
                if show:
                    _show(request.keys[number], side, rows)
                if len(shown) == len(asked):
                    _ask_what_it_costs(request)
            return side

        return opening

    def close() -> None:
        for side in opened:
            side.close()

    return [opener(number) for number in range(len(asked))], close


def _show(key: str, side: Side, rows: TestRows) -> None:
    from eval.commands.printing import print_prompt

    prompted = side.prompted(rows.inputs[0])
    print_prompt(console, f"{key}: {side.about.name}", WHERE_FROM[prompted.where_from], prompted.example)


def _ask_what_it_costs(request: Request) -> None:
    """A yes, where a price was given for a server and somebody is there to give it.

    Raises:
        UserError: it was no.
    """
    judge = request.asked_judge()
    every = [*request.asked(), *([judge] if judge else [])]
    priced = [each.text for each in every if "price" in each.options]
    if not priced or request.yes or not (sys.stdin.isatty() and console.is_terminal):
        return
    import typer

    if not typer.confirm(f"Asking {', '.join(priced)} costs money. Go on?"):
        raise UserError("Nothing was asked", fix="Add --yes, or leave out --price.")
