"""A recipe: every setting of a run, validated before anything is loaded.

Recipes are YAML files in `finetuning/recipes/`. Unknown keys are refused and all errors are shown at once. What
is saved with a run is the resolved recipe: complete, and free of secrets because no field can hold one.
"""

from __future__ import annotations

import contextlib
import copy
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from data.tasks import TASKS, Task
from data.tasks.own import OwnTask
from eval.metrics import is_here, require_known, require_primary
from finetuning.launchers.launcher import HERE, launcher_of
from finetuning.overrides import MAX_BYTES, apply_override, groups_of, in_order, put
from finetuning.overrides import read_yaml as read_yaml
from finetuning.settings import Place, Settings, sentences
from finetuning.strategies import STRATEGIES, AnyStrategy
from finetuning.strategies.strategy import ModelKind
from finetuning.trackers import Tracker
from finetuning.upgrade import upgrade
from finetuning.ways import WAYS, AnyWay
from plumbing.errors import RecipeError
from plumbing.reading import read_text
from plumbing.yaml_text import to_yaml

if TYPE_CHECKING:
    from transformers import PreTrainedModel

RECIPES = Path(__file__).parent / "recipes"


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
    """How the base weights are held; nf4 makes it QLoRA. auto is bfloat16 where the machine multiplies it natively,
    else float32. Where the base's own weights learn it is float32, and a GPU computes in bfloat16 by autocast."""
    adapter: str | None = None
    """Go on training this adapter of the same base: the id of a run, or a folder. Its rank and modules have to be
    those of `strategy`."""


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
    shard: bool | None = None
    """Whether each of several processes holds a part of the base, which is whole only where it is computed just now
    (FSDP2). Left out: where a GPU has no room for all of it. Under an adapter, and not in 4 bits."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 5e-4
    """Peak; warms up linearly, then goes on as `schedule` says. For full and last a tenth of it is usual."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """After the warm-up: down to zero in a line, along half a cosine, or not at all."""
    warmup_share: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of the steps that warm up."""
    optimizer: Literal["adamw", "paged-adamw-8bit"] = "adamw"
    """paged-adamw-8bit is that of bitsandbytes: AdamW's moments in 8 bits, and outside of a GPU's memory where that
    is short. Needs a GPU of NVIDIA's."""
    weight_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    max_grad_norm: Annotated[float, Field(ge=0, le=1e6)] = 1.0
    """Longer gradients, taken all together, are scaled down to this length; 0 leaves them as they are."""
    max_tokens: Annotated[int, Field(ge=16, le=8192)] = 512
    """Longest row, prompt and completion together. A longer one is an error, never cut silently."""
    max_minutes: Annotated[float, Field(gt=0, le=100_000)] | None = None
    """Wall-clock limit of training and evaluation, all attempts together. A run that reaches it saves a checkpoint
    and fails."""
    eval_steps: Annotated[int, Field(ge=1)] | None = None
    """Measure the validation loss every so many steps, and after the last. Left out: about ten times a run; less
    often, if there is no patience, where so many rows would be more than a fifth of those that are trained on."""
    eval_rows: Annotated[int, Field(ge=0, le=100_000)] = 100
    """Validation rows that it is measured on: a fixed sample, with every label in its share. 0 measures none."""
    eval_metric: bool = False
    """Measure the task's metric as well, on some of these rows."""
    keep: Literal["best", "last"] = "best"
    """What the run ends with: the step whose validation loss was lowest, or the last; the last where none is."""
    patience: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Stop once the validation loss was measured this often without a new lowest."""
    report_to: Tracker | None = None
    """Tell a tracker of transformers, too, if it is installed: trackio and tensorboard work without a network. The
    run folder holds all of it in any case."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0


class EvaluationSettings(Settings):
    skip: bool = False
    """End once it is trained: the test rows are not looked at. For runs that are only to be chosen from."""
    source: str | None = None
    """Judge the test split of this source, or all rows of a file, and not the data's own: corpus:NAME, file:PATH
    or hub:OWNER/NAME. Rows that were trained on are left out, and data.test_rows counts of these."""
    batch_size: Annotated[int, Field(ge=1, le=512)] | None = None
    """Test rows a batch; each stands in it for base and for tuned. Left out: a good one for the task."""
    max_new_tokens: Annotated[int, Field(ge=1, le=2048)] = 64
    """Where a generated answer is cut off."""
    few_shot: Annotated[int, Field(ge=0, le=32)] | None = None
    """Examples shown to a base that is compared as well, in its prompt; 0 leaves it out. Left out: as many as suit
    the task."""
    few_shot_draws: Annotated[int, Field(ge=1, le=10)] = 3
    """How often they are drawn, each time in another order; each draw is one more pass of the base."""
    context: str | None = None
    """A text file, or corpus:FILE, for a base that is compared as well: it stands before every question."""
    metrics: Annotated[list[str], Field(max_length=16)] = Field(default_factory=list)
    """Metrics to look at besides: number:1%, regex:PATTERN, json-schema:FILE and their like; evaluate:NAME for one
    of evaluate's on this machine, each row scored apart; evaluate:NAME:whole for the whole test set; and :lower at
    the end where lower is better."""
    forgetting: bool = True
    """Measure on general text what tuning cost elsewhere."""


