"""Supervised fine-tuning of a language model: TRL's `SFTTrainer`, prompt and completion, loss on the completion.

What is ours in it is speed on a CPU, with equal losses and gradients: TRL projects every position onto the
vocabulary there, prompt included, although only the completion is supervised; here only the supervised positions
are. Layers of the models that `models.fast.supports` lists are computed by hand (`models.fast.llama`), others'
attention and LoRA without torch's and peft's detours (`attention`, `fused_lora`).
"""

from __future__ import annotations

import functools
import types
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback
from trl import SFTConfig, SFTTrainer
from trl.trainer.utils import FusedCausalLMOutput

from finetuning.recipe import Recipe
from finetuning.trainers.arguments import shared_arguments
from finetuning.trainers.tuning import Tuning, without_adapter_wrapper
from models.fast.groups import completion_log_probs
from models.fast.llama import LlamaLayers
from models.fast.packing import PackedRows
from models.fast.supports import supports
from models.head import label_log_probs, makes_logits, of_logits, only_at
from models.prefix import shared_start


class CausalTrainer(Tuning, SFTTrainer):
    """`SFTTrainer` that projects only supervised positions."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if self.accelerator.device.type == "cpu":
            project_supervised_positions(without_adapter_wrapper(self.model))

    def summed_loss(self, inputs: dict[str, Any]) -> tuple[float, float]:
        outputs = self.model(**inputs, use_cache=False, fused_lm_head=True)
        return -float(outputs.log_probs.sum()), float(outputs.label_mask.sum())


def causal_trainer(
    recipe: Recipe,
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    train: Dataset,
    output: str,
    callbacks: list[TrainerCallback],
    validation: Dataset | None = None,
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
        eval_dataset=validation,
        processing_class=tokenizer,
        callbacks=callbacks,
    )


def project_supervised_positions(model: PreTrainedModel, *, in_groups: bool = False) -> None:
    """Replace the fused head that `SFTTrainer` has put on `model` by one that skips unsupervised positions.

    It answers the same call (`fused_lm_head=True`) with the same fields, [B, T-1] each and zero where the label is
    -100: log-probability of the label, entropy of the prediction, whether the label was the most probable token.
    What is active in the model, and trained, is seen at each call. `in_groups` says that rows may have a prompt in
    common, as both answers of a pair have: it is computed once then, and which token was the most probable is not
    told.
    """
    fused_forward = model.forward
    layers: LlamaLayers | None = None

    @functools.cache
    def has_plain_logits() -> bool:
        return makes_logits(model)

    @functools.wraps(type(model).forward)  # `generate` passes what it finds there
    def forward(self: PreTrainedModel, *arguments: Any, fused_lm_head: bool = False, **inputs: Any) -> Any:
        nonlocal layers
        if not fused_lm_head:
            return fused_forward(*arguments, **inputs)
        labels = inputs.pop("labels")[:, 1:]  # [B, T-1]
        inputs.pop("num_items_in_batch", None)
        mask, router_loss = labels != -100, None
        are_rows = not (arguments or self.is_activation_checkpointing) and _are_rows(inputs)
        if in_groups and are_rows and (found := _of_groups(self, inputs, mask)) is not None:
            return found
        if are_rows and bool(mask.any()) and supports(self):
            if layers is None or not layers.is_current:
                layers = LlamaLayers(self)
            hidden = layers.norm(_packed(layers, inputs["input_ids"], inputs["attention_mask"], mask))
            values = label_log_probs(hidden, self.get_output_embeddings(), labels[mask])
        elif has_plain_logits() and not inputs.get("output_router_logits"):
            # Contiguous rows first: one matrix product, where a sliced 3-D product would copy the whole weight.
            hidden = self.base_model(*arguments, **inputs).last_hidden_state[:, :-1][mask]
            values = label_log_probs(hidden, self.get_output_embeddings(), labels[mask])
        else:
            with only_at(self, lambda hidden: hidden[:, :-1][mask][None]):
                outputs = fused_forward(*arguments, **inputs)
            values = of_logits(outputs.logits[0], labels[mask])
            router_loss = getattr(outputs, "aux_loss", None)
        chosen, entropy, is_top1 = (value.new_zeros(mask.shape).masked_scatter(mask, value) for value in values)
        return FusedCausalLMOutput(
            log_probs=chosen,
            entropy=entropy,
            mean_logits=torch.zeros_like(entropy),  # of the whole vocabulary, which nobody here asks for
            is_top1=is_top1.bool(),
            label_mask=mask,
            aux_loss=router_loss,
        )

    model.forward = types.MethodType(forward, model)


def _of_groups(model: PreTrainedModel, inputs: dict[str, Any], mask: torch.Tensor) -> FusedCausalLMOutput | None:
    """The same of rows of which some have the same prompt, and all of whose other tokens are supervised.

    None of any other rows, and where the layers are not computed by hand.
    """
    lengths, first = inputs["attention_mask"].sum(dim=1).tolist(), (mask.int().argmax(dim=1) + 1).tolist()
    if mask.sum(dim=1).tolist() != [length - start for length, start in zip(lengths, first, strict=True)]:
        return None
    rows = list(zip(inputs["input_ids"].tolist(), first, lengths, strict=True))
    prompts = [ids[:start] for ids, start, _ in rows]
    if len(set(map(tuple, prompts))) == len(prompts):
        return None
    scored = completion_log_probs(model, prompts, [ids[start:end] for ids, start, end in rows], entropy=True)
    if scored is None:
        return None
    chosen, entropy = (
        values[0].new_zeros(mask.shape).masked_scatter(mask, torch.cat(values))
        for values in (scored.log_probs, scored.entropies or [])
    )
    nothing = torch.zeros_like(entropy)
    return FusedCausalLMOutput(
        log_probs=chosen, entropy=entropy, mean_logits=nothing, is_top1=nothing.bool(), label_mask=mask
    )


def _are_rows(inputs: dict[str, Any]) -> bool:
    """Whether all that is given are rows of tokens, padded on the right."""
    mask = inputs.get("attention_mask")
    given = {name for name, value in inputs.items() if value is not None}  # peft names all that there could be
    if mask is None or mask.dim() != 2 or not given <= {"input_ids", "attention_mask", "use_cache"}:
        return False
    return bool(mask[:, 0].all() and (mask[:, 1:] <= mask[:, :-1]).all())


def _packed(
    layers: LlamaLayers, input_ids: torch.Tensor, attention_mask: torch.Tensor, supervised: torch.Tensor
) -> torch.Tensor:
    """The last layer's output before each supervised token, [S, H], in their order.

    Args:
        layers: the model's.
        input_ids: rows padded on the right, [B, T].
        attention_mask: 1 for a token, 0 for padding, [B, T].
        supervised: whether the token after each is supervised, [B, T-1].
    """
    rows = [
        ids[:length] for ids, length in zip(input_ids.tolist(), attention_mask.sum(dim=1).tolist(), strict=True)
    ]
    row, place = supervised.nonzero(as_tuple=True)
    prefix = shared_start(rows)[: int(place.min())] if len(place) else []
    packed = PackedRows([ids[len(prefix) :] for ids in rows], prefix, heads=layers.heads)
    places = packed.starts[row] + place - len(prefix)
    if torch.is_grad_enabled():
        return layers(packed, places)
    return layers.infer(packed.tokens, layers.turn(packed.positions), [packed] * layers.depth, keep=places)
