"""Self-supervised: a language model reads texts as they stand, and learns to expect every next token of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from finetuning.strategies.strategy import ModelKind
from finetuning.ways.way import Way

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase, TrainerCallback

    from data.tasks import Task
    from finetuning.recipe import Recipe
    from finetuning.trainers.text import TextTrainer
    from models.prompting import PromptContract, Prompter


_BYTES_A_TOKEN = 4
"""Of prose, about."""


class Text(Way):
    """Raw text, the loss on all of it. Short texts share a row, and do not see each other."""

    kind: Literal["text"] = "text"

    model_kind: ClassVar[ModelKind] = "causal"
    writes: ClassVar[bool] = True
    pipeline: ClassVar[str] = "text-generation"
    shares_rows: ClassVar[bool] = True

    def refused(self, task: Task) -> str | None:
        if task.kind == "text":
            return None
        return f"raw text is learned so, and {task.noun[1]} come with answers to learn; way: sft learns them"

    def contract(self, tokenizer: PreTrainedTokenizerBase, task: Task) -> PromptContract:
        return self.prompter(tokenizer, task).contract

    def prompter(self, tokenizer: PreTrainedTokenizerBase, task: Task) -> Prompter:
        from models.prompting import TextPrompter

        return TextPrompter(tokenizer, task)

    def encode(
        self,
        rows: Dataset,
        tokenizer: PreTrainedTokenizerBase,
        recipe: Recipe,
        task: Task,
        *,
        limit: int | None = None,
    ) -> Dataset:
        from finetuning.preparation import encode_texts

        return encode_texts(rows, self.prompter(tokenizer, task), recipe.training.max_tokens)

    def lengths(
        self, rows: Sequence[Mapping[str, Any]], tokenizer: PreTrainedTokenizerBase, task: Task
    ) -> tuple[list[int], list[int], int]:
        whole = [len(example.input_ids) for example in self.prompter(tokenizer, task).encode_rows(rows)]
        return [0] * len(whole), whole, 0

    def rows_of_tokens(self, rows: Sequence[Mapping[str, Any]], task: Task, longest: int) -> int:
        lengths = (len(task.text_of(row).encode("utf-8", "replace")) // _BYTES_A_TOKEN + 2 for row in rows)
        return len(self.packed(lengths, longest))

    def packed(self, lengths: Iterable[int], longest: int) -> list[list[int]]:
        from models.text_rows import packed

        return list(packed(lengths, longest))

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
    ) -> TextTrainer:
        from finetuning.trainers.text import text_trainer

        return text_trainer(recipe, model, tokenizer, train, output, callbacks, validation)
