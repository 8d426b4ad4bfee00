"""ROUGE against the reference, less something for what is too long.

ROUGE's F-measure takes off a little for words that are not in the reference, and a model that learns from it finds
out that more words are worth their price. The brevity term makes them dearer.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from data.words import words
from finetuning.rewards.reward import Answered, Reward


class Rouge(Reward):
    """The F-measure with the reference that gives the most, less `brevity` times the share of words too many."""

    name: Literal["rouge"] = "rouge"
    measure: Literal["rouge1", "rouge2", "rougeL", "rougeLsum"] = "rougeL"
    """Which of the ROUGE measures."""
    brevity: Annotated[float, Field(ge=0, le=10)] = 0.1
    """Taken off where an answer has twice as many words as the longest reference; in proportion for fewer and for
    more. 0 takes nothing off."""

    def of(self, one: Answered) -> float:
        from eval.metrics.rouge import rouge_scores

        longest = max(len(words(text)) for text in one.references)
        too_many = max(0, len(words(one.answer)) - longest) / max(1, longest)
        return rouge_scores(one.answer, one.references)[self.measure] - self.brevity * too_many


REWARD = Rouge
