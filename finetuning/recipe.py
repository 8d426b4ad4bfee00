"""A recipe: every setting of a run, validated before anything is loaded.

Recipes are YAML files in `finetuning/recipes/`. Unknown keys are refused and all errors are shown at once. What
is saved with a run is the resolved recipe: complete, and free of secrets because no field can hold one.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from data.tasks import TASKS, Task
from data.tasks.own import OwnTask
from finetuning.settings import Settings
from finetuning.strategies import STRATEGIES, AnyStrategy
from finetuning.strategies.strategy import ModelKind
from finetuning.upgrade import RENAMED, upgrade
from finetuning.ways import KIND_OF_WAY, Way
from plumbing.errors import RecipeError
from plumbing.reading import read_text

if TYPE_CHECKING:
    from transformers import PreTrainedModel

RECIPES = Path(__file__).parent / "recipes"
_LABELS = "data.labels."
_NOTHING = ("", "null", None)
MAX_BYTES = 2**17
"""Of a recipe file; those that ship have a hundredth of it."""


class DataSettings(Settings):
    source: str
    """Where the rows come from: corpus:NAME, file:PATH or hub:OWNER/NAME."""
    test: str | None = None
    """Another source whose rows are the test split."""
    columns: dict[str, str] | None = None
    """Task column → column of the source, where the guess is wrong."""
    labels: dict[str, str | None] | None = None
    """Label value in the source → task label; null leaves such rows out."""
    skip_empty: bool = False
    """Leave out rows whose text, label or summary is empty; else they are refused with their numbers."""
    train_rows: Annotated[int, Field(ge=8)] | None = None
    """Use only this many training rows: a sample by training.seed, with every label in its share."""
    test_rows: Annotated[int, Field(ge=1)] | None = None
    """Evaluate on only this many test rows: a fixed sample, with every label in its share."""


class ModelSettings(Settings):
    base: str
    """Name as on the Hub, or a folder."""
    precision: Literal["auto", "float32", "bfloat16", "nf4"] = "auto"
    """How the base weights are held; nf4 makes it QLoRA."""


class TrainingSettings(Settings):
    epochs: Annotated[float, Field(gt=0, le=100)] = 2.0
    max_steps: Annotated[int, Field(ge=1)] | None = None
    """Stop after this many optimizer steps, whatever `epochs` says."""
    batch_size: Annotated[int, Field(ge=1, le=512)] = 16
    """Rows a forward pass."""
    gradient_accumulation: Annotated[int, Field(ge=1, le=512)] = 1
    """Forward passes an optimizer step."""
    gradient_checkpointing: bool = False
    """Keep the input of each layer alone and compute the rest again on the way back: less memory, a third more
    work. Worth it where it makes room for a larger batch, as on a GPU; a processor computes no layers by hand then.
    """
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 5e-4
    """Peak; warms up linearly, then falls linearly to zero."""
    warmup_share: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of the steps that warm up."""
    weight_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    max_tokens: Annotated[int, Field(ge=16, le=8192)] = 512
    """Longest row, prompt and completion together. A longer one is an error, never cut silently."""
    max_minutes: Annotated[float, Field(gt=0, le=100_000)] | None = None
    """Wall-clock limit of training and evaluation, all attempts together. A run that reaches it saves a checkpoint
    and fails."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0


class EvaluationSettings(Settings):
    batch_size: Annotated[int, Field(ge=1, le=512)] | None = None
    """Test rows a batch; each stands in it for base and for tuned. Left out: a good one for the task."""
    max_new_tokens: Annotated[int, Field(ge=1, le=2048)] = 64
    """Where a generated answer is cut off."""
    few_shot: Annotated[int, Field(ge=0, le=32)] = 4
    """Examples shown to a base that is compared as well, in its prompt; 0 leaves it out."""
    few_shot_draws: Annotated[int, Field(ge=1, le=10)] = 3
    """How often they are drawn, each time in another order; each draw is one more pass of the base."""
    forgetting: bool = True
    """Measure on general text what tuning cost elsewhere."""


class Recipe(Settings):
    """All settings of one run."""

    version: Literal[2] = 2
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{1,63}$")]
    title: str
    task: str | OwnTask
    """One of those that ship, by its name, or one of one's own."""
    way: Way
    """sft: supervised, a language model learns to write the answers; classify: an encoder with a head of labels."""
    strategy: AnyStrategy
    """Which parameters learn."""
    data: DataSettings
    model: ModelSettings
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()

    @property
    def task_definition(self) -> Task:
        """Its task; the labels of one's own may still have to be read from its data."""
        return TASKS[self.task] if isinstance(self.task, str) else self.task.definition()

    @property
    def kind(self) -> ModelKind:
        """causal for a language model, classifier for an encoder with a head."""
        return KIND_OF_WAY[self.way]

    @property
    def strategy_title(self) -> str:
        """What people call the strategy over this base: `QLoRA`."""
        return self.strategy.named(self.model.precision)

    def apply_strategy(self, model: PreTrainedModel) -> Any:
        """Make a loaded base ready to train, as the strategy says; see `Strategy.apply`."""
        return self.strategy.apply(model, self.kind, base=self.model.base, seed=self.training.seed)

    @field_validator("task")
    @classmethod
    def _ships(cls, task: str | OwnTask) -> str | OwnTask:
        if isinstance(task, str) and task not in TASKS:
            raise ValueError(f"there is no such task; there are {', '.join(TASKS)}, or give one of your own a kind")
        return task

    @model_validator(mode="after")
    def _fits_together(self) -> Recipe:
        task = self.task_definition
        if self.way == "classify" and not task.is_classification:
            raise ValueError(
                f"way: a classifier cannot be trained on {task.noun[1]}, which have no labels; sft can"
            )
        if task.kind == "text":
            raise ValueError("way: raw text is read, but nothing learns from it yet; give inputs and answers")
        if self.model.precision == "nf4" and not self.strategy.packed:
            raise ValueError(
                f"strategy.kind: {self.strategy.kind} changes weights, and those in 4 bits (model.precision: nf4) "
                "cannot be changed; lora can, or another precision"
            )
        return self

    def to_yaml(self) -> str:
        """The complete recipe, as saved with a run."""
        return yaml.safe_dump(self.model_dump(), sort_keys=False, allow_unicode=True)


