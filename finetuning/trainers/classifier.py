"""Fine-tuning of an encoder with a classification head, on `transformers.Trainer`."""

from __future__ import annotations

from datasets import Dataset
from peft import PeftModel
from transformers import (
    DataCollatorWithPadding,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from finetuning.recipe import Recipe
from finetuning.trainers.adapted import AdapterTraining
from finetuning.trainers.arguments import shared_arguments


class ClassifierTrainer(AdapterTraining, Trainer):
    """`Trainer` with what both trainers do beyond their libraries' own."""


def classifier_trainer(
    recipe: Recipe,
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    train: Dataset,
    output: str,
    callbacks: list[TrainerCallback],
) -> ClassifierTrainer:
    """A trainer for rows from `preparation.encode_for_classifier`, ready for `.train()`."""
    return ClassifierTrainer(
        model=model,
        args=TrainingArguments(**shared_arguments(recipe, output, len(train))),
        train_dataset=train,
        data_collator=DataCollatorWithPadding(tokenizer),
        processing_class=tokenizer,
        callbacks=callbacks,
    )
