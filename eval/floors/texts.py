"""Texts without a language model: what was asked, repeated; the most frequent answer of training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from data.tasks.task import Input
from eval.floors.floor import Example, Floor


def repeated(inputs: Sequence[Input], train: Sequence[Example] = ()) -> list[str]:
    """Each input word for word; of a chat what was said last."""
    return [given if isinstance(given, str) else given[-1]["content"] for given in inputs]


def most_frequent(inputs: Sequence[Input], train: Sequence[Example]) -> list[str] | None:
    """Training's most frequent answer, of equally frequent ones the first in the alphabet.

    None where no answer is there twice: to say any of them would mean nothing.
    """
    counts = Counter(target for _, target in train)
    answer = min(counts, key=lambda target: (-counts[target], target), default="")
    return [answer] * len(inputs) if counts[answer] > 1 else None


FLOORS = (
    Floor(
        "the input itself",
        "Repeats what was asked, of a chat what was said last, word for word.",
        doing="repeating what was asked",
        answer=repeated,
    ),
    Floor(
        "most frequent answer",
        "Always gives the answer that is the most frequent in training.",
        True,
        doing="always giving the most frequent answer of training",
        answer=most_frequent,
    ),
)
