"""Steps 3 and 4 as a form: which recipe, and which of its settings were changed. A form → a recipe."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from data.errors import RecipeError
from finetuning.limits import Limits
from finetuning.recipe import Recipe, load_recipe, recipe_names, with_overrides
from ui.data_form import Chosen
from ui.visitors import Visitor

FIELDS = (
    "model.base", "model.precision", "lora.rank", "training.learning_rate", "training.epochs", "lora.alpha",
    "lora.dropout", "training.batch_size", "training.max_tokens", "training.seed", "data.train_rows",
    "data.test_rows",
)  # fmt: skip
WHOLE = {
    "lora.rank", "training.batch_size", "training.max_tokens", "training.seed", "data.train_rows", "data.test_rows",
}  # fmt: skip
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
    known = [other for other in recipes_of(recipe.task) if limits is None or other.model.base in limits.base_models]
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
    task, lora, training = recipe.task, recipe.lora, recipe.training

    def number(name: str, label: str, value: float | None, step: float) -> gr.Number:
        return gr.Number(value, label=label, step=step, placeholder="all", elem_id=f"{task}-{name}", min_width=120)

    with gr.Row():
        main = [
            number("rank", f"Rank (1 to {limits.rank if limits else 64})", lora.rank, 1),
            number("learning-rate", "Learning rate", training.learning_rate, 1e-5),
            number("epochs", "Epochs", training.epochs, 0.5),
        ]
    with gr.Accordion("More settings", open=False, elem_id=f"{task}-more"), gr.Row():
        more = [
            number("alpha", "Alpha", lora.alpha, 1),
            number("dropout", "Dropout", lora.dropout, 0.01),
            number("batch-size", "Batch size", training.batch_size, 1),
            number("max-tokens", "Tokens a row", training.max_tokens, 1),
            number("seed", "Seed", training.seed, 1),
            number("train-rows", "Training rows", recipe.data.train_rows, 1),
            number("test-rows", "Test rows", recipe.data.test_rows, 1),
        ]
    return [*main, *more]


def values_of(recipe: Recipe) -> list[Any]:
    """The recipe's settings, in the order of `FIELDS`."""
    values = recipe.model_dump()
    return [values[section][name] for section, name in (field.split(".") for field in FIELDS)]


def read(task: str, chosen: Chosen, name: str, *fields: Any) -> Recipe:
    """The recipe that the form describes.

    Raises:
        RecipeError: no such recipe for this task, or settings that are wrong, all of them in one message.
    """
    if name not in {recipe.name for recipe in recipes_of(task)}:
        raise RecipeError("There is no such recipe for this task", got=name, fix="Choose one from the list.")
    settings: dict[str, Any] = {}
    for field, value in zip(FIELDS, fields, strict=True):
        if value is None and field not in OPTIONAL:
            raise RecipeError(f"{field} is empty", fix="Write a number, or choose the recipe again.")
        # A number field gives 8.0 for 8; whatever is not whole is left for validation to refuse.
        whole = field in WHOLE and isinstance(value, float) and value.is_integer()
        settings[field] = int(value) if whole else value
    settings["strategy"] = "qlora" if settings["model.precision"] == "nf4" else "lora"
    settings["data.source"] = chosen.source
    settings["data.columns"], settings["data.labels"] = chosen.columns, chosen.labels
    return with_overrides(load_recipe(name), settings)


def kept(chosen: Chosen, visitor: Visitor) -> Chosen:
    """`chosen` with an uploaded file copied beside the runs: the upload's own place does not last."""
    kind, _, place = chosen.source.partition(":")
    return replace(chosen, source=f"file:{visitor.keep(Path(place))}") if kind == "file" else chosen


def weights_sentence(weight_mb: float, precision: str) -> str:
    """How heavy the base is: `4-bit NF4: 110 MB of weights`."""
    held = {"nf4": "In 4-bit NF4", "auto": "In the fastest precision of this machine"}
    said = held.get(precision, f"In {precision}")
    return f"{said}: {weight_mb:,.0f} MB of weights."
