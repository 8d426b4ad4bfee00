"""What a floor is: answers that need no tuning, so that a score means something. It should stand above these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from data.tasks.task import Input

Example = tuple[Input, str]
"""Input and target of a training row."""
Answers = Callable[[Sequence[Input], Sequence[Example]], "list[str] | None"]
"""Inputs, and the training rows → an answer to each input; None where they hold nothing to answer by."""
Bits = Callable[[Sequence[str], Sequence[str]], list[float]]
"""Training texts, and texts → how many bits each of these takes, by what those have taught."""


@dataclass(frozen=True)
class Floor:
    """A way to answer without tuning, and what is said of it."""

    name: str
    sentence: str
    """How it answers."""
    learns: bool = False
    """Whether it learns from the training rows, and is left out without any."""
    doing: str = ""
    """What it does, after "No better than", where it reads nothing of what is asked; empty where it does."""
    answer: Answers | None = None
    """None where a model is asked, or a text is judged and nothing is answered."""
    bits: Bits | None = None
    """Of texts."""
