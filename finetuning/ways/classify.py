"""An encoder with a head over the labels learns which one a text has. It reads the bare text and writes nothing."""

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
    from finetuning.trainers.classifier import ClassifierTrainer
    from models.prompting import PromptContract


class Classify(Way):
    """A text in, one of the labels out."""

    kind: Literal["classify"] = "classify"

    loss_unit: ClassVar[str] = "nats a row"

    model_kind: ClassVar[ModelKind] = "classifier"
    writes: ClassVar[bool] = False
    by_hand: ClassVar[bool] = False
    pipeline: ClassVar[str] = "text-classification"

    def refused(self, task: Task) -> str | None:
        if task.is_classification:
            return None
        if task.kind == "text":
            return f"a classifier cannot be trained on {task.noun[1]}, which are raw text; way: text learns it"
        return f"a classifier cannot be trained on {task.noun[1]}, which have no labels; way: sft can"

    def contract(self, tokenizer: PreTrainedTokenizerBase, task: Task) -> PromptContract:
        from models.prompting import classifier_contract

        return classifier_contract(tokenizer, task)

    def prompter(self, tokenizer: PreTrainedTokenizerBase, task: Task) -> None:
        return None

    def encode(
        self,
        rows: Dataset,
        tokenizer: PreTrainedTokenizerBase,
        recipe: Recipe,
        task: Task,
        *,
        limit: int | None = None,
    ) -> Dataset:
        from finetuning.preparation import encode_for_classifier

        return encode_for_classifier(rows, tokenizer, recipe, task, limit=limit)

    def lengths(
        self, rows: Sequence[Mapping[str, Any]], tokenizer: PreTrainedTokenizerBase, task: Task
    ) -> tuple[list[int], list[int], int]:
        texts = [task.text_of(row) for row in rows]
        ids = tokenizer(texts)["input_ids"] if texts else []
        return [len(row) for row in ids], [0] * len(texts), 0

    def preview(
        self, row: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, task: Task
    ) -> list[tuple[str, bool]]:
        ids = tokenizer(task.text_of(row))["input_ids"]
        return [(str(tokenizer.decode([token])), False) for token in ids]

    def trainer(
        self,
        recipe: Recipe,
        model: Any,
        tokenizer: PreTrainedTokenizerBase,
        train: Dataset,
        output: str,
        callbacks: list[TrainerCallback],
        validation: Dataset | None = None,
    ) -> ClassifierTrainer:
        from finetuning.trainers.classifier import classifier_trainer

        return classifier_trainer(recipe, model, tokenizer, train, output, callbacks, validation)
