"""The rows of a lab, opened before anything is run: what is trained on, and whether all are judged on the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from data.preferences import NothingBesides
from data.samples import sample
from data.sources import open_test, shown_spec
from data.splits import same_text
from data.tasks.task import as_text
from finetuning.lab.plan import Cell, Plan
from finetuning.preparation import open_data, sampled
from finetuning.recipe import Recipe, with_overrides
from models.kinds import judged_by
from plumbing.errors import DataError, RecipeError

if TYPE_CHECKING:
    from datasets import Dataset

    from data.sources import Opened


def open_rows(plan: Plan) -> dict[str, Opened]:
    """Cell → its rows, of which all are there to train on: a mistake in the data is told before any run.

    Raises:
        DataError: they cannot be read.
        RecipeError: the options would not be judged on the same test rows.
    """
    known: dict[str, Opened] = {}
    found = {}
    for cell in plan.cells:
        recipe = with_overrides(cell.recipe, {"data.train_rows": None})
        how = repr((recipe.data, recipe.task, recipe.way.besides))
        if how not in known:
            known[how] = open_data(recipe)
        found[cell.key] = known[how]
    _require_same(plan, found)
    return found


def rows_of(cell: Cell, seed: int, opened: Opened) -> Opened:
    """What an option reads with that seed, which draws its training rows where it has a number of them."""
    return sampled(opened, with_overrides(cell.recipe, {"training.seed": seed}))


def judged_rows(recipe: Recipe, opened: Opened) -> Dataset:
    """The rows that a run of `recipe` is judged on that reads `opened`: none that it is trained on.

    Raises:
        DataError: none is left, or its `evaluation.source` cannot be read.
    """
    from eval.preferences import good_answers

    task, count, source = opened.task, None, recipe.evaluation.source
    test = opened.splits["test"]
    if source is not None:
        test, count = _named(recipe, opened), recipe.data.test_rows
    trained = {same_text(task.text_of(row)) for row in opened.splits["train"]}
    new = [place for place, row in enumerate(test) if same_text(task.text_of(row)) not in trained]
    if not new:
        raise DataError(
            "Every test row is trained on, so none can show what was learned",
            got=shown_spec(source or opened.spec),
            fix="Judge on other rows.",
        )
    left = test if len(new) == len(test) else test.select(new)
    return good_answers(sample(left, count, task), task)


def _named(recipe: Recipe, opened: Opened) -> Dataset:
    """All rows of the source that the recipe names to be judged on, read as a run reads them."""
    data, way = recipe.data, recipe.way
    assert recipe.evaluation.source is not None

    def rows(besides: tuple[str, ...]) -> Dataset:
        return open_test(
            str(recipe.evaluation.source),
            opened.task,
            labels=data.labels,
            usual_columns=data.columns,
            skip_empty=data.skip_empty,
            trained_on=opened,
            besides=besides,
        ).rows

    try:
        return rows(way.besides)
    except NothingBesides:
        if judged_by(recipe.kind):
            raise
        return rows(())  # what it writes can be judged all the same


def _require_same(plan: Plan, opened: Mapping[str, Opened]) -> None:
    """Refuse options of which one is judged on other test rows than another.

    Raises:
        RecipeError: with both, and how many rows each has.
    """
    known: dict[str, tuple[str, int]] = {}
    first: tuple[str, str, int] | None = None
    for cell in plan.cells:
        for seed in cell.seeds if cell.recipe.data.train_rows is not None else cell.seeds[:1]:
            recipe = with_overrides(cell.recipe, {"training.seed": seed})
            how = repr((recipe.data, recipe.task, recipe.way.besides, recipe.evaluation.source, recipe.kind, seed))
            if how not in known:
                known[how] = _hash(recipe, rows_of(cell, seed, opened[cell.key]))
            sha256, count = known[how]
            first = first or (cell.name, sha256, count)
            if sha256 != first[1]:
                raise RecipeError(
                    f"The runs of this lab do not fit together: {first[0]} is judged on {first[2]:,} test rows, "
                    f"and {cell.name} on {count:,} that are not the same",
                    fix="Say with test: which rows judge all; what one of them trains on cannot be among these.",
                )


def _hash(recipe: Recipe, opened: Opened) -> tuple[str, int]:
    """SHA-256 of the rows that a run is judged on, with all of their answers that count, and how many there are."""
    from eval.provenance import hash_rows

    task, rows = opened.task, list(judged_rows(recipe, opened))
    answers = [[*task.references(row), *(str(row[column]) for column in judged_by(recipe.kind))] for row in rows]
    return hash_rows([as_text(task.input_of(row)) for row in rows], answers), len(rows)
