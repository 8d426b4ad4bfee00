"""From a lab's settings to its cells: an option with a number of training rows, and the recipes of its runs.

The plan is kept in the lab's folder, recipes and all, so that a lab that goes on does what it began with.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from finetuning.lab.lab import Lab, Option
from finetuning.lab.searches import points
from finetuning.lab.untrained import AnyUntrained
from finetuning.recipe import Recipe, load_recipe, with_overrides
from finetuning.runs.beginning import with_whole_paths
from finetuning.settings import Settings
from plumbing.errors import RecipeError, UserError

PILOT_STEPS = 6
"""Of a run by which an option's steps are timed; the first is not counted."""
UNMEASURED = {
    "training.eval_rows": 0,
    "training.eval_metric": False,
    "training.patience": None,
    "evaluation.skip": True,
}
"""Settings of such a run, of which nothing is measured."""
_RUN_NAME = 63


class Cell(Settings):
    """An option with a number of training rows: what is chosen within, trained with every seed, and judged."""

    key: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    name: str
    rows: int | None = None
    recipe: Recipe
    """Complete. Of an option in which nothing is trained: its task, its rows, its base."""
    trials: Annotated[list[dict[str, Any]], Field(min_length=1)]
    """Settings of which the best is chosen; one where nothing is."""
    seeds: list[int]
    untrained: AnyUntrained | None = None

    @property
    def is_tuned(self) -> bool:
        """Whether there is something to choose."""
        return len(self.trials) > 1

    @property
    def asks_base(self) -> bool:
        """Whether a base model is loaded for it."""
        return self.untrained is None or self.untrained.asks_model

    @property
    def about(self) -> str:
        """What is done, in a few words."""
        if self.untrained is not None:
            return self.untrained.about(self.recipe)
        recipe = self.recipe
        return f"{recipe.way.kind}, {recipe.strategy_title} on {recipe.model.base.rpartition('/')[2]}"


class Plan(Settings):
    """All that a lab does."""

    cells: list[Cell]
    minutes: float | None = None
    """Of training, to be made steps of; see `Budget`."""

    @property
    def trained(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.untrained is None]

    @property
    def untrained(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.untrained is not None]

    def is_timed(self, cell: Cell) -> bool:
        """Whether its steps are timed: one of the cells of an option is, for however many rows."""
        return self.minutes is not None and cell == next(each for each in self.trained if each.name == cell.name)

    def places(self) -> list[str]:
        """Everything that has to be done, by name, in its order: runs, and untrained options."""
        return [place for cell in (*self.trained, *self.untrained) for place in places_of(cell, self)]


def places_of(cell: Cell, plan: Plan) -> list[str]:
    """What has to be done of one cell. The trial that is chosen is the first seed's run as well."""
    if cell.untrained is not None:
        return [seed_place(cell, seed) for seed in cell.seeds]
    pilot = [pilot_place(cell)] if plan.is_timed(cell) else []
    tries = [trial_place(cell, number) for number in range(len(cell.trials))] if cell.is_tuned else []
    return [*pilot, *tries, *(seed_place(cell, seed) for seed in cell.seeds)]


def pilot_place(cell: Cell) -> str:
    return f"{cell.key}/pilot"


def trial_place(cell: Cell, number: int) -> str:
    return f"{cell.key}/try-{number + 1}"


def seed_place(cell: Cell, seed: int) -> str:
    return f"{cell.key}/seed-{seed}"


# ---- from settings -----------------------------------------------------------------------------------------


def make_plan(lab: Lab) -> Plan:
    """The cells of `lab`, each recipe whole and valid.

    Raises:
        RecipeError: of an option that is wrong, with its name.
    """
    cells: list[Cell] = []
    for option in lab.options:
        try:
            cells += _cells(lab, option)
        except UserError as error:
            raise RecipeError(f"{option.name}: {error.problem}", got=error.got, fix=error.fix) from None
    named = Counter((cell.name, cell.rows) for cell in cells)
    if twice := [name for (name, _), count in named.items() if count > 1]:
        raise RecipeError(f"Two options of this lab are called {twice[0]}", fix="Give one of them another name.")
    return Plan(cells=_with_keys(cells), minutes=lab.budget.minutes if lab.budget else None)


def _cells(lab: Lab, option: Option) -> Iterator[Cell]:
    # What else would score is an option of its own here, and is not measured beside each run again.
    alone = ["evaluation.few_shot=0", "evaluation.context="]
    given = load_recipe(option.recipe or lab.recipe, [*alone, *lab.set, *option.set])
    for settings in points(option.across, None, seed=""):
        name = f"{option.name}, {written(settings)}" if settings else option.name
        recipe = with_overrides(given, settings)
        untrained = option.untrained
        if untrained is not None and (why := untrained.refused(recipe)):
            raise RecipeError(why[0].upper() + why[1:])
        by_rows = untrained is None or untrained.by_rows
        counts: list[int | None] = [*lab.rows] if lab.rows and by_rows else [None]
        for rows in counts:
            yield _cell(lab, option, name, recipe, rows)


