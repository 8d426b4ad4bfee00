"""A tuned model and its base on a test set, as a job that a page or a program waits for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from models import libraries
from ui.server.choices import Choice
from ui.server.models_in_use import share_cores
from ui.server.visitors import Visitor
from ui.server.work import Work

if TYPE_CHECKING:
    from eval.compare import Result


def judging(
    choice: Choice,
    visitor: Visitor,
    keep: Callable[[Result], None],
    source: str | None,
    *,
    columns: Mapping[str, str] | None,
    labels: Mapping[str, str | None] | None,
    skip_empty: bool = False,
    rows: int | None,
    few_shot: bool,
    forgetting: bool,
) -> Callable[[Work], None]:
    """What compares them.

    Args:
        choice: what was tuned.
        visitor: who asked.
        keep: given the result.
        source: the test set; None for its own.
        columns: see `finetuning.judged_rows.choose_rows`; so are labels, skip_empty and rows.
        few_shot: whether a base with as many examples as suit the task is compared as well.
        forgetting: whether it is measured what tuning cost on general text.
    """

    def judge(work: Work) -> None:
        libraries.ready()
        from finetuning.evaluation import evaluate_adapter
        from finetuning.judged_rows import choose_rows

        work.tell("Reading the rows", 0, 0)
        judged = choose_rows(
            choice.folder,
            source,
            columns=columns,
            labels=labels,
            skip_empty=skip_empty,
            rows=rows,
            check=lambda given: visitor.check_rows({"test": given}, choice.task),
        )
        share_cores()
        examples = choice.task.few_shot if few_shot else 0
        keep(
            evaluate_adapter(choice.folder, judged, few_shot=examples, forgetting=forgetting, on_progress=work.tell)
        )

    return judge
