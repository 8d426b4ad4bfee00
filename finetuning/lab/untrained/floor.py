"""What asks no model: TF-IDF with logistic regression, the majority class, what was asked repeated.

It is one of `eval.floors`, by its name there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import field_validator

from eval.floors import FLOORS
from finetuning.lab.untrained.untrained import Answered, Asked, Untrained
from plumbing.errors import DataError

if TYPE_CHECKING:
    from finetuning.recipe import Recipe


class OfFloor(Untrained):
    """Answers as a floor does."""

    kind: Literal["floor"] = "floor"
    name: str
    """As in `eval.floors`: TF-IDF + logistic regression."""

    by_seed: ClassVar[bool] = False
    by_rows: ClassVar[bool] = True
    asks_model: ClassVar[bool] = False

    @field_validator("name")
    @classmethod
    def _is_there(cls, name: str) -> str:
        known = [floor.name for floor in FLOORS.values() if floor.answer is not None]
        if name not in known:
            raise ValueError(f"there is no such floor; there are {', '.join(known)}")
        return name

    def refused(self, recipe: Recipe) -> str | None:
        task = recipe.task_definition
        if self.name in task.floors:
            return None
        return f"the floor {self.name} is none of the task {task.name}: it has {', '.join(task.floors) or 'none'}"

    def about(self, recipe: Recipe) -> str:
        return FLOORS[self.name].sentence.rstrip(".")

    def answer(self, asked: Asked) -> Answered:
        floor = FLOORS[self.name]
        assert floor.answer is not None
        answers = floor.answer(asked.inputs, asked.train)
        if answers is None:
            raise DataError(f"The floor {self.name} finds nothing to answer by in these rows", fix="Leave it out.")
        return Answered(list(answers))
