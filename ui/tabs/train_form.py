"""Steps 3 and 4 as a form: which recipe, and which of its settings were changed. A form → a recipe.

A setting that the chosen strategy does not have is not shown, and is never part of the recipe.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from data.tasks import Task
from finetuning.launchers.launcher import places
from finetuning.limits import Limits
from finetuning.recipe import Recipe, load_recipe, recipe_names, with_overrides
from finetuning.strategies import STRATEGIES, Strategy
from finetuning.ways import WAYS
from models.adapter_files import MAX_RANK
from plumbing.errors import RecipeError
from ui.server.visitors import Visitor
from ui.tabs.data_form import Chosen
from ui.tabs.fields import ALL, read_whole_or, whole_or, written

LABELS = {
    "model.base": "Base model",
    "model.precision": "Precision",
    "strategy.kind": "What learns",
    "strategy.rank": "Rank",
    "strategy.alpha": "Alpha",
    "strategy.dropout": "Dropout",
    "strategy.rslora": "rsLoRA: scaled for large ranks",
    "strategy.dora": "DoRA: slower, often better at small ranks",
    "strategy.blocks": "Blocks that learn",
    "strategy.new": "Start what learns anew, at random",
    "way.beta": "Beta: how dear it is to leave the reference",
    "training.learning_rate": "Learning rate",
    "training.epochs": "Epochs",
    "data.train_rows": "Training rows",
    "data.test_rows": "Test rows",
    "training.batch_size": "Batch size",
    "training.max_tokens": "Tokens a row",
    "evaluation.max_new_tokens": "Tokens an answer",
    "training.keep": "Keep",
    "training.patience": "Patience",
    "training.seed": "Seed",
    "where": "Where it runs",
}
"""What the form calls each setting, in the order of its fields."""
FIELDS = tuple(LABELS)
WHOLE = {
    "strategy.rank", "training.batch_size", "training.max_tokens", "evaluation.max_new_tokens", "training.seed"
}  # fmt: skip
OPTIONAL = {
    "data.train_rows": ALL,
    "data.test_rows": ALL,
    "strategy.blocks": "the usual",
    "training.patience": "never",
}
"""What it means where such a field is empty."""
TOLD = LABELS | {"task.instruction": "Instruction", "task.labels": "Labels"}
"""What an error calls a setting."""
SIZED = ("training.epochs", "data.train_rows", "data.test_rows")
"""What a size sets, in this order."""
PRECISIONS = ["auto", "float32", "bfloat16"]
FOUR_BIT = "q"
"""Stands before a strategy's name where it is over a base in 4 bit: qlora."""
WHOLE_RATE = 0.1
"""Of the learning rate of an adapter, where a base's own weights learn."""


@dataclass
class TrainForm:
    """The components of steps 3 and 4; `fields` are in the order of `FIELDS`."""

    recipe: gr.Dropdown
    fields: list[Any]
    size: gr.Radio
    """What sets some of the fields; no part of the recipe."""
    sizes: gr.HTML
    more: gr.Accordion
    costs: gr.HTML

    @property
    def inputs(self) -> list[Any]:
        return [self.recipe, *self.fields]

    def field(self, setting: str) -> Any:
        return self.fields[FIELDS.index(setting)]

    @property
    def sized(self) -> list[Any]:
        """The fields that a size fills."""
        return [self.field(setting) for setting in SIZED]

    def filled(self, recipe: Recipe) -> dict[Any, Any]:
        """Updates that show the settings of `recipe`, and those only that its strategy has."""
        return {
            field: _update(setting, value, recipe)
            for setting, field, value in zip(FIELDS, self.fields, values_of(recipe), strict=True)
        }

    def of_strategy(self, chosen: str, recipe: Recipe) -> dict[Any, Any]:
        """Updates after another strategy was chosen: which settings there are, and the usual learning rate."""
        rate = recipe.training.learning_rate
        if STRATEGIES[kind_of(chosen)].whole and not recipe.strategy.whole:
            rate *= WHOLE_RATE
        shown = {
            self.field(setting): _shown(setting, chosen)
            for setting in FIELDS
            if setting.startswith("strategy.") or setting == "model.precision"
        }
        del shown[self.field("strategy.kind")]
        return shown | {self.field("training.learning_rate"): rate}