class Recipe(Settings):
    """All settings of one run."""

    version: Literal[2] = 2
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{1,63}$")]
    title: str
    task: str | OwnTask
    """One of those that ship, by its name, or one of one's own."""
    way: AnyWay
    """How it learns; one without settings may be written as its name. sft: supervised, a language model learns to
    write the answers; text: self-supervised, it learns to expect what comes next in raw text; classify: an encoder
    with a head of labels; dpo: pairs of a better and a worse answer; kto: answers with a thumb up or down; reward:
    a language model with a head of one number learns which of two answers is the better; online: a language model
    learns from what its own answers are worth."""
    strategy: AnyStrategy
    """Which parameters learn."""
    data: DataSettings
    model: ModelSettings
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    where: str = HERE
    """Where it runs. here: this machine, in one process; here:N: in N processes of it that share each batch, one a
    GPU where there are some."""

    @property
    def task_definition(self) -> Task:
        """Its task; the labels of one's own may still have to be read from its data."""
        return TASKS[self.task] if isinstance(self.task, str) else self.task.definition()

    @property
    def kind(self) -> ModelKind:
        """The kind of model that is loaded, see `models.kinds`."""
        return self.way.model_kind

    @property
    def load_precision(self) -> Literal["auto", "float32", "bfloat16", "nf4"]:
        """How the base is held: what learns of it is float32."""
        return "float32" if self.strategy.whole else self.model.precision

    @property
    def few_shot(self) -> int:
        """Examples in the prompt of a base that is compared as well."""
        chosen = self.evaluation.few_shot
        return self.task_definition.few_shot if chosen is None else chosen

    def rows_of_tokens(self, rows: Sequence[Mapping[str, Any]], task: Task, count: int | None = None) -> int:
        """About how many rows of tokens it trains on, if it is given `rows`, of which it takes `count`."""
        made = self.way.rows_of_tokens(rows, task, self.training.max_tokens)
        taken = min(len(rows), count or self.data.train_rows or len(rows))
        return max(1, round(made * taken / max(1, len(rows))))

    @property
    def named_here(self) -> list[str]:
        """What it names on this machine that an evaluation reads or runs: not for strangers to name."""
        context = self.evaluation.context or ""
        found = [context] if context and not context.startswith("corpus:") else []
        named = (self.task_definition.metric, *self.evaluation.metrics)
        return found + [name for name in named if is_here(name)]

    @property
    def strategy_title(self) -> str:
        """What people call the strategy over this base: `QLoRA`."""
        return self.strategy.named(self.model.precision, self.kind)

    def apply_strategy(self, model: PreTrainedModel) -> Any:
        """Make a loaded base ready to train, as the strategy says; see `Strategy.apply`."""
        return self.strategy.apply(model, self.kind, base=self.model.base, seed=self.training.seed)

    @field_validator("task")
    @classmethod
    def _ships(cls, task: str | OwnTask) -> str | OwnTask:
        if isinstance(task, str) and task not in TASKS:
            raise ValueError(f"there is no such task; there are {', '.join(TASKS)}, or give one of your own a kind")
        return task

    @field_validator("where")
    @classmethod
    def _is_a_place(cls, where: str) -> str:
        launcher_of(where)
        return where

    @model_validator(mode="after")
    def _fits_together(self) -> Recipe:
        refused = self.way.refused(self.task_definition)
        if refused:
            raise ValueError(f"way: {refused}")
        if unfit := self.way.unfit(self):
            raise ValueError(unfit)
        if refused := self.strategy.refused(self.kind, self.model.precision):
            raise ValueError(refused)
        _require_metrics(self.task_definition, self.evaluation)
        if self.model.adapter is not None and self.strategy.whole:
            raise ValueError(
                f"model.adapter: an adapter is continued, and strategy.kind: {self.strategy.kind} trains none; "
                "lora does"
            )
        if self.training.eval_metric and not self.task_definition.target_column:
            raise ValueError(
                "training.eval_metric: of raw text nothing is answered that could be scored, and the validation "
                "loss is its log-likelihood already; leave it out"
            )
        if self.training.eval_rows == 0 and (self.training.patience or self.training.eval_metric):
            name = "patience" if self.training.patience else "eval_metric"
            raise ValueError(
                f"training.{name}: with training.eval_rows at 0 nothing is measured on the way; set 1 or more"
            )
        return self

    def to_yaml(self) -> str:
        """The complete recipe, as saved with a run."""
        return to_yaml(self.model_dump())


