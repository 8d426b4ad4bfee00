"""What a reward is: settings of its own, and a number for every answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from data.tasks.task import Input, Task
from finetuning.settings import Settings


@dataclass(frozen=True)
class Answered:
    """An answer, and what it is an answer to."""

    asked: Input
    answer: str
    """As a person reads it, without what ends a turn."""
    references: Sequence[str]
    """Of its row: at least one."""


Scorer = Callable[[Sequence[Answered]], Sequence[float]]
"""Answers → the reward of each, before its weight; higher is better."""


class Reward(Settings):
    """What an answer is worth. A subclass a file; nothing outside of that file asks which one it is."""

    name: str
    """Its name in a recipe, and that of its curve."""
    weight: Annotated[float, Field(ge=-1000, le=1000)] = 1.0
    """What it counts beside others: an answer's reward is the sum of all, each times its weight. Below 0 it is a
    penalty."""

    @property
    def runs(self) -> tuple[str, ...]:
        """The ids of the runs that it reads."""
        return ()

    def refused(self, task: Task) -> str | None:
        """Why answers to `task` cannot have it, in a sentence; None where they can."""
        return None

    def require(self, task: Task, runs: Path) -> None:
        """Refuse what it names and is not there, or is of another task. Loads no weights.

        Args:
            task: whose answers it is for.
            runs: the folder of the runs.

        Raises:
            UserError: with what would do.
        """
        return

    def scorer(self, task: Task, tokenizer: Any, runs: Path) -> Scorer:
        """Returns what gives answers their rewards.

        Args:
            task: whose answers these are.
            tokenizer: of the model that writes them.
            runs: the folder of the runs.

        Raises:
            UserError: as `require`; or what it reads does not fit the model.
        """
        return lambda answers: [self.of(one) for one in answers]

    def of(self, one: Answered) -> float:
        """The reward of an answer, where it needs nothing but the answer and its row."""
        raise NotImplementedError
