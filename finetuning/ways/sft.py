"""Supervised: a language model learns to write the answers, and is judged by what it writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from finetuning.strategies.strategy import ModelKind
from finetuning.ways.way import Way

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase, TrainerCallback

    from data.tasks import Task
    from finetuning.recipe import Recipe
    from finetuning.trainers.causal import CausalTrainer
    from models.prompting import PromptContract, Prompter


class Sft(Way):
    """Prompt and answer, the loss on the answer."""

    kind: Literal["sft"] = "sft"

    model_kind: ClassVar[ModelKind] = "causal"
    writes: ClassVar[bool] = True
    pipeline: ClassVar[str] = "text-generation"

    def refused(self, task: Task) -> str | None:
        if task.kind == "text":
            return f"{task.noun[1]} are raw text, which has no answers to learn; way: text learns it"
        return None

    def contract(self, tokenizer: PreTrainedTokenizerBase, task: Task) -> PromptContract:
        return self.prompter(tokenizer, task).contract

    def prompter(self, tokenizer: PreTrainedTokenizerBase, task: Task) -> Prompter:
        from models.prompting import Prompter

        return Prompter(tokenizer, task)

    def encode(
        self,
        rows: Dataset,
        tokenizer: PreTrainedTokenizerBase,
        recipe: Recipe,
        task: Task,
        *,
        limit: int | None = None,
    ) -> Dataset:
        from finetuning.preparation import encode_for_causal

        return encode_for_causal(rows, self.prompter(tokenizer, task), recipe.training.max_tokens, limit=limit)

    def lengths(
        self, rows: Sequence[Mapping[str, Any]], tokenizer: PreTrainedTokenizerBase, task: Task
    ) -> tuple[list[int], list[int], int]:
        from models.prefix import shared_start

        encoded = self.prompter(tokenizer, task).encode_rows(rows)
        starts = [example.answer_start for example in encoded]
        shared = shared_start([one.input_ids[: one.answer_start] for one in encoded]) if encoded else []
        answers = [len(example.input_ids) - example.answer_start for example in encoded]
        return starts, answers, len(shared)

    def learned(
        self, rows: Sequence[Mapping[str, Any]], tokenizer: PreTrainedTokenizerBase, task: Task
    ) -> list[int] | None:
        if task.kind != "chat":
            return None
        return [example.learned for example in self.prompter(tokenizer, task).encode_rows(rows)]

    def preview(
        self, row: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, task: Task
    ) -> list[tuple[str, bool]]:
        example = self.prompter(tokenizer, task).encode_row(row)
        return [
            (str(tokenizer.decode([token])), bool(trained))
            for token, trained in zip(example.input_ids, example.completion_mask, strict=True)
        ]

    def trainer(
        self,
        recipe: Recipe,
        model: Any,
        tokenizer: PreTrainedTokenizerBase,
        train: Dataset,
        output: str,
        callbacks: list[TrainerCallback],
        validation: Dataset | None = None,
    ) -> CausalTrainer:
        from finetuning.trainers.causal import causal_trainer

        return causal_trainer(recipe, model, tokenizer, train, output, callbacks, validation)
