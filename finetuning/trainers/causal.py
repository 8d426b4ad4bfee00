"""Supervised fine-tuning of a language model: TRL's `SFTTrainer`, prompt and completion, loss on the completion.

What is ours in it is speed on a CPU, with equal losses: TRL projects every position onto the vocabulary there,
prompt included, although only the completion is supervised; here only the supervised positions are. Attention and
LoRA layers are computed without torch's and peft's detours (`attention`, `fused_lora`).
"""

from __future__ import annotations

import types
from typing import Any

import torch
from datasets import Dataset
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback
from trl import SFTConfig, SFTTrainer
from trl.trainer.utils import FusedCausalLMOutput

from finetuning.recipe import Recipe
from finetuning.trainers.adapted import AdapterTraining
from finetuning.trainers.arguments import shared_arguments


class CausalTrainer(AdapterTraining, SFTTrainer):
    """`SFTTrainer` that projects only supervised positions."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if self.accelerator.device.type == "cpu":
            project_supervised_positions(self.model.get_base_model())


def causal_trainer(
    recipe: Recipe,
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    train: Dataset,
    output: str,
    callbacks: list[TrainerCallback],
) -> CausalTrainer:
    """A trainer for rows from `preparation.encode_for_causal`, ready for `.train()`."""
    arguments = SFTConfig(
        **shared_arguments(recipe, output, len(train)),
        max_length=None,  # rows that are too long were refused, none is cut
        completion_only_loss=True,
        packing=False,
    )
    return CausalTrainer(
        model=model,
        args=arguments,
        train_dataset=train,
        processing_class=tokenizer,
        callbacks=callbacks,
    )


def project_supervised_positions(model: PreTrainedModel) -> None:
    """Replace the fused head that `SFTTrainer` has put on `model` by one that skips unsupervised positions.

    It answers the same call (`fused_lm_head=True`) with the same fields, [B, T-1] each and zero where the label is
    -100: log-probability of the label, entropy of the prediction, whether the label was the most probable token.
    """
    fused_forward = model.forward

    def forward(self: PreTrainedModel, *arguments: Any, fused_lm_head: bool = False, **inputs: Any) -> Any:
        if not fused_lm_head:
            return fused_forward(*arguments, **inputs)
        labels = inputs.pop("labels")[:, 1:]  # [B, T-1]
        inputs.pop("num_items_in_batch", None)
        hidden = self.base_model(*arguments, **inputs).last_hidden_state[:, :-1]  # [B, T-1, H]
        mask = labels != -100
        # Contiguous rows first: one matrix product, where a sliced 3-D product would copy the whole weight.
        logits = self.get_output_embeddings()(hidden[mask]).float()  # [S, V], S supervised positions
        log_probs = logits.log_softmax(dim=-1)
        target = labels[mask]
        chosen = log_probs.gather(1, target[:, None]).squeeze(1)
        with torch.no_grad():
            entropy = -(log_probs.exp() * log_probs).sum(dim=-1)
            is_top1 = (logits.argmax(dim=-1) == target).float()

        def spread(values: torch.Tensor) -> torch.Tensor:
            return values.new_zeros(mask.shape).masked_scatter(mask, values)

        return FusedCausalLMOutput(
            log_probs=spread(chosen), entropy=spread(entropy), is_top1=spread(is_top1), label_mask=mask
        )

    model.forward = types.MethodType(forward, model)
