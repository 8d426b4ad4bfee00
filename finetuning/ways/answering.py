"""What ways have in common that learn from answers of which some are better than others: `dpo`, `kto`, `reward`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from data.tasks.task import REJECTED
from finetuning.ways.way import Way

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from data.tasks import Task
    from models.prompting import PromptContract, Prompter


class Answering(Way):
    """A prompt and an answer behind it; where rows have a worse one as well, each by itself."""

    def contract(self, tokenizer: PreTrainedTokenizerBase, task: Task) -> PromptContract:
        return self.prompter(tokenizer, task).contract

    def prompter(self, tokenizer: PreTrainedTokenizerBase, task: Task) -> Prompter:
        from models.prompting import Prompter

        return Prompter(tokenizer, task)

    def lengths(
        self, rows: Sequence[Mapping[str, Any]], tokenizer: PreTrainedTokenizerBase, task: Task
    ) -> tuple[list[int], list[int], int]:
        """Of a row with two answers, the mean of both."""
        from models.prefix import shared_start

        encoded = self._encoded(rows, tokenizer, task)
        prompts = [prompt for prompt, *_ in encoded]
        answers = [round(sum(map(len, sides)) / len(sides)) for _, *sides in encoded]
        return list(map(len, prompts)), answers, len(shared_start(prompts))

    def preview(
        self, row: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, task: Task
    ) -> list[tuple[str, bool]]:
        """The prompt and then each answer, on a line of its own from the second on; marked are the answers."""
        ((prompt, *sides),) = self._encoded([row], tokenizer, task)
        shown = [(str(tokenizer.decode([token])), False) for token in prompt]
        for number, side in enumerate(sides):
            shown += [("\n", False)] if number else []
            shown += [(str(tokenizer.decode([token])), True) for token in side]
        return shown

    def _encoded(
        self, rows: Sequence[Mapping[str, Any]], tokenizer: PreTrainedTokenizerBase, task: Task
    ) -> list[tuple[list[int], ...]]:
        """Tokens of each row's prompt, and of every answer that it has."""
        answers = [[task.references(row)[0] for row in rows]]
        if REJECTED in self.besides:
            answers.append([str(row[REJECTED]) for row in rows])
        return self.prompter(tokenizer, task).encode_answers([task.input_of(row) for row in rows], *answers)
