"""The base with examples in its prompt: what one gets without tuning, for more tokens an answer.

The examples are drawn from the training rows by the seed, so that of several seeds the spread is seen.
"""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from finetuning.lab.untrained.untrained import Answered, Asked, Untrained
from plumbing.errors import DataError

if TYPE_CHECKING:
    from eval.floors.floor import Example
    from finetuning.recipe import Recipe

MOST = 32
"""Examples that an evaluation's estimate knows."""


class Examples(Untrained):
    """Questions and answers stand before the question."""

    kind: Literal["examples"] = "examples"
    count: Annotated[int, Field(ge=1, le=512)] | Literal["most"]
    """How many; or as many as fit into the prompt, and no more than there are training rows."""

    by_seed: ClassVar[bool] = True
    by_rows: ClassVar[bool] = True
    asks_model: ClassVar[bool] = True

    def refused(self, recipe: Recipe) -> str | None:
        if recipe.task_definition.kind == "chat":
            return "a chat is one conversation, with no place for examples"
        return super().refused(recipe)

    def about(self, recipe: Recipe) -> str:
        many = "as many examples as fit" if self.count == "most" else f"{self.count} examples"
        return f"{recipe.model.base.rpartition('/')[2]}, not tuned, {many} in its prompt"

    def answer(self, asked: Asked) -> Answered:
        from eval.floors.few_shot import as_messages, base_answers

        prompter, found = asked.pair.prompter, self._drawn(asked)
        assert prompter is not None
        history = as_messages(found)
        answers = base_answers(asked.pair, asked.inputs, history, asked.new_tokens, asked.on_rows)
        tokens = fmean(len(prompter.encode_prompt(given, history)) for given in asked.inputs)
        return Answered(answers, tokens, f"{len(found)} examples stood in the prompt")

    def _drawn(self, asked: Asked) -> list[Example]:
        from eval.floors.few_shot import as_many_as_fit, draw, left_out

        pair, new_tokens = asked.pair, asked.new_tokens
        if self.count == "most":
            return as_many_as_fit(pair, asked.inputs, asked.train, new_tokens, seed=asked.seed)
        drawn = draw(pair, asked.inputs, asked.train, self.count, 1, new_tokens, first=asked.seed)
        if not drawn:
            raise DataError(left_out(pair, self.count).removesuffix("."), fix="Ask for fewer examples.")
        return drawn[0]

    def measured_as(self, examples: int) -> dict[str, Any]:
        count = MOST if self.count == "most" else self.count
        return {"evaluation.few_shot": min(MOST, count, examples), "evaluation.few_shot_draws": 1}
