"""The numbers that stand beside the words of the Learn tab, and the buttons of what is there to open.

What comes out of files is read when the tab is opened; what is counted needs the libraries, and is counted once.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from data.readers.files import read_table
from data.sources import CORPORA
from eval.report.headline import headline
from finetuning.demonstrations.demonstration import Demonstration, demonstration_names, load_demonstration
from finetuning.limits import Limits
from finetuning.recipe import RECIPES, Recipe, load_recipe, recipe_names, with_overrides
from models.tuned import bundled_folder
from ui.drawing import learn_text as said
from ui.drawing.learn import Counted, Counts, Go, Numbers, Update
from ui.drawing.reports import report_of
from ui.server.models_in_use import short_name
from ui.tabs.leading import LAB, OWN, TAB, may, with_strategy
from ui.tabs.train_form import strategies, strategy_of

CAUSAL = "sentiment-smollm2-lora"
SMALLER = "sentiment-minilm-lora"
CLASSIC = ("sentiment-distilbert-lora", "dialogue-llama2-7b-qlora")
"""Recipes whose counts everybody has read somewhere."""
COUNTED = (CAUSAL, SMALLER, *CLASSIC)
"""Recipes whose bases' parameters are counted, with each strategy."""
OF_WAY = {
    said.SELF_SUPERVISED[0]: ("style-smollm2-lora",),
    said.SUPERVISED[0]: (CAUSAL, "dialogue-smollm2-qlora", SMALLER),
    said.REINFORCEMENT[0]: (
        "dialogue-smollm2-dpo", "dialogue-smollm2-kto", "dialogue-smollm2-reward", "dialogue-smollm2-grpo",
    ),
}  # fmt: skip
"""Way's title → the recipes that show it."""
CHAINS = ("instructgpt-small",)
LABS = ("ways-dialogue", "options-sentiment", "options-dialogue", "rows-needed", "knowledge")
CHAINS_FOLDER, LABS_FOLDER = RECIPES / "chains", RECIPES.parent / "labs"
DRAWN = "up_proj"
"""The layer whose update is drawn."""
RANK = 8


def numbers(limits: Limits | None) -> Numbers:
    """All but what is counted."""
    supervised = report_of(bundled_folder() / "dialogue-smollm2-qlora" / "eval")
    found = {
        said.SELF_SUPERVISED[0]: rows_said("letters", "letters"),
        said.SUPERVISED[0]: headline(supervised) if supervised else None,
        said.REINFORCEMENT[0]: rows_said("preferences", "pairs"),
    }
    return Numbers(
        report=report_of(bundled_folder() / CAUSAL / "eval"),
        rows={"reviews": rows_said("reviews") or ""},
        steps={
            "task": [Go("Ask the base", f"{TAB}:compare")],
            "data": [Go("Bring rows of your own", OWN)],
            "base": _recipes((SMALLER,), limits, label="Take a smaller one"),
            "tune": _recipes((CAUSAL,), limits, label="Train it"),
            "evaluate": [Go("Ask base and tuned", f"{TAB}:compare"), Go("Read the report", f"{TAB}:evaluate")],
        },
        ways={title: _recipes(names, limits) for title, names in OF_WAY.items()},
        commands=[f"python -m finetuning train {name}" for name in there(CHAINS_FOLDER, CHAINS)],
        labs=[Go(f"Lab: {name}", f"{LAB}:{name}") for name in there(LABS_FOLDER, LABS)],
        trl=version("trl"),
        way_said={title: sentence for title, sentence in found.items() if sentence},
    )


def there(folder: Path, names: Iterable[str]) -> list[str]:
    """Those of `names` that ship in `folder`."""
    return [name for name in names if (folder / f"{name}.yaml").is_file()]


@functools.cache
def rows_said(corpus: str, noun: str = "rows") -> str | None:
    """How many rows of a bundled corpus are for what; None where there is no such corpus."""
    file = CORPORA / f"{corpus}.jsonl"
    if not file.is_file():
        return None
    counts = Counter(str(row["split"]) for _, row in read_table(file).rows)
    return (
        f"{corpus.capitalize()}, bundled: {counts['train']:,} {noun} to learn from, {counts['validation']:,} to "
        f"watch, {counts['test']:,} to judge by."
    )


