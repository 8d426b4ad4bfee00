"""What a lab would do, and about how long it takes here, before any of it is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from finetuning.estimates.estimate import Estimate, estimate
from finetuning.lab.plan import PILOT_STEPS, UNMEASURED, Cell, Plan
from finetuning.recipe import Recipe, with_overrides
from plumbing.errors import ModelError

if TYPE_CHECKING:
    from data.sources import Opened

_UNSURE = 0.25
_STEPS = (20, 40)
"""Of two estimates that tell how long a step is: so many that a run with either writes as many checkpoints."""
_FLOOR_S = 2.0
"""What asks no model: reading the rows, and some thousand words."""


@dataclass(frozen=True)
class Share:
    """What one option takes."""

    cell: Cell
    runs: int
    """Runs, or passes over the test rows where nothing is trained."""
    seconds: float | None
    """All of them; None where nothing is known of its base before it is fetched."""

    @property
    def what(self) -> str:
        """`2 tried and 3 judged`: its runs in words."""
        cell = self.cell
        if cell.untrained is not None:
            return f"{self.runs} pass{'es' if self.runs > 1 else ''}, nothing is trained"
        tried = f"{len(cell.trials)} tried, " if cell.is_tuned else ""
        return f"{tried}{len(cell.seeds)} judged"


def shares(plan: Plan, rows: Mapping[str, Opened]) -> list[Share]:
    """What each option takes; `rows` are as `rows.open_rows` gives them."""
    return [_share(cell, plan, rows[cell.key]) for cell in plan.cells]


def total(found: list[Share]) -> str:
    """`23 runs and passes, 60 to 100 min here`; without a time where that of one is not known."""
    count = f"{sum(share.runs for share in found)} runs and passes"
    known = [share.seconds for share in found if share.seconds is not None]
    if len(known) < len(found):
        return f"{count}; of {len(found) - len(known)} options it is not known how long they take"
    return f"{count}, {minutes(sum(known))} here"


def minutes(seconds: float) -> str:
    """`60 to 100 min`: an estimate is a quarter off, either way."""
    low, high = seconds * (1 - _UNSURE) / 60, seconds * (1 + _UNSURE) / 60
    if high < 2:
        return f"about {max(1, round(seconds))} s"
    return f"{low:.0f} to {high:.0f} min" if round(low) != round(high) else f"about {high:.0f} min"


def _share(cell: Cell, plan: Plan, opened: Opened) -> Share:
    try:
        if cell.untrained is not None:
            return Share(cell, len(cell.seeds), _untrained_s(cell, opened))
        return _trained(cell, plan, opened)
    except ModelError:
        return Share(cell, len(cell.seeds), None)


def _trained(cell: Cell, plan: Plan, opened: Opened) -> Share:
    """The chosen trial is judged without being trained again."""
    recipe, pilot = cell.recipe, 0.0
    if plan.is_timed(cell):
        timed = _of(recipe, opened, UNMEASURED | {"training.max_steps": PILOT_STEPS})
        pilot = timed.loading_s + timed.training_s
    if plan.minutes is not None:
        recipe = with_overrides(recipe, {"training.max_steps": _steps_in(plan.minutes, recipe, opened)})
    found, tries = _of(recipe, opened), len(cell.trials) if cell.is_tuned else 0
    trained = tries + len(cell.seeds) - (1 if tries else 0)
    seconds = pilot + trained * found.training_s + (tries + len(cell.seeds)) * found.loading_s
    seconds += len(cell.seeds) * found.evaluation_s
    return Share(cell, trained + plan.is_timed(cell), seconds)


def _steps_in(minutes: float, recipe: Recipe, opened: Opened) -> int:
    """About how many steps a budget of minutes will be."""
    few, many = (_of(recipe, opened, UNMEASURED | {"training.max_steps": count}).training_s for count in _STEPS)
    return max(1, int(60 * minutes * (_STEPS[1] - _STEPS[0]) / max(1e-9, many - few)))


def _untrained_s(cell: Cell, opened: Opened) -> float:
    """One side of an evaluation; and what the option adds to it, in its place."""
    assert cell.untrained is not None
    if not cell.untrained.asks_model:
        return _FLOOR_S * len(cell.seeds)
    plain = with_overrides(
        cell.recipe, {"evaluation.forgetting": False, "evaluation.few_shot": 0, "evaluation.context": None}
    )
    alone = _of(plain, opened)
    own = cell.untrained.measured_as(cell.rows or len(opened.splits["train"]))
    added = _of(plain, opened, own).evaluation_s - alone.evaluation_s if own else 0.0
    return alone.loading_s / 2 + len(cell.seeds) * (added or alone.evaluation_s / 2)


def _of(recipe: Recipe, opened: Opened, changes: Mapping[str, Any] | None = None) -> Estimate:
    """The estimate of a run of `recipe` that is judged, with some changes."""
    splits, rows = dict(opened.splits), recipe.data.train_rows
    if rows is not None:
        splits["train"] = splits["train"].select(range(min(rows, len(splits["train"]))))
    return estimate(
        with_overrides(recipe, {"evaluation.skip": False, **(changes or {})}), splits=splits, task=opened.task
    )
