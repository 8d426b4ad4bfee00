"""The base with a text before every question that holds what it is asked: open book, where tuning is by heart."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from finetuning.lab.untrained.untrained import Answered, Asked, Untrained
from plumbing.errors import DataError

if TYPE_CHECKING:
    from finetuning.recipe import Recipe


class WithText(Untrained):
    """A text stands before the question."""

    kind: Literal["context"] = "context"
    text: str
    """A file, or corpus:FILE for one that ships."""

    by_seed: ClassVar[bool] = False
    by_rows: ClassVar[bool] = False
    asks_model: ClassVar[bool] = True

    def about(self, recipe: Recipe) -> str:
        base, text = recipe.model.base.rpartition("/")[2], self.text.rpartition("/")[2].removeprefix("corpus:")
        return f"{base}, not tuned, {text} before every question"

    def answer(self, asked: Asked) -> Answered:
        from eval.floors.context import answers_with, no_room
        from finetuning.besides import read_context

        context, prompter = read_context(self.text), asked.pair.prompter
        assert prompter is not None
        if why := no_room(asked.pair, asked.inputs, context, asked.new_tokens):
            raise DataError(why.removesuffix("."), fix="Give a shorter text, or another base.")
        answers = answers_with(asked.pair, asked.inputs, context, asked.new_tokens, asked.on_rows)
        return Answered(answers, fmean(len(prompter.encode_prompt(context.before(one))) for one in asked.inputs))

    def measured_as(self, examples: int) -> dict[str, Any]:
        return {"evaluation.context": self.text}
