"""Fine-tuning of an encoder with a classification head, on `transformers.Trainer`."""

from __future__ import annotations

from typing import Any

from datasets import Dataset
from transformers import (
    DataCollatorWithPadding,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from finetuning.recipe import Recipe
from finetuning.trainers.arguments import shared_arguments
from finetuning.trainers.tuning import Tuning


class ClassifierTrainer(Tuning, Trainer):
    """`Trainer` with what both trainers do beyond their libraries' own."""

    def summed_loss(self, inputs: dict[str, Any]) -> tuple[float, float]:
        count = len(inputs["labels"])
        return float(self.model(**inputs).loss) * count, count


def classifier_trainer(
    recipe: Recipe,
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    train: Dataset,
    output: str,
    callbacks: list[TrainerCallback],
    validation: Dataset | None = None,
) -> ClassifierTrainer:
    """A trainer for rows from `preparation.encode_for_classifier`, ready for `.train()`."""
    return ClassifierTrainer(
        model=model,
        args=TrainingArguments(**shared_arguments(recipe, output, len(train))),
        train_dataset=train,
        eval_dataset=validation,
        data_collator=DataCollatorWithPadding(tokenizer),
        processing_class=tokenizer,
        callbacks=callbacks,
    )