# ---- strategies ------------------------------------------------------------------------------------------------


def strategies() -> list[tuple[str, str]]:
    """(title, name) of every strategy, also over a base in 4 bit where it can be."""
    found = []
    for kind, strategy in STRATEGIES.items():
        found.append((strategy(kind=kind).named("auto"), kind))
        if strategy.packed:
            found.append((strategy(kind=kind).named("nf4"), f"{FOUR_BIT}{kind}"))
    return found


def strategy_of(recipe: Recipe) -> str:
    """The name of a recipe's strategy, as the form has it."""
    packed = recipe.model.precision == "nf4"
    return f"{FOUR_BIT}{recipe.strategy.kind}" if packed else recipe.strategy.kind


def kind_of(chosen: str) -> str:
    """The strategy's own name."""
    return chosen if chosen in STRATEGIES else chosen.removeprefix(FOUR_BIT)


def chosen_strategy(chosen: str) -> dict[str, Any]:
    """The settings that choose a strategy by its name in the form."""
    strategy = STRATEGIES[kind_of(chosen)]
    settings: dict[str, Any] = {"strategy.kind": kind_of(chosen)}
    if chosen not in STRATEGIES:
        settings["model.precision"] = "nf4"
    elif strategy.whole:
        settings["model.precision"] = "auto"
    return settings


def _shown(setting: str, chosen: str) -> Any:
    """An update of a field: whether the chosen strategy has such a setting."""
    strategy: type[Strategy] = STRATEGIES[kind_of(chosen)]
    if setting == "model.precision":
        return gr.update(visible=chosen in STRATEGIES and not strategy.whole)
    return gr.update(visible=setting.partition(".")[2] in strategy.model_fields)


def _update(setting: str, value: Any, recipe: Recipe) -> Any:
    if setting.startswith("way."):
        return gr.update(value=value, visible=_of_way(setting, recipe))
    if setting == "strategy.kind" or not (setting.startswith("strategy.") or setting == "model.precision"):
        return value
    return _shown(setting, strategy_of(recipe)) | {"value": value}


def _of_way(setting: str, recipe: Recipe) -> bool:
    """Whether a recipe's way has such a setting."""
    return setting.partition(".")[2] in type(recipe.way).model_fields


# ---- laying it out ---------------------------------------------------------------------------------------------


def recipes_of(task: str | None) -> list[Recipe]:
    """The recipes of a task that ships; of one's own task every recipe may give its model and settings."""
    found = [load_recipe(name) for name in recipe_names()]
    return [recipe for recipe in found if task is None or recipe.task == task]


def offered(known: list[Recipe], limits: Limits | None) -> list[Recipe]:
    """Those of `known` whose base model a visitor with such limits may choose."""
    return [recipe for recipe in known if limits is None or recipe.model.base in limits.base_models]


def titles(recipes: list[Recipe]) -> list[tuple[str, str]]:
    """(title, name) of recipes to choose from."""
    return [(recipe.title, recipe.name) for recipe in recipes]


def bases(recipes: list[Recipe]) -> list[str]:
    """Their base models, each once."""
    return list(dict.fromkeys(recipe.model.base for recipe in recipes))


def build_base(
    name: str, recipe: Recipe, known: list[Recipe], limits: Limits | None = None
) -> tuple[Any, list[Any]]:
    """Step 3, folded: the recipe dropdown, and the fields of the base model; strangers choose from the list."""
    known = offered(known, limits)
    label = "Base model: a name as on the Hub, or a folder" if limits is None else "Base model"
    with gr.Accordion("Another base model or recipe", open=False, elem_id=f"{name}-another"), gr.Row():
        chosen = gr.Dropdown(
            titles(known),
            value=recipe.name,
            label="Model and settings as in",
            elem_id=f"{name}-recipe",
        )
        base = gr.Dropdown(
            bases(known),
            value=recipe.model.base,
            allow_custom_value=limits is None,
            label=label,
            elem_id=f"{name}-base",
        )
        precision = gr.Dropdown(
            PRECISIONS, value="auto" if recipe.model.precision == "nf4" else recipe.model.precision,
            label=LABELS["model.precision"], elem_id=f"{name}-precision",
            visible=_shown("model.precision", strategy_of(recipe))["visible"],
        )  # fmt: skip
    return chosen, [base, precision]


