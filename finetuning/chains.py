"""A chain: ordinary runs one after the other, where a later one names an earlier one's run.

Chains are YAML files in `finetuning/recipes/chains/`. A step takes a recipe that ships and changes some settings of
it; `step:NAME` in these stands for the id of an earlier step's run. Every step is a run like any other, shown and
resumed like any other. Which run a step has is noted beside the runs, so that a chain goes on where it stopped. A
step whose recipe reads otherwise than when its run began, or whose run is gone, begins anew, and so does what names
that run.

Knows recipes and runs; loads nothing heavy.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from finetuning.overrides import MAX_BYTES
from finetuning.recipe import RECIPES, Recipe, load_recipe, read_yaml, recipe_names, with_overrides, with_settings
from finetuning.runs import launch
from finetuning.runs.folder import ACTIVE, RESUMABLE, Run, open_run, runs_folder
from finetuning.runs.locks import locked, writing
from finetuning.settings import Settings, sentences
from plumbing.errors import RecipeError, RunError
from plumbing.reading import read_text
from plumbing.writing import write_atomically

CHAINS = RECIPES / "chains"
NOTED = ".chains"
"""Folder beside the runs in which it is noted which run each step has, a file a chain."""
_OF_STEP = "step:"

How = Literal["has finished", "goes on", "is resumed", "begins"]


class Step(Settings):
    """One run of a chain."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,23}$")]
    title: Annotated[str, Field(min_length=1, max_length=100)]
    recipe: str
    """One that ships, by its name."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Dotted setting → value; `step:NAME`, also within a value, is the id of that step's run."""


class Chain(Settings):
    """The steps in their order."""

    version: Literal[1] = 1
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{1,31}$")]
    title: Annotated[str, Field(min_length=1, max_length=100)]
    steps: Annotated[list[Step], Field(min_length=2, max_length=8)]

    @model_validator(mode="after")
    def _names_what_came_before(self) -> Chain:
        known: list[str] = []
        for step in self.steps:
            if step.name in known:
                raise ValueError(f"two steps are called {step.name}")
            if unknown := [name for name in _named_in(step.set) if name not in known]:
                there = f"before it there are {', '.join(known)}" if known else "it is the first"
                raise ValueError(f"the step {step.name} names the run of {unknown[0]}, and {there}")
            known.append(step.name)
        return self


@dataclass(frozen=True)
class Plan:
    """A chain, and what somebody changes of it."""

    chain: Chain
    changes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Step → `key.path=value` settings on top of its own."""

    @property
    def places(self) -> dict[str, str]:
        """What stands for the ids of the steps' runs before there are any."""
        return {step.name: f"{_OF_STEP}{step.name}" for step in self.chain.steps}

    def recipe(self, step: Step, runs: Mapping[str, str]) -> Recipe:
        """The recipe of a step, after steps that have these runs, by their ids.

        Raises:
            RecipeError: settings that are wrong.
        """
        chain = self.chain
        named = {"name": f"{chain.name}-{step.name}", "title": f"{chain.title} · {step.title}"}
        recipe = with_overrides(load_recipe(step.recipe), _filled(step.set, runs) | named)
        return with_settings(recipe, self.changes.get(step.name, ()))


def chain_names() -> list[str]:
    """Names of the chains that ship, in alphabetical order."""
    return sorted(path.stem for path in CHAINS.glob("*.yaml"))


def is_chain(name: str) -> bool:
    """Whether that is the name of a chain that ships, or a YAML file with steps."""
    if name in chain_names():
        return name not in recipe_names()
    if Path(name).suffix.casefold() not in (".yaml", ".yml"):
        return False
    try:
        values = read_yaml(read_text(Path(name), limit=MAX_BYTES))
    except (OSError, ValueError):
        return False
    return isinstance(values, dict) and "steps" in values


def load_chain(name: str, settings: Sequence[str] = ()) -> Plan:
    """A chain that ships, by its name, or any by path; all its recipes are valid.

    Args:
        name: of the chain.
        settings: `STEP.key.path=value` each.

    Raises:
        RecipeError: there is none, or one of its recipes or settings is wrong.
    """
    path = Path(name) if Path(name).suffix.casefold() in (".yaml", ".yml") else CHAINS / f"{name}.yaml"
    try:
        chain = Chain.model_validate(read_yaml(read_text(path, limit=MAX_BYTES)))
    except ValidationError as error:
        raise RecipeError(f"The chain is not valid: {'; '.join(sentences(error))}", got=name) from None
    except (OSError, ValueError) as error:
        raise RecipeError(
            f"The chain cannot be read: {error}", got=name, fix=f"There are: {', '.join(chain_names())}."
        ) from None
    plan = Plan(chain, _by_step(chain, settings))
    for step in chain.steps:
        try:
            plan.recipe(step, plan.places)
        except RecipeError as error:
            raise RecipeError(
                f"Of the step {step.name}: {error.problem[0].lower()}{error.problem[1:]}",
                got=error.got,
                fix=error.fix,
            ) from None
    return plan


