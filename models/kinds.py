"""What kinds of model there are, and what a model of each answers. Light: whoever only asks loads nothing."""

from __future__ import annotations

from typing import Literal

from plumbing.errors import ModelError

Kind = Literal["causal", "classifier", "reward"]
"""`causal` is a language model, `classifier` an encoder with a head of labels, `reward` a language model's layers
with a head of one number."""


def require_answers(kind: str) -> None:
    """Refuse to talk to a model that answers nothing.

    Raises:
        ModelError: says what can be done with it.
    """
    if kind == "reward":
        raise ModelError(
            "A reward model writes nothing: it gives an answer that is there already a number",
            fix="Evaluate it on pairs of answers, or let another model learn by it.",
        )
