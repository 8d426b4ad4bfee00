"""What a comparison measures besides: the base with a text in its prompt, and metrics that are not ours.

Both lie on this machine, and a metric is code. So who names them has to be the person at it: in a recipe that is
trained here, or on the command line; never a model that came from elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.specs import CORPORA, path_of
from data.tasks import Task
from eval.metrics import Metric, is_asked_for, open_metric, require_known
from plumbing.errors import DataError, RecipeError

if TYPE_CHECKING:
    from pathlib import Path

    from eval.floors.context import Context
    from finetuning.judged_rows import JudgedRows

_CORPUS = "corpus:"


@dataclass(frozen=True)
class Besides:
    """Read and loaded, so that a mistake is told before anything is trained or answered."""

    context: Context | None = None
    metrics: tuple[Metric, ...] = ()


def open_besides(task: Task, *, context: str | None = None, metrics: Sequence[str] = ()) -> Besides:
    """Read the text `context` and load `metrics`, and the task's own where it is none of ours.

    Args:
        task: what is compared.
        context: a file's path, or `corpus:FILE` for one that ships.
        metrics: names, see `finetuning.recipe.EvaluationSettings`; those of ours are measured anyway.

    Raises:
        UserError: one of them is not here, or cannot be used.
    """
    if is_asked_for(task.metric):
        open_metric(task.metric, task.kind)
    more = tuple(open_metric(name, task.kind) for name in metrics if is_asked_for(name) and name != task.metric)
    return Besides(read_context(context) if context else None, more)


def besides_of(
    adapter: Path, judged: JudgedRows, *, context: str | None = None, metrics: Sequence[str] = ()
) -> Besides:
    """The same for what was tuned already: what is asked for now, and the metrics of a run that was made here."""
    from models.prompting import PromptContract, task_of

    task = task_of(adapter, PromptContract.load(adapter))
    for name in metrics:
        try:
            require_known(name, task.kind)
        except ValueError as error:
            raise RecipeError(str(error)) from None
    if judged.made_here:
        return open_besides(task, context=context, metrics=[*judged.settings.metrics, *metrics])
    more = tuple(open_metric(name, task.kind) for name in metrics if is_asked_for(name))
    return Besides(read_context(context) if context else None, more)


def read_context(spec: str) -> Context:
    """The text at a file's path, or `corpus:FILE`; errors as for `open_besides`."""
    from eval.floors.context import Context

    if not spec.startswith(_CORPUS):
        return Context.read(path_of(spec))
    name = spec.removeprefix(_CORPUS)
    shipped = sorted(path.name for path in CORPORA.glob("*.md") if path.name != "README.md")
    if name not in shipped:
        raise DataError("No such text ships", got=spec, fix=f"There are {', '.join(shipped)}; or give a file.")
    return Context.read(CORPORA / name)
