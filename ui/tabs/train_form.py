"""Steps 3 and 4 as a form: which recipe, and which of its settings were changed. A form → a recipe."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from finetuning.limits import Limits
from finetuning.recipe import Recipe, load_recipe, recipe_names, with_overrides
from finetuning.strategies import Lora
from plumbing.errors import RecipeError
from ui.server.visitors import Visitor
from ui.tabs.data_form import Chosen
from ui.tabs.fields import read_whole_or_all, whole_or_all, written

LABELS = {
    "model.base": "Base model",
    "model.precision": "Precision",
    "strategy.rank": "Rank",
    "training.learning_rate": "Learning rate",
    "training.epochs": "Epochs",
    "strategy.alpha": "Alpha",
    "strategy.dropout": "Dropout",
    "training.batch_size": "Batch size",
    "training.max_tokens": "Tokens a row",
    "training.seed": "Seed",
    "data.train_rows": "Training rows",
    "data.test_rows": "Test rows",
}
"""What the form calls each setting, in the order of its fields."""
FIELDS = tuple(LABELS)
WHOLE = {"strategy.rank", "training.batch_size", "training.max_tokens", "training.seed"}
OPTIONAL = {"data.train_rows", "data.test_rows"}


@dataclass
class TrainForm:
    """The components of steps 3 and 4; `fields` are in the order of `FIELDS`."""

    recipe: gr.Dropdown
    fields: list[Any]

    @property
    def inputs(self) -> list[Any]:
        return [self.recipe, *self.fields]


def recipes_of(task: str) -> list[Recipe]:
    """The recipes of a task."""
    return [recipe for name in recipe_names() if (recipe := load_recipe(name)).task == task]


def build_base(recipe: Recipe, limits: Limits | None = None) -> tuple[gr.Dropdown, list[Any]]:
    """Step 3: the recipe dropdown, and the fields of the base model; strangers choose from the list."""
    known = [
        other
        for other in recipes_of(recipe.task_definition.name)
        if limits is None or other.model.base in limits.base_models
    ]
    label = "Base model: a name as on the Hub, or a folder" if limits is None else "Base model"
    with gr.Row():
        chosen = gr.Dropdown(
            [(other.title, other.name) for other in known],
            value=recipe.name,
            label="Recipe",
            elem_id=f"{recipe.task}-recipe",
        )
        base = gr.Dropdown(
            list(dict.fromkeys(other.model.base for other in known)),
            value=recipe.model.base,
            allow_custom_value=limits is None,
            label=label,
            elem_id=f"{recipe.task}-base",
        )
        precision = gr.Dropdown(
            ["auto", "float32", "bfloat16", "nf4"], value=recipe.model.precision, label="Precision (nf4 is QLoRA)",
            elem_id=f"{recipe.task}-precision",
        )  # fmt: skip
    return chosen, [base, precision]


def build_settings(recipe: Recipe, limits: Limits | None = None) -> list[Any]:
    """Step 4: three settings, and the rest folded."""
    task, lora, training = recipe.task, recipe.strategy, recipe.training
    assert isinstance(lora, Lora)

    def looks(setting: str) -> dict[str, Any]:
        name = setting.partition(".")[2].replace("_", "-")
        return {"label": LABELS[setting], "elem_id": f"{task}-{name}", "min_width": 120}

    def number(setting: str, value: float, step: float, **more: Any) -> gr.Number:
        return gr.Number(value, step=step, **looks(setting) | more)

    with gr.Row():
        main = [
            number("strategy.rank", lora.rank, 1, label=f"Rank (1 to {limits.rank if limits else 64})"),
            number("training.learning_rate", training.learning_rate, 1e-5),
            number("training.epochs", training.epochs, 0.5),
        ]
    with gr.Accordion("More settings", open=False, elem_id=f"{task}-more"), gr.Row():
        more = [
            number("strategy.alpha", lora.alpha, 1),
            number("strategy.dropout", lora.dropout, 0.01),
            number("training.batch_size", training.batch_size, 1),
            number("training.max_tokens", training.max_tokens, 1),
            number("training.seed", training.seed, 1),
            whole_or_all(recipe.data.train_rows, **looks("data.train_rows")),
            whole_or_all(recipe.data.test_rows, **looks("data.test_rows")),
        ]
    return [*main, *more]


def values_of(recipe: Recipe) -> list[Any]:
    """The recipe's settings, in the order of `FIELDS`."""
    values = recipe.model_dump()
    found = {field: values[section][name] for field in FIELDS for section, name in [field.split(".")]}
    return [written(value) if field in OPTIONAL else value for field, value in found.items()]


def read(task: str, chosen: Chosen, name: str, *fields: Any) -> Recipe:
    """The recipe that the form describes.

    Raises:
        RecipeError: no such recipe for this task, or settings that are wrong, all of them in one message.
    """
    if name not in {recipe.name for recipe in recipes_of(task)}:
        raise RecipeError("There is no such recipe for this task", got=name, fix="Choose one from the list.")
    settings: dict[str, Any] = {}
    for field, value in zip(FIELDS, fields, strict=True):
        if field in OPTIONAL:
            settings[field] = read_whole_or_all(value, LABELS[field])
            continue
        if value is None:
            raise RecipeError(f"“{LABELS[field]}” is empty", fix="Write a number, or choose the recipe again.")
        # A number field gives 8.0 for 8; whatever is not whole is left for validation to refuse.
        whole = field in WHOLE and isinstance(value, float) and value.is_integer()
        settings[field] = int(value) if whole else value
    settings["data.source"] = chosen.source
    settings["data.columns"], settings["data.labels"] = chosen.columns, chosen.labels
    settings["data.skip_empty"] = chosen.skip_empty
    with in_labels():
        return with_overrides(load_recipe(name), settings)


@contextlib.contextmanager
def in_labels() -> Iterator[None]:
    """Within it, what is wrong with a setting is said by the label of its field."""
    try:
        yield
    except RecipeError as error:
        named = re.compile(rf"\b({'|'.join(map(re.escape, LABELS))})\b")

        def by_label(said: str) -> str:
            return named.sub(lambda found: f"“{LABELS[found[1]]}”", said)

        raise RecipeError(by_label(error.problem), got=error.got, fix=by_label(error.fix)) from None


def kept(chosen: Chosen, visitor: Visitor) -> Chosen:
    """`chosen` with an uploaded file copied beside the runs: the upload's own place does not last."""
    kind, _, place = chosen.source.partition(":")
    return replace(chosen, source=f"file:{visitor.keep(Path(place))}") if kind == "file" else chosen


def weights_sentence(weight_mb: float, precision: str) -> str:
    """How heavy the base is: `4-bit NF4: 110 MB of weights`."""
    held = {"nf4": "In 4-bit NF4", "auto": "In the fastest precision of this machine"}
    said = held.get(precision, f"In {precision}")
    return f"{said}: {weight_mb:,.0f} MB of weights."
