"""An exact answer: what can be checked is worth something only where it is right."""

from __future__ import annotations

from typing import Literal

from eval.metrics.exact_match import is_exact
from finetuning.rewards.reward import Answered, Reward


class Exact(Reward):
    """1 where the answer is a reference but for case, punctuation and articles, else 0; see `exact_match`."""

    name: Literal["exact"] = "exact"

    def of(self, one: Answered) -> float:
        return is_exact(one.answer, one.references)


REWARD = Exact