def _require_metrics(task: Task, evaluation: EvaluationSettings) -> None:
    """Raise a ValueError where a metric is named that is not there, or that does not suit the task."""
    for where, named, require in (
        ("task.metric", [task.metric], require_primary),
        ("evaluation.metrics", evaluation.metrics, require_known),
    ):
        for name in named:
            try:
                require(name, task.kind)
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from None


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
    if not overrides:
        return parse_recipe(values)
    values = upgrade(values)
    before = copy.deepcopy(values)
    for override in in_order(overrides):
        apply_override(values, override, Recipe)
    recipe = parse_recipe(values)
    with contextlib.suppress(ValidationError):  # of a file that is whole only with what was said besides
        return _titled_anew(Recipe.model_validate(before), recipe)
    return recipe


def parse_recipe(values: Any) -> Recipe:
    """Validate `values` as a recipe; one `RecipeError` names everything that is wrong."""
    try:
        return Recipe.model_validate(upgrade(values) if isinstance(values, dict) else values)
    except ValidationError as error:
        raise RecipeError("The recipe is not valid: " + "; ".join(_sentences(error))) from None


def with_overrides(recipe: Recipe, overrides: Mapping[str, Any]) -> Recipe:
    """`recipe` with dotted settings replaced, such as `{"training.epochs": 3}`, validated again."""
    values = recipe.model_dump()
    for key in in_order(overrides):
        put(values, key, overrides[key])
    return _titled_anew(recipe, parse_recipe(values))


def with_settings(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """`recipe` with `key.path=value` settings as somebody writes them, validated again; see `load_recipe`."""
    values = recipe.model_dump()
    for setting in in_order(settings):
        apply_override(values, setting, Recipe)
    return _titled_anew(recipe, parse_recipe(values))


def _titled_anew(before: Recipe, recipe: Recipe) -> Recipe:
    """A title names way, strategy and base: where one of them is another than `before`, it says what it is now."""
    other_base = recipe.model.base != before.model.base
    same = (recipe.way.kind, recipe.strategy_title) == (before.way.kind, before.strategy_title) and not other_base
    if same or recipe.title != before.title:
        return recipe
    what, _, rest = recipe.title.partition(" · ")
    base = recipe.model.base.rstrip("/").rsplit("/", 1)[-1] if other_base else rest.partition(" on ")[2]
    learns = recipe.way.title or recipe.strategy_title
    return recipe.model_copy(update={"title": f"{what} · {learns}{f' on {base}' if base else ''}"})


def _sentences(error: ValidationError) -> list[str]:
    return sentences(error, where=_where, beside_the_point=_of_another_kind, known=_known)


_KINDS = {each.__name__ for each in (str, OwnTask)} | set(STRATEGIES) | set(WAYS)
"""What pydantic calls the several kinds that a setting can be of."""


def _where(place: tuple[int | str, ...]) -> str:
    """The dotted name of a setting, without the kinds of groups and values that it could have been."""
    return ".".join(
        str(part)
        for number, part in enumerate(place)
        if not (number == 1 and part in _KINDS) and not (isinstance(part, str) and part.endswith("]"))
    )


def _of_another_kind(problem: Any) -> bool:
    """Whether it says of a task's name that it is no group of settings, of such a group that it is no name, or of a
    list that it is no word."""
    place, value = problem["loc"], problem["input"]
    if str(place[-1:]).startswith("('literal[") and len(place) > 1:
        return isinstance(value, list)
    if len(place) < 2 or place[0] != "task":
        return False
    return bool(place[1] == "str" if isinstance(value, dict) else place == ("task", "OwnTask"))


def _known(place: Place) -> list[str]:
    """The settings that a misspelt one could have been."""
    section = _where(place).rpartition(".")[0]
    field = Recipe.model_fields.get(section)
    groups = [Recipe] if not section else groups_of(field.annotation) if field else []
    return [name for group in groups for name in group.model_fields]
