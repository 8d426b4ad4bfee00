"""A demonstration: a run that goes wrong on purpose, and what came of it where it was measured. Starts nothing."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from eval.report.sections import ChangedAnswer
from finetuning.recipe import Recipe, load_recipe, read_yaml
from finetuning.settings import Settings
from plumbing.errors import RecipeError
from plumbing.reading import read_text
from plumbing.remembered import Remembered

FOLDER = Path(__file__).parent
RESULTS_FILE = FOLDER / "results.json"
_MAX_BYTES = 2**22

Point = tuple[float, float]
"""Optimizer step, and the loss there."""


class Demonstration(Settings):
    """What is run."""

    name: str
    title: str
    about: str
    """What goes wrong, and how one sees it."""
    recipe: str
    """One that ships."""
    set: tuple[str, ...]
    """Its settings that are changed, as the command line takes them."""

    def as_recipe(self) -> Recipe:
        """The recipe of the run."""
        return load_recipe(self.recipe, self.set)

    @property
    def command(self) -> str:
        """What runs it."""
        return " ".join(["python -m finetuning train", self.recipe, *(f"--set {setting}" for setting in self.set)])


class Measured(Settings):
    """What came of it."""

    set: tuple[str, ...]
    """The settings with which it was measured."""
    headline: str
    """The verdict, in a sentence."""
    train_rows: int = Field(ge=1)
    loss: tuple[Point, ...] = Field(min_length=1)
    """Of the training rows, at each step."""
    validation: tuple[Point, ...]
    """Of rows that it does not learn from, where it was measured."""
    perplexity: tuple[float, float] | None = None
    """On general text, of base and tuned."""
    agreement: float | None = Field(default=None, ge=0, le=1)
    """The share of places in it where both expect the same next token."""
    answers: tuple[ChangedAnswer, ...] = ()
    """To general instructions."""
    seconds: float = Field(ge=0)
    """The whole run."""


class Results(Settings):
    """What `results.json` holds."""

    processor: str
    cores: int = Field(ge=1)
    commit: str
    measured: str
    """The day, as 2026-01-31."""
    runs: dict[str, Measured]
    """Demonstration → what came of it."""


def demonstration_names() -> list[str]:
    """The demonstrations that ship, in alphabetical order."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_demonstration(name: str) -> Demonstration:
    """The demonstration of that name.

    Raises:
        RecipeError: there is none.
    """
    if name not in demonstration_names():
        raise RecipeError(
            "There is no such demonstration", got=name[:100], fix=f"There are {', '.join(demonstration_names())}."
        )
    values = read_yaml(read_text(FOLDER / f"{name}.yaml", limit=_MAX_BYTES))
    return Demonstration(name=name, **values)


def stored() -> Results | None:
    """What was measured and ships; None where nothing was, or it cannot be read. Not read again while it stays."""
    return _results(str(RESULTS_FILE))


def _read(path: str) -> Results | None:
    try:
        return Results.model_validate_json(read_text(Path(path), limit=_MAX_BYTES))
    except (OSError, ValueError, ValidationError):
        return None


_results = Remembered(_read, most=4)
