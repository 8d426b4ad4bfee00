"""The settings of a lab, validated before anything is loaded; and the labs that ship, in `finetuning/labs/`.

question: Which parameters should learn?
recipe: sentiment-smollm2-lora
budget: {steps: 24}
tune: {training.learning_rate: [2.0e-4, 1.0e-3]}
options:
  - name: LoRA
  - name: full
    set: [strategy.kind=full]
    tune: {training.learning_rate: [3.0e-5, 1.0e-4]}
  - name: base, 8 examples
    untrained: {kind: examples, count: 8}
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from finetuning.lab.searches import Space, Values, refused
from finetuning.lab.untrained import AnyUntrained
from finetuning.overrides import MAX_BYTES, read_yaml
from finetuning.settings import Place, Settings, sentences
from plumbing.errors import RecipeError
from plumbing.reading import read_text

LABS = Path(__file__).parents[1] / "labs"
RESULTS = LABS / "results"
"""What the shipped labs came to where they were measured: NAME.json, as `eval.lab.schema` has it."""

OURS = {
    "training.seed": "seeds",
    "training.max_steps": "budget",
    "training.max_minutes": "budget",
    "training.epochs": "budget",
    "data.train_rows": "rows",
    "evaluation.source": "test",
    "evaluation.skip": "options",
}
"""Settings of a run that are the lab's to say, where it says them, and by what of its own."""

_Text = Annotated[str, Field(min_length=1, max_length=300)]
_Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Budget(Settings):
    """What each run is given, the same for all."""

    steps: Annotated[int, Field(ge=1)] | None = None
    """Optimizer steps."""
    minutes: Annotated[float, Field(gt=0, le=10_000)] | None = None
    """Minutes of training steps here: some of each option are timed first, and it gets as many as fit. Checkpoints
    and validation rows come on top."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Budget:
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("say either steps or minutes")
        return self

    def sentence(self) -> str:
        """`24 steps`."""
        if self.steps is not None:
            return f"{self.steps:,} steps"
        return f"as many steps as fit into {self.minutes:g} minute{'' if self.minutes == 1 else 's'} of training"


class Option(Settings):
    """One of the things that are compared."""

    name: Annotated[str, Field(min_length=1, max_length=60)]
    recipe: _Text | None = None
    """A shipped recipe's name, or a file, where it is not the lab's."""
    set: Annotated[list[_Text], Field(max_length=50)] = Field(default_factory=list)
    """Settings that are its own, as in `--set`: strategy.kind=full."""
    across: dict[str, Values] = Field(default_factory=dict)
    """Settings each combination of which is an option of its own, compared with all others."""
    tune: Space | None = None
    """Settings of which the best is chosen by the validation rows. Left out: the lab's; {} for none."""
    draws: Annotated[int, Field(ge=1, le=100)] | None = None
    """Try only so many combinations of `tune`, drawn at random: needed where there is a range."""
    untrained: AnyUntrained | None = None
    """Nothing is trained: how it answers instead."""

    @model_validator(mode="after")
    def _fits_together(self) -> Option:
        if self.untrained is not None and (self.tune or self.draws):
            raise ValueError(f"{self.name}: nothing is trained, so there is nothing to tune")
        if self.tune is not None and (why := refused(self.tune, self.draws)):
            raise ValueError(f"{self.name}: {why}")
        return self