def recipe_names() -> list[str]:
    """Names of the recipes that ship, in alphabetical order."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def load_recipe(name: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a shipped recipe by name, or any by path, with `key.path=value` overrides on top.

    Raises:
        RecipeError: no such recipe, or settings that are wrong, all of them in one message.
    """
    path = Path(name)
    if path.suffix not in {".yaml", ".yml"}:
        path = RECIPES / f"{name}.yaml"
        if str(name) not in recipe_names():
            close = difflib.get_close_matches(str(name), recipe_names(), n=1, cutoff=0.4)
            hint = f"Did you mean {close[0]}? " if close else ""
            raise RecipeError(
                "There is no such recipe", got=str(name), fix=f"{hint}There are: {', '.join(recipe_names())}."
            )
    try:
        values = read_yaml(read_text(path, limit=MAX_BYTES))
    except (OSError, ValueError) as error:
        raise RecipeError(f"The recipe cannot be read: {error}", got=str(path)) from None
    if not isinstance(values, dict):
        raise RecipeError("A recipe is a mapping of settings", got=type(values).__name__)
    values = upgrade(values)
    for override in sorted(overrides, key=_chooses_a_kind):
        _apply(values, override)
    return parse_recipe(values)


class _WithoutAliases(yaml.parser.Parser, yaml.composer.Composer):
    """An alias could stand for a list of a billion."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias (*) is not allowed here")
        return super().compose_node(parent, index)


class _Loader(_WithoutAliases, yaml.SafeLoader):
    """Plain values only."""


class _TextLoader(_WithoutAliases, yaml.BaseLoader):
    """Texts only, whatever they look like."""


def read_yaml(text: str, *, texts: bool = False) -> Any:
    """The plain values that `text` holds; with `texts`, every one of them as a text.

    Raises:
        ValueError: it is no YAML, or of a kind that has no business in a recipe. Says why, in a line.
    """
    if len(text) > MAX_BYTES:
        raise ValueError(f"it is longer than {MAX_BYTES} characters")
    try:
        return yaml.load(text, _TextLoader if texts else _Loader)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, AttributeError) as error:
        raise ValueError(" ".join(str(error).split())[:300] or type(error).__name__) from None


def parse_recipe(values: Any) -> Recipe:
    """Validate `values` as a recipe; one `RecipeError` names everything that is wrong."""
    try:
        return Recipe.model_validate(upgrade(values) if isinstance(values, dict) else values)
    except ValidationError as error:
        raise RecipeError("The recipe is not valid: " + "; ".join(_sentences(error))) from None


def with_overrides(recipe: Recipe, overrides: Mapping[str, Any]) -> Recipe:
    """`recipe` with dotted settings replaced, such as `{"training.epochs": 3}`, validated again."""
    values = recipe.model_dump()
    for key in sorted(overrides, key=_chooses_a_kind):
        _put(values, key, overrides[key])
    return parse_recipe(values)


def with_settings(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """`recipe` with `key.path=value` settings as somebody writes them, validated again; see `load_recipe`."""
    values = recipe.model_dump()
    for setting in sorted(settings, key=_chooses_a_kind):
        _apply(values, setting)
    return parse_recipe(values)


def read_mapping(overrides: Sequence[str]) -> DataSettings:
    """How rows are read, out of `data.columns.NAME=COLUMN`, `data.labels.VALUE=LABEL` and `data.skip_empty=true`.

    Raises:
        RecipeError: it is another setting, or no such value.
    """
    values: dict[str, Any] = {"data": {"source": ""}}
    for override in overrides:
        key = override.partition("=")[0]
        if not key.startswith(("data.columns.", "data.labels.")) and key != "data.skip_empty":
            raise RecipeError(
                "Only how the rows are read can be set here",
                got=override[:100],
                fix="Write data.columns.NAME=COLUMN, data.labels.VALUE=LABEL or data.skip_empty=true.",
            )
        _apply(values, override)
    try:
        return DataSettings.model_validate(values["data"])
    except ValidationError as error:
        raise RecipeError("The mapping is not valid: " + "; ".join(_sentences(error))) from None


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise RecipeError("A setting is changed as key=value", got=override, fix="For example training.epochs=3.")
    if key.startswith(_LABELS):  # a label in somebody's data may hold the sign, what it means does not
        key, _, text = override.rpartition("=")
    if (group := key.partition(".")[0]) in RENAMED and group not in Recipe.model_fields:
        now = key.replace(group, RENAMED[group], 1)
        raise RecipeError("This setting has another name now", got=override[:100], fix=f"Write {now}={text[:100]}.")
    path, kind = _place(key)
    try:
        value = _value(text, kind)
        _choose_kind(values, key, value)
        if key != "strategy" or not isinstance(value, str):
            _put_at(values, path, value)
    except ValueError as error:
        raise RecipeError(f"The value of {key[:100]} cannot be read: {error}", got=text[:100]) from None


def _place(key: str) -> tuple[list[str], Any]:
    """The parts of a dotted key, and the type that its value has there; None for a setting that does not exist.

    What follows the name of a mapping is one key of it, whatever dots it holds: `data.labels.0.91`.
    """
    parts = key.split(".")
    group: type[BaseModel] = Recipe
    for number, part in enumerate(parts, start=1):
        field = group.model_fields.get(part)
        if field is None:
            return parts, None
        kind, rest = field.annotation, parts[number:]
        groups = _groups(kind)
        if groups and rest:
            group = next((each for each in groups if rest[0] in each.model_fields), groups[0])
            continue
        mapping = next((each for each in (kind, *get_args(kind)) if get_origin(each) is dict), None)
        if mapping and rest:
            return [*parts[:number], ".".join(rest)], get_args(mapping)[1]
        return parts, mapping if mapping else kind if not rest else None
    return parts, None


def _groups(kind: Any) -> list[type[BaseModel]]:
    """The groups of settings that a field of this type can hold: one, or one of several."""
    return [each for each in (kind, *get_args(kind)) if isinstance(each, type) and issubclass(each, BaseModel)]


def _value(text: str, kind: Any) -> Any:
    """`text` as a value of type `kind`. What is a text by its type is taken as it is, never read as YAML.

    Raises:
        ValueError: it is no YAML where it should be.
    """
    kinds = get_args(kind) or (kind,)
    if get_origin(kind) is dict:
        return _texts(text, optional=NoneType in get_args(kinds[1]))
    lists = [each for each in (kind, *kinds) if get_origin(each) is list]
    if lists:
        return read_yaml(text, texts=get_args(lists[0]) == (str,))
    if get_origin(kind) is Literal or set(kinds) <= {str, NoneType}:
        return None if NoneType in kinds and text in _NOTHING else text
    value = read_yaml(text)
    if isinstance(value, str):  # YAML 1.1 takes 5e-4 for text
        with contextlib.suppress(ValueError):
            return float(value)
    return value


def _texts(text: str, *, optional: bool) -> Any:
    """A mapping of texts, written as YAML: `no` is no, not false."""
    value = read_yaml(text, texts=True)
    if isinstance(value, dict) and optional:
        return {key: None if item in _NOTHING else item for key, item in value.items()}
    return None if value in _NOTHING else value


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key, making sections on the way; a wrong key is found by validation afterwards."""
    _choose_kind(values, key, value)
    if key != "strategy" or not isinstance(value, str):
        _put_at(values, key.split("."), value)