def take_up(plan: Plan, step: Step, runs: Mapping[str, str], folder: Path | None = None) -> tuple[Run, How]:
    """Begin a step, or go on with the run that it has; returns that run, and what was done.

    Args:
        plan: the chain.
        step: of it; those before it have finished.
        runs: their runs, by the steps' names.
        folder: of the runs, if it is not the usual one.

    Raises:
        RunError: its run cannot go on, or the folder cannot be written to.
    """
    folder = folder or runs_folder()
    recipe = plan.recipe(step, runs)
    sha256 = hashlib.sha256(recipe.to_yaml().encode()).hexdigest()
    launch.reconcile(folder)  # one whose process is gone is interrupted, and nobody may have looked since
    with writing(folder), _noting(plan.chain, folder) as noted:
        run = _run_of(noted.get(step.name), sha256, folder)
        state = run.status().state if run else ""
        if run and state == "finished":
            return run, "has finished"
        if run and state in ACTIVE:
            return run, "goes on"
        if run and state in RESUMABLE:
            launch.resume(run)
            return run, "is resumed"
        run = launch.submit(recipe, folder)
        noted[step.name] = {"run": run.id, "recipe_sha256": sha256}
        return run, "begins"


def begin_anew(chain: Chain, folder: Path | None = None) -> None:
    """Forget which runs its steps have; the runs stay."""
    folder = folder or runs_folder()
    with writing(folder):
        _file(chain, folder).unlink(missing_ok=True)


def _run_of(noted: Any, sha256: str, folder: Path) -> Run | None:
    """The run that is noted, if it is there and was begun with that recipe."""
    if not isinstance(noted, dict) or noted.get("recipe_sha256") != sha256:
        return None
    try:
        run = open_run(str(noted.get("run")), folder)
        run.status()
    except RunError:
        return None
    return run


def _noted(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(read_text(file, limit=MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}  # none yet, or damaged: the steps begin anew
    return values if isinstance(values, dict) else {}


@contextlib.contextmanager
def _noting(chain: Chain, folder: Path) -> Iterator[dict[str, Any]]:
    """What is noted of a chain, and is written back if it is changed. Nobody else takes up a step meanwhile."""
    file = _file(chain, folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    with locked(file.parent):
        noted = _noted(file)
        before = dict(noted)
        yield noted
        if noted != before:
            write_atomically(file, json.dumps(noted, indent=2))


def _file(chain: Chain, folder: Path) -> Path:
    return folder / NOTED / f"{chain.name}.json"


def _by_step(chain: Chain, settings: Sequence[str]) -> dict[str, list[str]]:
    """`STEP.key=value` settings by their steps."""
    changes: dict[str, list[str]] = {step.name: [] for step in chain.steps}
    for setting in settings:
        name, _, rest = setting.partition(".")
        if name not in changes or not rest:
            raise RecipeError(
                "Of a chain, a setting belongs to one of its steps",
                got=setting[:100],
                fix=f"Write STEP.key=value, such as {chain.steps[-1].name}.training.max_steps=20; the steps are "
                f"{', '.join(changes)}.",
            )
        changes[name].append(rest)
    return changes


def _named_in(value: Any) -> list[str]:
    """The steps that a value names."""
    if isinstance(value, str):
        return [value.removeprefix(_OF_STEP)] if value.startswith(_OF_STEP) else []
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [name for each in inner for name in _named_in(each)]


def _filled(value: Any, runs: Mapping[str, str]) -> Any:
    """The same value with the ids of the runs that it names."""
    if isinstance(value, str) and value.startswith(_OF_STEP):
        return runs[value.removeprefix(_OF_STEP)]
    if isinstance(value, dict):
        return {key: _filled(each, runs) for key, each in value.items()}
    return [_filled(each, runs) for each in value] if isinstance(value, list) else value