def build_settings(
    name: str, recipe: Recipe, costs: gr.HTML, limits: Limits | None = None
) -> tuple[Any, list[Any]]:
    """Step 4, folded: every other setting, with what each strategy costs."""
    values = dict(zip(FIELDS, values_of(recipe), strict=True))
    has = strategy_of(recipe)

    def looks(setting: str) -> dict[str, Any]:
        last = {"strategy.kind": "strategy"}.get(setting, setting.rpartition(".")[2].replace("_", "-"))
        visible = True
        if setting.startswith("strategy.") and last != "strategy":
            visible = _shown(setting, has)["visible"]
        if setting.startswith("way."):
            visible = _of_way(setting, recipe)
        return {"label": LABELS[setting], "elem_id": f"{name}-{last}", "min_width": 120, "visible": visible}

    def number(setting: str, step: float, **more: Any) -> gr.Number:
        return gr.Number(values[setting], step=step, **looks(setting) | more)

    def optional(setting: str) -> gr.Textbox:
        value = values[setting]
        return whole_or(OPTIONAL[setting], int(value) if value else None, **looks(setting))

    def tick(setting: str) -> gr.Checkbox:
        return gr.Checkbox(values[setting], container=False, **looks(setting) | {"min_width": 240})

    with gr.Accordion("More settings", open=False, elem_id=f"{name}-more") as more:
        kind = gr.Radio(strategies(), value=has, **looks("strategy.kind"))
        costs.render()  # type: ignore[no-untyped-call]
        with gr.Row():
            lora = [
                number("strategy.rank", 1, label=f"Rank (1 to {limits.rank if limits else MAX_RANK})"),
                number("strategy.alpha", 1),
                number("strategy.dropout", 0.01),
            ]
            ticks = [tick("strategy.rslora"), tick("strategy.dora")]
            last = [optional("strategy.blocks"), tick("strategy.new"), number("way.beta", 0.05)]
        with gr.Row():
            sized = [
                number("training.learning_rate", 1e-5),
                number("training.epochs", 0.5),
                optional("data.train_rows"),
                optional("data.test_rows"),
            ]
        with gr.Row():
            rest = [
                number("training.batch_size", 1),
                number("training.max_tokens", 1),
                number("evaluation.max_new_tokens", 1),
                gr.Dropdown(
                    [("the best step", "best"), ("the last step", "last")],
                    value=values["training.keep"],
                    **looks("training.keep"),
                ),
                optional("training.patience"),
                number("training.seed", 1),
                _where(values["where"], strangers=limits is not None, **looks("where")),
            ]
    return more, [kind, *lora, *ticks, *last, *sized, *rest]


def _where(value: str, *, strangers: bool, **looks: Any) -> gr.Dropdown:
    """Where it runs; shown where there is a choice, and never to strangers."""
    there_are = places()
    if value not in dict(map(reversed, there_are)):  # type: ignore[arg-type]
        there_are.append((value, value))
    shown = len(there_are) > 1 and not strangers
    return gr.Dropdown(there_are, value=value, **looks | {"visible": shown})


# ---- reading it ------------------------------------------------------------------------------------------------


def values_of(recipe: Recipe) -> list[Any]:
    """The recipe's settings, in the order of `FIELDS`; of strategies and ways that it has not, the usual ones."""
    usual = {
        name: value for kind, each in STRATEGIES.items() for name, value in each(kind=kind).model_dump().items()
    }
    values = recipe.model_dump()
    values["strategy"] = usual | values["strategy"] | {"kind": strategy_of(recipe)}
    values["way"] = _usual_of_ways() | values["way"]
    if recipe.model.precision == "nf4":
        values["model"]["precision"] = "auto"
    found = {field: _value(values, field) for field in FIELDS}
    return [written(value) if field in OPTIONAL else value for field, value in found.items()]


def _value(values: dict[str, Any], field: str) -> Any:
    section, _, name = field.partition(".")
    return values[section][name] if name else values[section]


def _usual_of_ways() -> dict[str, Any]:
    """What the settings of ways are where nobody says, by their names."""
    fields = ((name, each) for way in WAYS.values() for name, each in way.model_fields.items())
    return {name: each.default for name, each in fields if not each.is_required() and name != "kind"}