def _recipes(names: Iterable[str], limits: Limits | None, *, label: str = "") -> list[Go]:
    found = (load_recipe(name) for name in names if name in recipe_names())
    return [Go(label or recipe.title, f"recipe:{recipe.name}") for recipe in found if may(recipe, limits)]


def demonstrations(limits: Limits | None, *, offered: bool = True) -> list[tuple[Demonstration, Go | None]]:
    """What goes wrong on purpose, and its button where the visitor may train it.

    They train whole models, so whether a stranger may is not known before the libraries are there: `offered` says
    whether they are.
    """
    found = []
    for name in demonstration_names():
        one = load_demonstration(name)
        allowed = (limits is None or offered) and may(one.as_recipe(), limits)
        go = Go("Open it in Train", f"demonstration:{name}") if allowed else None
        found.append((one, go))
    return found


# ---- what is counted: the libraries have to be there -----------------------------------------------------------


@functools.cache
def counts(limits: Limits | None) -> Counts:
    """Parameters with each strategy, by `finetuning.estimates`."""
    rows = [replace(one, go=_opens(recipe, limits)) for name in COUNTED for recipe, one in _counted(name)]
    of_causal = {strategy_of(recipe): one for recipe, one in _counted(CAUSAL)}
    recipe = load_recipe(CAUSAL)
    own, full = of_causal[strategy_of(recipe)], of_causal["full"]
    base_said = f"{full.base}: {full.count.total:,} parameters, {full.weight_mb:,.0f} MB of weights in float32"
    if packed := of_causal.get("qlora"):
        base_said += f" and {packed.weight_mb:,.0f} MB in 4 bits"
    return Counts(rows=rows, base_said=f"{base_said}.", tune_said=_tune_said(recipe, own))


@functools.cache
def _counted(name: str) -> list[tuple[Recipe, Counted]]:
    """A recipe with each strategy, and its counts; over a base in 4 bits only where the model writes."""
    from finetuning.estimates.estimate import parameter_count
    from finetuning.estimates.memory import weight_mb

    shipped, found = load_recipe(name), []
    for _, strategy in strategies():
        recipe = shipped if strategy == strategy_of(shipped) else with_strategy(shipped, strategy)
        if recipe.way.writes or recipe.model.precision != "nf4":
            count, base = parameter_count(recipe), short_name(recipe.model.base)
            found.append((recipe, Counted(base, recipe.strategy_title, count, weight_mb(recipe, count))))
    return found


def _opens(recipe: Recipe, limits: Limits | None) -> Go | None:
    """The button of a recipe with a strategy, where the visitor may train it."""
    about = f"Open {short_name(recipe.model.base)} with {recipe.strategy_title} in Train"
    return Go("Open", f"strategy:{recipe.name}:{strategy_of(recipe)}", about) if may(recipe, limits) else None


def _tune_said(recipe: Recipe, own: Counted) -> str:
    from finetuning.trainers.arguments import steps

    split = (row["split"] for _, row in read_table(CORPORA / "reviews.jsonl").rows)
    number = steps(recipe, sum(each == "train" for each in split))
    return (
        f"{recipe.title}: {number:,} steps of {recipe.training.batch_size} rows, at a learning rate of "
        f"{recipe.training.learning_rate:g}; {own.count.trainable:,} of {own.count.total:,} parameters learn."
    )


@functools.lru_cache(maxsize=300)
def update_at(rank: int) -> Update:
    """The update at a rank: of one layer, and of all that the recipe adapts."""
    from finetuning.estimates.estimate import parameter_count

    recipe = with_overrides(load_recipe(CAUSAL), {"strategy.rank": rank})
    layers = _adapted()
    inputs, outputs = next(shape for name, shape in layers.items() if name.endswith(DRAWN))
    return Update(f"{DRAWN} of a block", outputs, inputs, rank, len(layers), parameter_count(recipe))


@functools.cache
def _adapted() -> dict[str, tuple[int, int]]:
    from finetuning.estimates.adapted import adapted_layers

    return adapted_layers(load_recipe(CAUSAL))
