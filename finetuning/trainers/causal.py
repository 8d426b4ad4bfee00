"""Supervised fine-tuning of a language model: TRL's `SFTTrainer`, prompt and completion, loss on the completion.

What is ours in it is speed on a CPU, with equal losses and gradients: TRL projects every position onto the
vocabulary there, prompt included, although only the completion is supervised; here only the supervised positions
are. Layers of the models that `models.fast.supports` lists are computed by hand (`models.fast.llama`), others'
attention and LoRA without torch's and peft's detours (`attention`, `fused_lora`).
"""

from __future__ import annotations

import functools
import types
from dataclasses import dataclass
from typing import Any, ClassVar

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

    mean_of_rows: ClassVar[bool] = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if self.accelerator.device.type == "cpu" and not self.in_shards:
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
        may = not (arguments or self.is_activation_checkpointing) and bool(mask.any())
        rows = _rows_of(inputs, mask) if may else None
        if in_groups and rows is not None and (found := _of_groups(self, rows, mask)) is not None:
            return found
        if rows is not None and supports(self):
            if layers is None or not layers.is_current:
                layers = LlamaLayers(self)
            hidden = layers.norm(_packed(layers, rows))
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


@dataclass(frozen=True)
class _Rows:
    """The tokens of a batch, of which none sees those of another row, and what predicts a supervised one."""

    tokens: list[list[int]]
    row: torch.Tensor
    """Of each place that predicts one, in their order, [S]."""
    place: torch.Tensor
    """Where in its row that is, [S]."""


def _of_groups(model: PreTrainedModel, rows: _Rows, mask: torch.Tensor) -> FusedCausalLMOutput | None:
    """The same of rows of which some have the same prompt, and all of whose other tokens are supervised.

    None of any other rows, and where the layers are not computed by hand.
    """
    first = (mask.int().argmax(dim=1) + 1).tolist()
    if len(rows.tokens) != len(first):
        return None  # texts share them
    prompts = [ids[:start] for ids, start in zip(rows.tokens, first, strict=True)]
    answers = [ids[start:] for ids, start in zip(rows.tokens, first, strict=True)]
    if mask.sum(dim=1).tolist() != list(map(len, answers)) or len(set(map(tuple, prompts))) == len(prompts):
        return None
    scored = completion_log_probs(model, prompts, answers, entropy=True)
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


def _rows_of(inputs: dict[str, Any], supervised: torch.Tensor) -> _Rows | None:
    """The rows in `inputs`; None where there is more to them than rows of tokens that are padded on the right.

    Rows that texts share have `position_ids` that begin anew with each, and no mask: each text is a row then.

    Args:
        inputs: of a forward.
        supervised: whether the token after each is supervised, [B, T-1].
    """
    given = {name for name, value in inputs.items() if value is not None}  # peft names all that there could be
    row, place = supervised.nonzero(as_tuple=True)
    mask, positions = inputs.get("attention_mask"), inputs.get("position_ids")
    if given <= {"input_ids", "attention_mask", "use_cache"} and mask is not None and mask.dim() == 2:
        if not mask[:, 0].all() or not (mask[:, 1:] <= mask[:, :-1]).all():
            return None
        lengths = mask.sum(dim=1).tolist()
        tokens = [ids[:length] for ids, length in zip(inputs["input_ids"].tolist(), lengths, strict=True)]
        return _Rows(tokens, row, place)
    if given <= {"input_ids", "position_ids", "use_cache"} and positions is not None:
        return _texts_of(inputs["input_ids"], positions, row, place)
    return None


def _texts_of(
    input_ids: torch.Tensor, positions: torch.Tensor, row: torch.Tensor, place: torch.Tensor
) -> _Rows | None:
    """The texts that share the rows `input_ids`, [B, T], but for those, as padding, that nothing is learned of."""
    begins = positions == 0
    goes_on = positions[:, 1:] == positions[:, :-1] + 1
    if positions.shape != input_ids.shape or not begins[:, 0].all() or not (goes_on | begins[:, 1:]).all():
        return None
    numbers = begins.flatten().cumsum(0) - 1  # of the text that each token is of
    own = numbers.view_as(positions)[row, place]
    starts = begins.flatten().nonzero()[:, 0]
    ends = [*starts[1:].tolist(), positions.numel()]
    ids, wanted = input_ids.flatten().tolist(), own.unique()
    tokens = [ids[starts[number] : ends[number]] for number in wanted.tolist()]
    return _Rows(tokens, torch.searchsorted(wanted, own), positions[row, place])


def _packed(layers: LlamaLayers, rows: _Rows) -> torch.Tensor:
    """The last layer's output before each supervised token, [S, H], in their order."""
    row, place = rows.row, rows.place
    prefix = shared_start(rows.tokens)[: int(place.min())] if len(place) else []
    packed = PackedRows([ids[len(prefix) :] for ids in rows.tokens], prefix, heads=layers.heads)
    places = packed.starts[row] + place - len(prefix)
    if torch.is_grad_enabled():
        return layers(packed, places)
    return layers.infer(packed.tokens, layers.turn(packed.positions), [packed] * layers.depth, keep=places)
