"""Fine-tuning of an encoder with a classification head, on `transformers.Trainer`."""

from __future__ import annotations

from typing import Any

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
from finetuning.trainers.arguments import shared_arguments
from finetuning.trainers.attention import use_matrix_products
from finetuning.trainers.fused_lora import fuse_lora
from finetuning.trainers.lengths import LikeLengthBatches


class ClassifierTrainer(LikeLengthBatches, Trainer):
    """`Trainer` that batches rows of like length, and computes attention and LoRA layers without detours."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        adapted: Any = self.model
        fuse_lora(adapted)
        if self.accelerator.device.type == "cpu":
            use_matrix_products(adapted.get_base_model())


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
