"""The base as it is: what there is without tuning. Another, larger base is one as well."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING, ClassVar, Literal

from finetuning.lab.untrained.untrained import Answered, Asked, Untrained

if TYPE_CHECKING:
    from finetuning.recipe import Recipe


class Base(Untrained):
    """Asked without anything before the question."""

    kind: Literal["base"] = "base"

    by_seed: ClassVar[bool] = False
    by_rows: ClassVar[bool] = False
    asks_model: ClassVar[bool] = True

    def about(self, recipe: Recipe) -> str:
        return f"{recipe.model.base.rpartition('/')[2]}, not tuned"

    def answer(self, asked: Asked) -> Answered:
        from eval.floors.few_shot import base_answers

        prompter = asked.pair.prompter
        assert prompter is not None
        answers = base_answers(asked.pair, asked.inputs, [], asked.new_tokens, asked.on_rows)
        return Answered(answers, fmean(len(prompter.encode_prompt(given)) for given in asked.inputs))
