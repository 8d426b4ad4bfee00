"""From what a person writes to a verdict: sides, task, rows, metrics; the prompts shown, and a yes where it costs.

`python -m eval compare` and `pytest eval/ --base … --tuned …` are both this.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from plumbing.errors import RecipeError, UserError
from plumbing.terminal import console

if TYPE_CHECKING:
    from data.tasks import Task
    from eval.provenance import Progress
    from eval.sides.side import Asked, Side
    from eval.verdict.rows import TestRows
    from eval.verdict.schema import Verdict, VerdictRow

MAX_NEW_TOKENS = 64
WHERE_FROM = {
    "contract": "by the prompt that it was tuned with",
    "template": "by its own chat template",
    "file": "by the prompt of your file",
    "server": "by these messages, which the server renders",
    "bare text": "by the bare text",
}


@dataclass(frozen=True)
class Request:
    """What a person asked to be compared."""

    base: str
    tuned: Sequence[str]
    data: str | None
    task: str | None = None
    settings: Sequence[str] = ()
    """How the rows are read, see `data.how_read`."""
    metric: str | None = None
    more_metrics: Sequence[str] = ()
    instruction: str | None = None
    prompt: Path | None = None
    options: Sequence[str] = ()
    """Of sides: `tuned.precision=float32`; without a side, of all."""
    price: str | None = None
    """Of a server: dollars for a million tokens, `READ/WRITTEN`."""
    trained_on: Sequence[str] = ()
    """Files of rows: `FILE` for every tuned side, or `tuned-2=FILE` for one."""
    keep_trained: bool = False
    slices: Sequence[str] = ()
    rows: int | None = None
    max_new_tokens: int = MAX_NEW_TOKENS
    margin: float | None = None
    one_by_one: bool = False
    """Hold no more than one model in memory."""
    yes: bool = False
    keys: list[str] = field(init=False)
    """Of the sides, the base first, as a verdict has them."""

    def __post_init__(self) -> None:
        names = ["base", "tuned", *(f"tuned-{number}" for number in range(2, len(self.tuned) + 1))]
        object.__setattr__(self, "keys", names[: len(self.tuned) + 1])

    def check(self) -> None:
        """Refuse what is wrong without a look at any model.

        Raises:
            UserError: a margin that is none, or a side that does not exist.
        """
        if not self.tuned:
            raise UserError("There is nothing to compare the base with", fix="Name a tuned side: --tuned FOLDER.")
        if self.margin is not None and not 0 < self.margin < float("inf"):
            raise UserError("A margin is a number above 0", got=self.margin, fix="Write --non-inferior 0.02.")
        self.asked()

    def asked(self) -> list[Asked]:
        """The sides, the base first, each with what was said of it.

        Raises:
            RecipeError: something is said of a side that is not there.
        """
        from eval.sides.side import Asked

        options = {key: dict[str, str]() for key in self.keys}
        for written in self.options:
            name, equals, value = written.partition("=")
            key, dot, option = name.partition(".")
            if not equals or (dot and key not in options):
                raise RecipeError(
                    "An option of a side is written SIDE.NAME=VALUE",
                    got=written[:200],
                    fix=f"The sides are {', '.join(self.keys)}; NAME=VALUE is for all of them.",
                )
            for each in [key] if dot else self.keys:
                options[each][option if dot else name] = value
        if self.prompt is not None:
            for each in options.values():
                each.setdefault("prompt", str(self.prompt))
        texts = dict(zip(self.keys, [self.base, *self.tuned], strict=True))
        if self.price is not None:
            for key, each in options.items():
                if _is_server(texts[key]):
                    each.setdefault("price", self.price)
        known = self._trained_on()
        return [Asked(text, known.get(key), options[key]) for key, text in texts.items()]

    def _trained_on(self) -> dict[str, str]:
        """Side's key → the file of its rows."""
        found: dict[str, str] = {}
        for written in self.trained_on:
            key, equals, file = written.partition("=")
            if equals and key in self.keys:
                found[key] = file
            else:
                found |= {each: written for each in self.keys[1:] if each not in found}
        return found


def _is_server(text: str) -> bool:
    return text.strip().casefold().startswith(("http://", "https://"))


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
    asked = request.asked()
    rows = rows_of(request, asked)
    more = [open_metric(name, rows.task.kind) for name in request.more_metrics]
    openers, close = _openers(request, asked, rows, show=show)
    try:
        return judge_sides(
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
    from eval.sides.named import open_side, open_sides

    opened: list[Side] = []
    shown: set[int] = set()

    def opener(number: int) -> Callable[[], Side]:
        def opening() -> Side:
            if request.one_by_one:
                side = open_side(asked[number], rows.task)
            else:
                if not opened:  # together, so that those on one base share its weights
                    opened.extend(open_sides(asked, rows.task))
                side = opened[number]
            if number not in shown:
                shown.add(number)
                if show:
                    _show(request.keys[number], side, rows)
                if len(shown) == len(asked):
                    _ask_what_it_costs(request, asked)
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


def _ask_what_it_costs(request: Request, asked: Sequence[Asked]) -> None:
    """A yes, where a price was given for a server and somebody is there to give it.

    Raises:
        UserError: it was no.
    """
    priced = [each.text for each in asked if "price" in each.options]
    if not priced or request.yes or not (sys.stdin.isatty() and console.is_terminal):
        return
    import typer

    if not typer.confirm(f"Asking {', '.join(priced)} costs money. Go on?"):
        raise UserError("Nothing was asked", fix="Add --yes, or leave out --price.")