def _cell(lab: Lab, option: Option, name: str, recipe: Recipe, rows: int | None) -> Cell:
    own: dict[str, Any] = {"training.seed": lab.seeds[0]}
    if rows is not None:
        own["data.train_rows"] = rows
    if lab.test is not None:
        own["evaluation.source"] = lab.test
    if lab.budget is not None and lab.budget.steps is not None:
        own["training.max_steps"] = lab.budget.steps
    space, draws = lab.space_of(option)
    found = points(space, draws, seed=f"{lab.draw_seed} {name}")
    if len(found) > 1:
        own["training.eval_metric"] = lab.choose == "metric"
    whole = with_whole_paths(with_overrides(recipe, own))
    _require_choice(lab, [with_overrides(whole, settings) for settings in found], list(space))
    untrained, drawn = option.untrained, whole.data.train_rows is not None
    by_seed = untrained is None or untrained.by_seed or (untrained.by_rows and drawn)
    return Cell(
        key="x",
        name=name,
        rows=rows,
        recipe=whole,
        trials=found,
        seeds=lab.seeds if by_seed else lab.seeds[:1],
        untrained=option.untrained,
    )


_AS_LONG = {
    "training.learning_rate",
    "training.schedule",
    "training.warmup_share",
    "training.weight_decay",
    "training.max_grad_norm",
    "training.keep",
    "strategy.alpha",
}
"""Settings with any value of which a step takes as long."""


def _require_choice(lab: Lab, tried: Sequence[Recipe], searched: Sequence[str]) -> None:
    """Refuse settings of which validation rows cannot tell the best, or that do not get the same budget.

    Raises:
        RecipeError: with the settings, and what would do.
    """
    if any(_measured_by(recipe, lab.choose) != _measured_by(tried[0], lab.choose) for recipe in tried):
        remedy = "" if lab.choose == "metric" else " Or choose by the task's metric: choose: metric."
        raise RecipeError(
            f"Which of these is best, the {lab.choose} of validation rows cannot tell: with other values it is of "
            "something else",
            got=", ".join(searched),
            fix=f"Make options of them: move what differs from tune: to across:.{remedy}",
        )
    longer = [name for name in searched if name not in _AS_LONG]
    if lab.budget is not None and lab.budget.minutes is not None and len(tried) > 1 and longer:
        raise RecipeError(
            "With a budget in minutes the steps of an option are timed once, and some of these make them longer",
            got=", ".join(longer),
            fix="Make options of them: move them from tune: to across:. Or give the budget in steps.",
        )


def _measured_by(recipe: Recipe, choose: str) -> tuple[object, ...]:
    """What has to be the same of two recipes, so that what they measure of validation rows can be compared."""
    data = recipe.data.model_copy(update={"train_rows": None})
    rows = (data, recipe.task, recipe.evaluation.source, recipe.training.eval_rows)
    if choose == "metric":
        return (*rows, recipe.evaluation.max_new_tokens)
    return (*rows, recipe.way, recipe.model.base)


def _with_keys(cells: Sequence[Cell]) -> list[Cell]:
    """Each with a short name of its own."""
    known: set[str] = set()
    found = []
    for cell in cells:
        written = f"{cell.name} {cell.rows or ''}".casefold()
        slug = re.sub(r"[^a-z0-9]+", "-", written).strip("-")[:32].strip("-") or "option"
        candidates = itertools.chain([slug], (f"{slug}-{number}" for number in itertools.count(2)))
        key = next(each for each in candidates if each not in known)
        known.add(key)
        found.append(cell.model_copy(update={"key": key}))
    return found


def written(settings: Mapping[str, Any]) -> str:
    """`learning_rate 0.001, rank 8`: settings as a person calls them."""
    return ", ".join(f"{name.rpartition('.')[2]} {_said(value)}" for name, value in settings.items())


def _said(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)


# ---- recipes -----------------------------------------------------------------------------------------------


def run_recipe(
    cell: Cell, trial: int, seed: int, *, place: str, lab: str, title: str, steps: int | None, judged: bool
) -> Recipe:
    """The recipe of one run.

    Args:
        cell: whose.
        trial: which of its trials' settings.
        seed: of training.
        place: what the run is for, as in `Plan.places`.
        lab: the lab's id: part of the run's name, so that a run can be told from those of other labs.
        title: the lab's.
        steps: how many, where the budget is in minutes.
        judged: whether it is evaluated on the test rows; else it ends once it is trained.
    """
    own = dict(cell.trials[trial]) | {"training.seed": seed, "evaluation.skip": not judged}
    own["name"], own["title"] = run_name(lab, place), f"{title}: {cell.name}, {place.rpartition('/')[2]}"
    if steps is not None:
        own["training.max_steps"] = steps
    return with_overrides(cell.recipe, own)


def pilot_recipe(cell: Cell, *, place: str, lab: str, title: str) -> Recipe:
    """The recipe of a run whose steps are timed: nothing of it is measured, kept or judged."""
    own: dict[str, Any] = UNMEASURED | {"training.max_steps": PILOT_STEPS}
    own |= {"name": run_name(lab, place), "title": f"{title}: {cell.name}, pilot"}
    return with_overrides(cell.recipe, dict(cell.trials[0]) | own)


def run_name(lab: str, place: str) -> str:
    """The name of a run of the lab with this id: a run that was made and not noted is found by it."""
    end = f"-{lab[-4:]}"
    about = re.sub(r"[^a-z0-9]+", "-", place)
    return f"{about[: _RUN_NAME - len(end)].strip('-')}{end}"