def _chooses_a_kind(override: str) -> bool:
    """Whether an override does not choose a strategy's or a task's kind; those come first."""
    return override.partition("=")[0] not in ("strategy", "strategy.kind", "task", "task.kind")


def _choose_kind(values: dict[str, Any], key: str, value: Any) -> None:
    """Drop the settings of a strategy or task for which another kind is chosen.

    `strategy=lora` is short for its kind; qlora is short for lora over a base in 4 bits.
    """
    group = key.removesuffix(".kind")
    if group not in ("strategy", "task") or not isinstance(value, str) or key == "task":
        return
    if key == "strategy":
        four_bit = values.get("model", {}).get("precision") == "nf4"
        if value == "qlora" or four_bit:
            _put_at(values, ["model", "precision"], "nf4" if value == "qlora" else "auto")
        value = "lora" if value == "qlora" else value
    now = values.get(group)
    if not isinstance(now, dict) or now.get("kind") != value:
        values[group] = {"kind": value}


def _put_at(values: dict[str, Any], path: Sequence[str], value: Any) -> None:
    *sections, last = path
    for section in sections:
        inner = values.get(section)
        if not isinstance(inner, dict):
            inner = values[section] = {}
        values = inner
    values[last] = value


def _sentences(error: ValidationError) -> list[str]:
    sentences = []
    for problem in error.errors():
        if _of_another_kind(problem):
            continue
        where = _where(problem["loc"])
        text = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            text = f"there is no such setting{_nearest(where)}"
        elif where and problem["type"] != "missing":
            text = f"{text} (got {_shown(problem['input'])})"
        sentences.append(f"{where}: {text}" if where else text)
    return sentences