class Lab(Settings):
    """All settings of a lab."""

    version: Literal[1] = 1
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{1,39}$")]
    title: _Text
    question: _Text
    """What it asks, in a sentence."""
    recipe: _Text
    """A shipped recipe's name, or a file: where every option starts from."""
    set: Annotated[list[_Text], Field(max_length=50)] = Field(default_factory=list)
    """Settings of every run, as in `--set`."""
    seeds: Annotated[list[_Seed], Field(min_length=1, max_length=10)] = Field(default_factory=lambda: [0, 1, 2])
    """Each option is trained with each of them; a setting is chosen with the first."""
    budget: Budget | None = None
    """What each run is given. Left out: what its recipe says."""
    rows: Annotated[list[Annotated[int, Field(ge=8)]], Field(min_length=1, max_length=10)] | None = None
    """Numbers of training rows, each drawn by the seed: a curve, where there are several."""
    test: _Text | None = None
    """Judge every option on the test split of this source. Left out: on that of the recipes' own data."""
    choose: Literal["loss", "metric"] = "loss"
    """By what of the validation rows a setting is chosen: the lowest loss, or the task's metric on at most 24 of
    them, which of texts takes a minute or so each time."""
    tune: Space = Field(default_factory=dict)
    """Settings of which the best is chosen, for each option that names none of its own."""
    draws: Annotated[int, Field(ge=1, le=100)] | None = None
    draw_seed: _Seed = 0
    """Of random draws."""
    keep_whole: bool = False
    """Keep the weights of whole models once they are judged: each takes as much of the disk as its base."""
    options: Annotated[list[Option], Field(min_length=1, max_length=50)]

    @field_validator("seeds", "rows")
    @classmethod
    def _each_once(cls, numbers: list[int] | None) -> list[int] | None:
        if numbers is not None and len(set(numbers)) < len(numbers):
            raise ValueError("one of them is there twice")
        return numbers

    @model_validator(mode="after")
    def _fits_together(self) -> Lab:
        if why := refused(self.tune, self.draws):
            raise ValueError(why)
        twice = [name for name, count in Counter(option.name for option in self.options).items() if count > 1]
        if twice:
            raise ValueError(f"options: two are called {twice[0]}")
        if all(option.untrained for option in self.options) and self.rows is None and len(self.options) < 2:
            raise ValueError("options: one in which nothing is trained has nothing to be compared with")
        said = {"budget": self.budget, "rows": self.rows, "test": self.test, "seeds": True, "options": True}
        for place, settings in self._settings():
            for name in settings:
                if (by := OURS.get(name)) and said[by]:
                    raise ValueError(f"{place}: {name} is the same for all runs, and said by {by}")
        return self

    def _settings(self) -> list[tuple[str, list[str]]]:
        """Where settings of runs are named, and which."""
        found = [("set", self.set), ("tune", list(self.tune))]
        for option in self.options:
            found += [(option.name, [*option.set, *option.across, *(option.tune or {})])]
        return [(place, [written.partition("=")[0] for written in settings]) for place, settings in found]

    def space_of(self, option: Option) -> tuple[Space, int | None]:
        """What is tuned of an option, and how many of it are drawn."""
        if option.untrained is not None:
            return {}, None
        return (self.tune, self.draws) if option.tune is None else (option.tune, option.draws)


def lab_names() -> list[str]:
    """Names of the labs that ship, in alphabetical order."""
    return sorted(path.stem for path in LABS.glob("*.yaml"))


def load_lab(name: str | Path) -> Lab:
    """A shipped lab by its name, or any by its path.

    Raises:
        RecipeError: no such lab, or settings that are wrong, all of them in one message.
    """
    path = Path(name)
    if path.suffix not in {".yaml", ".yml"}:
        if str(name) not in lab_names():
            close = difflib.get_close_matches(str(name), lab_names(), n=1, cutoff=0.4)
            hint = f"Did you mean {close[0]}? " if close else ""
            fix = f"{hint}There are: {', '.join(lab_names())}; or give a YAML file."
            raise RecipeError("There is no such lab", got=str(name), fix=fix)
        path = LABS / f"{name}.yaml"
    try:
        values = read_yaml(read_text(path, limit=MAX_BYTES))
    except (OSError, ValueError) as error:
        raise RecipeError(f"The lab cannot be read: {error}", got=str(path)) from None
    if isinstance(values, dict):
        values.setdefault("name", re.sub(r"[^a-z0-9]+", "-", path.stem.casefold()).strip("-")[:40])
    return parse_lab(values)


def parse_lab(values: Any) -> Lab:
    """Validate `values` as a lab; one `RecipeError` names everything that is wrong."""
    try:
        return Lab.model_validate(values)
    except ValidationError as error:
        raise RecipeError("The lab is not valid: " + "; ".join(_sentences(error))) from None


def _sentences(error: ValidationError) -> list[str]:
    return sentences(error, where=_where, beside_the_point=_of_another_kind, known=_known)


def _where(place: Place) -> str:
    return ".".join(str(part) for part in place if not _is_kind(str(part)))


def _of_another_kind(problem: Any) -> bool:
    """Whether it says of a list that it is no range, or of a range that it is no list."""
    place, value = problem["loc"], problem["input"]
    if "Range" in place:
        return isinstance(value, list)
    return isinstance(value, dict) and any(str(part).startswith("list[") for part in place)


def _is_kind(part: str) -> bool:
    """Whether it is what pydantic calls one of several kinds that a setting can be of."""
    return part == "Range" or part.startswith("constrained-") or part.endswith("]")


def _known(place: Place) -> Iterable[str]:
    """The settings that a misspelt one could have been."""
    groups: dict[str, type[Settings]] = {"options": Option, "budget": Budget}
    group = groups.get(str(place[0]), Lab) if place[1:] else Lab
    return group.model_fields