def read(
    known: list[Recipe], chosen: Chosen, name: str, *fields: Any, task: Mapping[str, Any] | None = None
) -> Recipe:
    """The recipe that the form describes.

    Args:
        known: the recipes that can be chosen.
        chosen: the rows.
        name: of the chosen recipe.
        fields: in the order of `FIELDS`.
        task: settings that make it the recipe of another task; None leaves the recipe its own.

    Raises:
        RecipeError: no such recipe for this task, or settings that are wrong, all of them in one message.
    """
    shipped = next((recipe for recipe in known if recipe.name == name), None)
    if shipped is None:
        raise RecipeError(
            "There is no such recipe for this task", got=str(name)[:100], fix="Choose one from the list."
        )
    given = dict(zip(FIELDS, fields, strict=True))
    strategy = given.pop("strategy.kind")
    if strategy not in dict(map(reversed, strategies())):  # type: ignore[arg-type]
        raise RecipeError("There is no such strategy", got=str(strategy)[:100], fix="Choose one from the list.")
    has = STRATEGIES[kind_of(strategy)].model_fields
    settings: dict[str, Any] = dict(task or {})
    for field, value in given.items():
        section, _, last = field.partition(".")
        if section == "way" and not _of_way(field, shipped):
            continue
        if section != "strategy" or last in has:
            settings[field] = _read_field(field, value)
    settings |= chosen_strategy(strategy)
    settings["data.source"] = chosen.source
    settings["data.columns"], settings["data.labels"] = chosen.columns, chosen.labels
    settings["data.skip_empty"] = chosen.skip_empty
    with in_labels():
        recipe = with_overrides(shipped, settings)
        if recipe.strategy_title != shipped.strategy_title or task:
            about = task["title"] if task else recipe.task_definition.title
            recipe = with_overrides(recipe, {"title": f"{about} · {recipe.way.title or recipe.strategy_title}"})
    return recipe


def _read_field(field: str, value: Any) -> Any:
    if field in OPTIONAL:
        return read_whole_or(OPTIONAL[field], value, LABELS[field])
    if value is None:
        raise RecipeError(f"“{LABELS[field]}” is empty", fix="Write a number, or choose the recipe again.")
    # A number field gives 8.0 for 8; whatever is not whole is left for validation to refuse.
    whole = field in WHOLE and isinstance(value, float) and value.is_integer()
    return int(value) if whole else value


def knowing(recipe: Recipe, task: Task) -> Recipe:
    """`recipe` with what is known of its task once its rows are: labels, and the instruction that names them."""
    if isinstance(recipe.task, str):
        return recipe
    labels = list(task.labels) or None
    with in_labels():
        return with_overrides(recipe, {"task.labels": labels, "task.instruction": task.instruction})


@contextlib.contextmanager
def in_labels() -> Iterator[None]:
    """Within it, what is wrong with a setting is said by the label of its field."""
    try:
        yield
    except RecipeError as error:
        named = re.compile(rf"\b({'|'.join(map(re.escape, TOLD))})\b")

        def by_label(said: str) -> str:
            return named.sub(lambda found: f"“{TOLD[found[1]]}”", said)

        raise RecipeError(by_label(error.problem), got=error.got, fix=by_label(error.fix)) from None


def with_own_corpus(chosen: Chosen, shipped: Recipe) -> Chosen:
    """`chosen` with the bundled rows that a recipe ships with, where those of its task are chosen."""
    own, corpus = shipped.data.source, shipped.task_definition.corpus
    return replace(chosen, source=own) if corpus == chosen.source and own.startswith("corpus:") else chosen


def kept(chosen: Chosen, visitor: Visitor) -> Chosen:
    """`chosen` with an uploaded file copied beside the runs: the upload's own place does not last."""
    kind, _, place = chosen.source.partition(":")
    return replace(chosen, source=f"file:{visitor.keep(Path(place))}") if kind == "file" else chosen


def weights_sentence(base: str, weight_mb: float, precision: str) -> str:
    """Which base, and how heavy: `SmolLM2-135M. 4-bit NF4: 110 MB of weights`."""
    held = {"nf4": "In 4-bit NF4", "auto": "In the fastest precision of this machine"}
    said = held.get(precision, f"In {precision}")
    return f"{base}. {said}: {weight_mb:,.0f} MB of weights."