_KINDS = {each.__name__ for each in (str, OwnTask)} | set(STRATEGIES)
"""What pydantic calls the several kinds that a setting can be of."""


def _where(place: tuple[int | str, ...]) -> str:
    """The dotted name of a setting, without the kind of the group that it is in."""
    return ".".join(str(part) for number, part in enumerate(place) if number != 1 or part not in _KINDS)


def _of_another_kind(problem: Any) -> bool:
    """Whether it says of a task's name that it is no group of settings, or of such a group that it is no name."""
    place = problem["loc"]
    if len(place) < 2 or place[0] != "task":
        return False
    return bool(place[1] == "str" if isinstance(problem["input"], dict) else place == ("task", "OwnTask"))


def _shown(value: object) -> str:
    """`value`, short: a number of 10,000 digits has no representation, and nobody reads it."""
    try:
        return repr(value)[:200]
    except ValueError:
        return "a number of very many digits"


def _nearest(where: str) -> str:
    """The settings that a misspelt one could have been."""
    section, _, wrong = where.rpartition(".")
    field = Recipe.model_fields.get(section)
    groups = [Recipe] if not section else _groups(field.annotation) if field else []
    known = list(dict.fromkeys(name for group in groups for name in group.model_fields))
    close = difflib.get_close_matches(wrong, known, n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; there are {', '.join(known)}" if known else ""
