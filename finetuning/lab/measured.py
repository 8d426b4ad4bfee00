"""What one option came to with one seed: the score of every test row, and what it took.

Kept in the lab's folder, so that the runs may be deleted once they are judged.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from data.sources import shown_spec
from eval.lab.schema import Cost, Elsewhere
from eval.report.sections import TaskInfo
from finetuning.lab.rows import judged_rows
from finetuning.lab.untrained import Asked
from finetuning.preparation import open_data
from finetuning.recipe import Recipe, with_overrides
from finetuning.runs.folder import Run

if TYPE_CHECKING:
    from data.tasks import Task
    from finetuning.lab.plan import Cell
    from models.pair import Pair

Progress = Callable[[str, int, int], None]


class Measured(BaseModel):
    """One option with one seed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: str = ""
    """The run's id; empty where nothing was trained."""
    task: str
    about: TaskInfo
    metric: str
    data: str
    test_sha256: str
    scores: list[float] = Field(min_length=1)
    """Of every test row, by the metric."""
    base_scores: list[float] | None = None
    """Of its own base on the same rows; None where that does not answer."""
    elsewhere: Elsewhere | None = None
    cost: Cost
    computed: dict[str, str] = Field(default_factory=dict)
    """Precision and versions."""
    said: str = ""
    """What else there is to know of it."""


def of_run(run: Run) -> Measured:
    """What a run that was judged says.

    Raises:
        RunError: it has no report, or a damaged one.
    """
    from eval.report.folder import load

    report, rows = load(run.evaluation)
    status, name = run.status(), report.primary.name
    both = [(row.base.scores[name], row.tuned.scores[name]) for row in rows]
    found, facts = report.forgetting, status.facts
    return Measured(
        run=run.id,
        task=report.task,
        about=report.asked,
        metric=name,
        data=report.data.spec,
        test_sha256=report.data.test_sha256,
        scores=[tuned for _, tuned in both],
        base_scores=None if report.kind == "classifier" else [base for base, _ in both],
        elsewhere=Elsewhere(base_perplexity=found.base_perplexity, tuned_perplexity=found.tuned_perplexity)
        if found
        else None,
        cost=Cost(
            trainable=_whole(facts.get("trainable")),
            parameters=_whole(facts.get("total")),
            training_s=status.training_seconds,
            peak_memory_mb=_whole(facts.get("peak_memory_mb")),
            disk_mb=_disk_mb(run),
        ),
        computed={"weights in": report.precision, "computed in": report.computed_in, **report.versions},
    )


def _whole(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) else None


def _disk_mb(run: Run) -> float | None:
    files = [path for path in run.tuned.rglob("*") if path.is_file()] if run.tuned.is_dir() else []
    return round(sum(path.stat().st_size for path in files) / 2**20, 3) if files else None


@dataclass
class Bases:
    """Base models that are asked without tuning: one at a time is in memory."""

    _name: tuple[str, str] = ("", "")
    _pair: Pair | None = field(default=None, repr=False)

    def open(self, recipe: Recipe, task: Task, tell: Callable[[str], None]) -> Pair:
        """The base of `recipe`, loaded where it is not the one that was asked last."""
        from models.pair import base_alone
        from models.sources import resolve

        named = (recipe.model.base, recipe.model.precision)
        if self._pair is None or named != self._name:
            self._pair = None
            tell("Loading the base model")
            source = resolve(recipe.model.base, progress=lambda what, _done, _total: tell(what))
            self._pair, self._name = base_alone(source, task=task, precision=recipe.model.precision), named
        return self._pair


def of_untrained(cell: Cell, seed: int, bases: Bases, tell: Progress) -> Measured:
    """What an option comes to in which nothing is trained.

    Raises:
        UserError: it cannot answer.
    """
    from data.tasks.task import as_text
    from eval.metrics import primary_of
    from eval.preferences import good_answers
    from eval.provenance import hash_rows
    from eval.scores import row_scores
    from finetuning.strategies.counts import count_parameters

    assert cell.untrained is not None
    recipe = with_overrides(cell.recipe, {"training.seed": seed})
    opened = open_data(recipe)
    task, test, train = opened.task, judged_rows(recipe, opened), opened.splits["train"]
    inputs, references = [task.input_of(row) for row in test], [task.references(row) for row in test]
    asked = Asked(
        recipe,
        task,
        inputs,
        [(task.input_of(row), task.references(row)[0]) for row in good_answers(train, task)],
        seed,
        lambda: bases.open(recipe, task, lambda what: tell(what, 0, 0)),
        lambda done, total: tell(cell.name, done, total),
    )
    cost = Cost(trainable=0)
    if cell.untrained.asks_model:  # loaded before the clock starts
        cost = cost.model_copy(update={"parameters": count_parameters(asked.pair.model).total})
    started = time.perf_counter()
    answered = cell.untrained.answer(asked)
    taken = {"prompt_tokens": answered.prompt_tokens}
    if cell.untrained.asks_model:
        taken["answer_s"] = (time.perf_counter() - started) / len(inputs)
    return Measured(
        task=task.name,
        about=TaskInfo(kind=task.kind, title=task.title, noun=task.noun),
        metric=primary_of(task).name,
        data=shown_spec(recipe.evaluation.source or opened.spec),
        test_sha256=hash_rows(list(map(as_text, inputs)), references),
        scores=row_scores(answered.answers, references, task),
        cost=cost.model_copy(update=taken),
        computed={"weights in": asked.pair.precision} if cell.untrained.asks_model else {},
        said=answered.said,
    )
