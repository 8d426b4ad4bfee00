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

    loss_is_scaled_for_ga = False
    """Its loss is the mean over a batch's rows. The library would take it for a share of a step's, for its model
    takes any arguments: it would not divide it by a step's batches, and multiply it by the processes."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.model_accepts_loss_kwargs = False

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
