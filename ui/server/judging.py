"""What a page or a program asks to be judged → a job in the queue of runs. What a form says is read elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from data.specs import absolute_spec, named_spec
from eval.asked.request import Request
from finetuning.jobs.asked import EVALUATION, VERDICT, AnyModels, Evaluation, rows_check
from finetuning.runs.folder import Run
from models import libraries
from ui.server.choices import Choice
from ui.server.naming import servers_asked
from ui.server.visitors import Visitor, own_upload

JUDGING = frozenset({EVALUATION, VERDICT})
"""The kinds of job that judge."""
_FILE, _HUB = "file:", "hub:"


def ask_evaluation(
    choice: Choice,
    visitor: Visitor,
    source: str | None,
    *,
    columns: Mapping[str, str] | None,
    labels: Mapping[str, str | None] | None,
    skip_empty: bool = False,
    rows: int | None,
    few_shot: bool,
    forgetting: bool,
) -> Run:
    """Let a tuned model and its base be compared; what is wrong with rows that are here is said at once.

    Args:
        choice: what was tuned.
        visitor: who asks.
        source: the test set; None for its own.
        columns: see `finetuning.judged_rows.choose_rows`; so are labels, skip_empty and rows.
        few_shot: whether a base with as many examples as suit the task is compared as well.
        forgetting: whether it is measured what tuning cost on general text.

    Raises:
        UserError: the rows cannot be used, or this visitor may not ask now.
    """
    asked = Evaluation(
        title=choice.label,
        max_minutes=visitor.limits.evaluation_minutes if visitor.limits else None,
        model=choice.key,
        adapter=str(choice.folder.absolute()),
        source=None if source is None else _lasting(source, visitor),
        columns=None if columns is None else dict(columns),
        labels=None if labels is None else dict(labels),
        skip_empty=skip_empty,
        rows=rows,
        few_shot=choice.task.few_shot if few_shot else 0,
        forgetting=forgetting,
        limits=visitor.limits,
    )
    with visitor.asking():
        if (asked.source or "").startswith(_FILE):
            libraries.ready()
            asked.judged()
        return visitor.submit_job(EVALUATION, asked)


def ask_verdict(wanted: Request, names: list[str], visitor: Visitor) -> Run:
    """Let any models be compared; what is wrong with rows that are here is said at once.

    Args:
        wanted: what is compared.
        names: what a person calls the sides, the base first.
        visitor: who asks.

    Raises:
        UserError: the rows cannot be used, or this visitor may not ask now.
    """
    base, *tuned = names
    asked = AnyModels(
        title=f"{', '.join(tuned)} against {base}",
        max_minutes=visitor.limits.evaluation_minutes if visitor.limits else None,
        base=_from_anywhere(wanted.base),
        tuned=tuple(map(_from_anywhere, wanted.tuned)),
        data=None if wanted.data is None else _lasting(wanted.data, visitor),
        task=wanted.task,
        settings=tuple(wanted.settings),
        metric=wanted.metric,
        instruction=wanted.instruction,
        options=tuple(map(_option_from_anywhere, wanted.options)),
        rows=wanted.rows,
        margin=wanted.margin,
        limits=visitor.limits,
        servers=servers_asked(visitor),
    )
    request = asked.request()
    request.check()
    with visitor.asking():
        if not (asked.data or "").startswith(_HUB):
            libraries.ready()
            from eval.asked.comparing import rows_of

            rows_of(request, request.asked(), check=rows_check(visitor.limits))
        return visitor.submit_job(VERDICT, asked)


def rows_said(asked: Evaluation | AnyModels) -> str:
    """Which rows are judged, in a few words."""
    source = asked.source if isinstance(asked, Evaluation) else asked.data
    named = "its own test rows" if source is None else named_spec(source)
    return named if asked.rows is None else f"{asked.rows:,} of {named}"


def _from_anywhere(side: str) -> str:
    """A side's name as it reads from any folder: the worker's is another than the page's."""
    with contextlib.suppress(OSError, RuntimeError, ValueError):  # a null byte, too long, `~somebody`
        path = Path(side).expanduser()
        if side and path.exists():
            return str(path.absolute())
    return side


def _option_from_anywhere(option: str) -> str:
    name, equals, value = option.partition("=")
    return f"{name}{equals}{_from_anywhere(value)}"


def _lasting(source: str, visitor: Visitor) -> str:
    """The same rows by a name that lasts until the job has its turn: an upload's own place does not."""
    path = source.removeprefix(_FILE)
    if source.startswith(_FILE) and own_upload(visitor, path):
        return f"{_FILE}{visitor.keep(Path(path))}"
    return absolute_spec(source)
