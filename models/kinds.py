"""What kinds of model there are, and what a model of each answers. Light: whoever only asks loads nothing."""

from __future__ import annotations

from typing import Literal

from data.tasks.task import REJECTED
from plumbing.errors import ModelError

Kind = Literal["causal", "classifier", "reward"]
"""`causal` is a language model, `classifier` an encoder with a head of labels, `reward` a language model's layers
with a head of one number."""


def judged_by(kind: str) -> tuple[str, ...]:
    """The columns that test rows need beside their task's, so that a model of this kind can be judged."""
    return (REJECTED,) if kind == "reward" else ()


def answers(kind: str) -> bool:
    """Whether a model of this kind answers what it is asked, in words or with a label."""
    return kind != "reward"


def require_answers(kind: str) -> None:
    """Refuse to talk to a model that answers nothing.

    Raises:
        ModelError: says what can be done with it.
    """
    if not answers(kind):
        raise ModelError(
            "A reward model writes nothing: it gives an answer that is there already a number",
            fix="Evaluate it on pairs of answers, or let another model learn by it.",
        )
