"""What ways have in common by which a language model learns which of its answers are better: `dpo`, `kto`.

Each answer's log-probability is compared with what the model found it when training began: its reference. Beta
says how dear it is to go away from there. The reference is measured once, before the first step, so no second model
is in memory. Where a run goes on with an adapter (`model.adapter`), the model with that adapter is the reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from data.tasks.task import REJECTED
from finetuning.strategies.strategy import ModelKind
from finetuning.ways.way import Way

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from data.tasks import Task
    from models.prompting import PromptContract, Prompter


class Preferring(Way):
    """A prompt, and answers of which some are better than others."""

    beta: Annotated[float, Field(gt=0, le=100)] = 0.1
    """How dear it is to go away from the reference, in rewards a nat: the larger, the closer the model stays."""

    model_kind: ClassVar[ModelKind] = "causal"
    writes: ClassVar[bool] = True
    pipeline: ClassVar[str] = "text-generation"
    passes_before: ClassVar[int] = 1

    def refused(self, task: Task) -> str | None:
        if task.kind == "text":
            return "raw text answers nothing, so no answer is better than another; way: text learns it"
        if task.is_classification:
            return "labels are right or wrong, and not better or worse; way: sft can learn them"
        return None

    def contract(self, tokenizer: PreTrainedTokenizerBase, task: Task) -> PromptContract:
        return self.prompter(tokenizer, task).contract

    def prompter(self, tokenizer: PreTrainedTokenizerBase, task: Task) -> Prompter:
        from models.prompting import Prompter

        return Prompter(tokenizer, task)

    def lengths(
        self, rows: Sequence[Mapping[str, Any]], tokenizer: PreTrainedTokenizerBase, task: Task
    ) -> tuple[list[int], list[int], int]:
        from models.prefix import shared_start

        encoded = self._encoded(rows, tokenizer, task)
        prompts = [prompt for prompt, *_ in encoded]
        answers = [round(sum(map(len, sides)) / len(sides)) for _, *sides in encoded]
        return list(map(len, prompts)), answers, len(shared_start(prompts)) if prompts else 0

    def preview(
        self, row: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, task: Task
    ) -> list[tuple[str, bool]]:
        ((prompt, *sides),) = self._encoded([row], tokenizer, task)
        shown = [(token, False) for token in prompt]
        for side in sides:
            shown += [(token, True) for token in side]
        return [(str(tokenizer.decode([token])), trained) for token, trained in shown]

    def _encoded(
        self, rows: Sequence[Mapping[str, Any]], tokenizer: PreTrainedTokenizerBase, task: Task
    ) -> list[tuple[list[int], ...]]:
        """Tokens of each row's prompt, and of every answer that it has."""
        answers = [[task.references(row)[0] for row in rows]]
        if REJECTED in self.besides:
            answers.append([str(row[REJECTED]) for row in rows])
        return self.prompter(tokenizer, task).encode_answers([task.input_of(row) for row in rows], *answers)
