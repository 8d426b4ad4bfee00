"""A rule of length: how many words an answer may have."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from data.words import words
from finetuning.rewards.reward import Answered, Reward


class Length(Reward):
    """1 for an answer of `fewest` to `words` words, 0 for a shorter one; for a longer one less, 0 at twice as many.

    It falls in a line, not at once: where all answers to a question are too long, the least long is the best.
    """

    name: Literal["length"] = "length"
    words: Annotated[int, Field(ge=1, le=10_000)]
    """The most words that an answer should have."""
    fewest: Annotated[int, Field(ge=0, le=10_000)] = 1
    """The fewest."""

    @model_validator(mode="after")
    def _leaves_room(self) -> Self:
        if self.fewest > self.words:
            raise ValueError(f"fewest is {self.fewest}, which is more than words, {self.words}")
        return self

    def of(self, one: Answered) -> float:
        count = len(words(one.answer))
        if count < self.fewest:
            return 0.0
        return 1.0 - min(1.0, max(0, count - self.words) / self.words)


REWARD = Length
