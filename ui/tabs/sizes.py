"""How much is trained: quick, normal or thorough, as rows and epochs; and what each size and each strategy takes.

What it takes is `finetuning.estimates`' to say; a strategy that makes no sense here says why instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from data.sources import Opened
from finetuning.limits import Limits
from finetuning.proposal import ENOUGH_STEPS, enough_epochs
from finetuning.recipe import Recipe, with_overrides
from finetuning.strategies import STRATEGIES
from plumbing.errors import UserError
from ui.drawing import text
from ui.drawing.markup import Child, Markup, table, tag
from ui.tabs.fields import written
from ui.tabs.train_form import SIZED, chosen_strategy, kind_of, strategies, strategy_of

NORMAL = "normal"
AS_SET = "set"
"""Whatever is written in the fields."""


@dataclass(frozen=True)
class Size:
    """How much of the rows, and how often."""

    title: str
    train_rows: int | None
    """At most; None for all of them."""
    test_rows: int | None
    epochs: float
    """Of the recipe's epochs so many times as many."""
    steps: int
    """But as many epochs as make so many steps of few rows."""


SIZES: dict[str, Size] = {
    "quick": Size("Quick", 160, 60, 0.0, 20),
    NORMAL: Size("Normal", 2_000, 400, 1.0, ENOUGH_STEPS),
    "thorough": Size("Thorough", None, None, 2.0, 2 * ENOUGH_STEPS),
}


@dataclass(frozen=True)
class Counts:
    """How many rows there are; None where that is not known yet."""

    train: int | None = None
    test: int | None = None
    share: float = 1.0
    """How many rows of tokens one of them makes, about, as short texts share some."""

    @classmethod
    def of(cls, opened: Opened, recipe: Recipe | None = None) -> Counts:
        """Of those rows, which `recipe` trains on."""
        train, test = opened.splits["train"], opened.splits["test"]
        share = recipe.rows_of_tokens(train, opened.task, len(train)) / len(train) if recipe else 1.0
        return cls(len(train), len(test), share)


def build_sizes(name: str) -> gr.Radio:
    """The choice of a size."""
    choices = [(size.title, key) for key, size in SIZES.items()]
    return gr.Radio(
        [*choices, (text.AS_SET, AS_SET)], value=NORMAL, show_label=False, container=False, label="Size",
        elem_id=f"{name}-size",
    )  # fmt: skip


def settings_of(size: str, recipe: Recipe, counts: Counts, limits: Limits | None = None) -> dict[str, Any]:
    """The settings in `SIZED` that a size means for a recipe, as it ships, over so many rows.

    Where there are limits they keep to them, as far as rows and steps go.
    """
    found = SIZES.get(size, SIZES[NORMAL])
    train = _at_most(found.train_rows, recipe.data.train_rows if size == NORMAL else None, counts.train)
    most = limits.test_rows if limits else None
    test = _at_most(found.test_rows, recipe.data.test_rows if size == NORMAL else None, counts.test, most)
    rows = train or counts.train
    rows = max(1, round(rows * counts.share)) if rows else rows
    epochs = max(recipe.training.epochs * found.epochs, enough_epochs(recipe, rows, found.steps) if rows else 1.0)
    if limits and rows:
        a_step = recipe.training.batch_size * recipe.training.gradient_accumulation
        epochs = min(epochs, max(1.0, limits.steps * a_step // rows))
    return dict(zip(SIZED, (epochs, train, test), strict=True))


def _at_most(most: int | None, own: int | None, there: int | None, limit: int | None = None) -> int | None:
    """How many rows; None for all that are there."""
    wanted = min((number for number in (most, own, limit) if number is not None), default=None)
    return None if wanted is None or there is None or there <= wanted else wanted


def fields_of(settings: Mapping[str, Any]) -> list[Any]:
    """The settings as the form's fields show them, in the order of `SIZED`."""
    epochs, *rows = (settings[name] for name in SIZED)
    return [epochs, *map(written, rows)]


# ---- what it takes ---------------------------------------------------------------------------------------------


def size_table(recipe: Recipe, shipped: Recipe, opened: Opened, limits: Limits | None) -> Markup:
    """Each size, how much it is, and how long it takes with all other settings as they are in `recipe`."""
    rows: list[Sequence[Child]] = []
    counts = Counts.of(opened, recipe)
    for size, about in SIZES.items():
        settings = settings_of(size, shipped, counts, limits)
        epochs, train, test = (settings[name] for name in SIZED)
        read = f"{train or counts.train:,} rows, {_times(epochs)}; {test or counts.test:,} to test"
        rows.append([about.title, read, _taken(recipe, settings, opened)])
    return table(["size", "trains on", "takes, on this machine"], rows, class_="ba-table ba-costs", label="Sizes")


def _times(epochs: float) -> str:
    return {1.0: "once", 2.0: "twice"}.get(epochs, f"{epochs:g} times")


def _taken(recipe: Recipe, settings: Mapping[str, Any], opened: Opened) -> Child:
    from finetuning.estimates.estimate import estimate
    from finetuning.preparation import sampled

    try:
        changed = with_overrides(recipe, settings)
        return estimate(changed, splits=sampled(opened, changed).splits).time
    except UserError as error:
        return tag("span", error.problem, class_="ba-small")


def strategy_table(recipe: Recipe, opened: Opened) -> Markup:
    """What each strategy would take in place of the one in `recipe`."""
    from finetuning.estimates.estimate import estimate
    from finetuning.preparation import sampled

    splits = sampled(opened, recipe).splits
    rows: list[Sequence[Child]] = []
    for title, name in strategies():
        named: Child = tag("b", title) if name == strategy_of(recipe) else title
        try:
            settings = {} if name == strategy_of(recipe) else chosen_strategy(name)
            if settings and "model.precision" not in settings and recipe.model.precision == "nf4":
                settings["model.precision"] = "auto"
            found = estimate(with_overrides(recipe, settings), splits=splits)
        except UserError as error:
            rows.append([named, tag("div", error.problem, class_="ba-small ba-reason"), "–", "–", ""])
            continue
        learns = f"{found.trainable:,} ({found.trainable / found.total:.1%})"
        forgets = STRATEGIES[kind_of(name)].forgets
        rows.append([named, learns, f"{found.memory_mb / 1024:.1f} GB", found.time, forgets])
    headers = ["strategy", "parameters that learn", "memory", "takes", "of what it knew"]
    return table(headers, rows, class_="ba-table ba-costs", label="Strategies")
