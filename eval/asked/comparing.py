"""From what a person asked to a verdict: sides, task, rows, metrics; the prompts told of, and a yes where it costs.

`python -m eval compare`, `pytest eval/ --base … --tuned …` and the page's Evaluate tab are all this.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from eval.asked.besides import besides
from eval.asked.request import Request
from plumbing.errors import RecipeError

if TYPE_CHECKING:
    from datasets import Dataset

    from data.tasks import Task
    from eval.provenance import Progress
    from eval.sides.endpoint import Settings
    from eval.sides.engine import Engine
    from eval.sides.side import About, Asked, Prompted, Side
    from eval.verdict.rows import TestRows
    from eval.verdict.schema import Verdict, VerdictRow

    OnPrompt = Callable[[str, About, Prompted], None]
    """Told a side's key, what it is, and how the first row is asked of it."""
    Check = Callable[[Dataset, Task], None]
    """Refuses rows that are not to be judged here, before one is."""

WHERE_FROM = {
    "contract": "by the prompt that training used",
    "borrowed": "by the prompt that the training of what is compared with it used",
    "template": "by its own chat template",
    "file": "by the prompt of your file",
    "server": "by these messages, which the server renders",
    "bare text": "by the bare text",
}


def compared(
    request: Request,
    *,
    on_progress: Progress | None = None,
    on_fetch: Progress | None = None,
    on_prompt: OnPrompt | None = None,
    agree: Callable[[], None] | None = None,
    servers: Settings | None = None,
    check: Check | None = None,
) -> tuple[Verdict, list[VerdictRow]]:
    """The verdict, and every row with all answers.

    Args:
        request: what is compared.
        on_progress: told what is being done and how far it is.
        on_fetch: told how far it is with what has to be fetched, before anything is asked.
        on_prompt: told how every side is asked, before any is.
        agree: called when all of that was told, before anything is asked; raises where it is not to be.
        servers: how servers are asked, where the options do not say.
        check: looks at all rows that could be judged.

    Raises:
        UserError: something cannot be opened, read or asked; or what `agree` or `check` raises.
    """
    from eval.metrics import open_metric
    from eval.verdict.compare import judge_sides

    request.check()
    asked, judge = request.asked(), request.asked_judge()
    also = besides(judge, request.rubric, request.votes, request.standard, request.standard_folder, servers)
    rows = rows_of(request, asked, check=check)
    also.check(rows.task)
    more = [open_metric(name, rows.task.kind) for name in request.more_metrics]
    engine = _engine(request)
    openers, close = _openers(request, asked, rows, on_fetch, on_prompt, agree, servers, engine)
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
    verdict = verdict.model_copy(update={"notes": [*verdict.notes, *_about_prompts(request, rows.task, verdict)]})
    return also.added(verdict, found, asked, rows.task, on_progress)


def rows_of(request: Request, asked: Sequence[Asked], *, check: Check | None = None) -> TestRows:
    """The rows that are judged, of the task and by the metric that was asked for; `check` as in `compared`.

    Raises:
        UserError: they cannot be read, or the metric does not suit them.
    """
    from data.how_read import HowRead
    from eval.asked.tasks import kind_named, task_named, task_of_sides
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
        check=check,
    )
    if request.instruction is not None:
        rows = dataclasses.replace(rows, task=dataclasses.replace(rows.task, instruction=request.instruction))
    if request.metric is not None:
        try:
            require_primary(request.metric, rows.task.kind)
            open_metric(request.metric, rows.task.kind)
            require_primary(request.metric, rows.task.kind)  # of one of `evaluate`'s more is known now
        except ValueError as error:
            raise RecipeError(f"The verdict cannot be about this metric: {error}", got=request.metric) from None
        rows = with_metric(rows, request.metric)
    return rows


def _about_prompts(request: Request, task: Task, verdict: Verdict) -> list[str]:
    """What a person said of how the sides are asked and some are not asked by, and what nobody said; sentences."""
    said = []
    for what, given, not_by in (
        ("instruction", request.instruction, ("contract", "borrowed", "bare text")),
        ("prompt file", request.prompt, ("contract", "borrowed", "template", "server", "bare text")),
    ):
        said += [
            f"The {what} that was given has no part in what {side.info.key} is asked: it is asked "
            f"{WHERE_FROM[side.prompt.where_from]}."
            for side in verdict.sides
            if given is not None and side.prompt.where_from in not_by
        ]
    alone = any(side.prompt.where_from in ("template", "server") for side in verdict.sides)
    if alone and task.kind == "generation" and not task.instruction:
        said.append("No instruction stands before the rows: what is to be done has to be in them, or one be given.")
    return said


def _engine(request: Request) -> Engine | None:
    """The engine that was asked for; a `UserError` if its address is none."""
    if not request.engine:
        return None
    from eval.sides.engine import Engine
    from eval.sides.engine.shelf import Shelf
    from models.resolved import cache_folder

    return Engine(request.engine, Shelf(cache_folder() / "engine"))


def _openers(
    request: Request,
    asked: Sequence[Asked],
    rows: TestRows,
    on_fetch: Progress | None,
    on_prompt: OnPrompt | None,
    agree: Callable[[], None] | None,
    servers: Settings | None,
    engine: Engine | None,
) -> tuple[list[Callable[[], Side]], Callable[[], None]]:
    """What opens each side, tells how it is asked, and after the last waits for a yes; and what closes them all."""
    from eval.sides.named import open_sides

    opened: list[Side] = []
    told: set[int] = set()
    options: dict[str, Any] = {"progress": on_fetch, "servers": servers, "engine": engine}

    def opener(number: int) -> Callable[[], Side]:
        def opening() -> Side:
            if request.one_by_one:
                (side,) = open_sides(asked, rows.task, only=number, **options)
            else:
                if not opened:  # together, so that those on one base share its weights
                    opened.extend(open_sides(asked, rows.task, **options))
                side = opened[number]
            if number not in told:
                told.add(number)
                if on_prompt is not None:
                    on_prompt(request.keys[number], side.about, side.prompted(rows.inputs[0]))
                if agree is not None and len(told) == len(asked):
                    agree()
            return side

        return opening

    def close() -> None:
        for side in opened:
            side.close()
        if engine is not None:
            engine.close()

    return [opener(number) for number in range(len(asked))], close
