"""What an option is in which nothing is trained: settings of its own, and how it answers the test rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from data.tasks.task import Input
from finetuning.settings import Settings

if TYPE_CHECKING:
    from data.tasks import Task
    from eval.floors.floor import Example
    from finetuning.recipe import Recipe
    from models.pair import Pair

Progress = Callable[[int, int], None]
"""Told rows done, and of all."""


@dataclass
class Asked:
    """The test rows, what may be learned from, and the base that may be asked."""

    recipe: Recipe
    task: Task
    inputs: Sequence[Input]
    train: Sequence[Example]
    """The training rows of this seed."""
    seed: int
    open_base: Callable[[], Pair]
    """Loads the recipe's base; the same one each time."""
    on_rows: Progress

    @cached_property
    def pair(self) -> Pair:
        """The base, loaded when it is first asked for."""
        return self.open_base()

    @property
    def new_tokens(self) -> int:
        """Where an answer is cut off."""
        return self.recipe.evaluation.max_new_tokens


@dataclass(frozen=True)
class Answered:
    """What an option answered."""

    answers: list[str]
    prompt_tokens: float | None = None
    """The mean over the rows; None where no model was asked."""
    said: str = ""
    """What there is to know of how it answered: how many examples fit."""


class Untrained(Settings):
    """An option in which nothing is trained. A subclass a file; nothing else asks which one it is."""

    kind: str
    """Its name in a lab."""

    by_seed: ClassVar[bool]
    """Whether the seed draws more for it than training rows, where these are a number of all: examples."""
    by_rows: ClassVar[bool]
    """Whether they depend on how many training rows there are."""
    asks_model: ClassVar[bool]
    """Whether the recipe's base answers; it has to be a language model then."""

    def refused(self, recipe: Recipe) -> str | None:
        """Why it cannot answer for this recipe, and what could, in a sentence; None where it can."""
        if self.asks_model and not recipe.way.writes:
            return f"the base of a recipe with way: {recipe.way.kind} answers nothing before it is trained"
        if not recipe.task_definition.target_column:
            return (
                f"{recipe.task_definition.noun[1]} are raw text, of which nothing is answered that could be scored"
            )
        return None

    def about(self, recipe: Recipe) -> str:
        """What it is, in a few words."""
        raise NotImplementedError

    def answer(self, asked: Asked) -> Answered:
        """An answer to each test row.

        Raises:
            UserError: it cannot, as where a text does not fit into the prompt.
        """
        raise NotImplementedError

    def measured_as(self, examples: int) -> dict[str, Any]:
        """Settings of an evaluation whose time is that of the base alone and of this: for an estimate.

        `examples` is how many training rows there are.
        """
        return {}
