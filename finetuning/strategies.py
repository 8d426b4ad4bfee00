"""Which parameters learn: a loaded base → a model ready to train, and its parameter counts.

LoRA (Hu et al. 2021, https://arxiv.org/abs/2106.09685) adds low-rank updates to chosen linear layers and freezes
the rest. QLoRA (Dettmers et al. 2023, https://arxiv.org/abs/2305.14314) is the same over a base held in NF4, which
`models.loading` has loaded that way already. What learns is held in float32 whatever the base is in. In bfloat16
an update smaller than 1/512 of a weight is lost, and AdamW's moments, which take the weight's precision, stop
following its gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from finetuning.recipe import Recipe
from models.adapter_files import adaptable_modules
from plumbing.errors import RecipeError

if TYPE_CHECKING:
    import torch
    from peft import LoraConfig, PeftModel
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class ParameterCount:
    """Parameters of a model with its adapter."""

    trainable: int
    total: int
    """Every weight counted as one, packed or not."""
    stored: int
    """As stored: two 4-bit weights share a byte and count once. Equals `total` without 4 bit."""


def check_target_modules(recipe: Recipe, model: PreTrainedModel) -> None:
    """Refuse target modules that the base does not have, or that an adapter may not change.

    Raises:
        RecipeError: with those modules.
    """
    adaptable = adaptable_modules(model)
    if wrong := sorted(set(recipe.lora.target_modules) - set(adaptable)):
        raise RecipeError(
            "lora.target_modules names modules that cannot be adapted in the base model",
            got=wrong,
            fix=f"In {recipe.model.base} these can: {', '.join(adaptable)}.",
        )


def lora_config(recipe: Recipe) -> LoraConfig:
    """The recipe's adapter settings in peft's terms."""
    from peft import LoraConfig, TaskType

    causal = recipe.trainer == "causal"
    return LoraConfig(
        r=recipe.lora.rank,
        lora_alpha=recipe.lora.alpha,  # type: ignore[arg-type]
        lora_dropout=recipe.lora.dropout,
        target_modules=list(recipe.lora.target_modules),
        task_type=TaskType.CAUSAL_LM if causal else TaskType.SEQ_CLS,
    )


def add_adapter(model: PreTrainedModel, recipe: Recipe) -> PeftModel:
    """Freeze `model` and give it a fresh, seeded adapter (and, for a classifier, a trainable head), in float32.

    Raises:
        RecipeError: as `check_target_modules`.
    """
    import torch
    from peft import get_peft_model

    check_target_modules(recipe, model)
    torch.manual_seed(recipe.training.seed)
    adapted = get_peft_model(model, lora_config(recipe))
    _learn_heads_in_float32(adapted)
    for config in adapted.peft_config.values():
        config.base_model_name_or_path = recipe.model.base  # not the folder it happened to lie in
    return adapted


def _learn_heads_in_float32(model: PeftModel) -> None:
    """Do with heads that are trained whole what peft does with A and B: float32, and so is what they read."""
    from peft.utils import ModulesToSaveWrapper

    def as_float32(_: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return tuple(value.float() for value in given)

    for module in model.modules():
        if isinstance(module, ModulesToSaveWrapper):
            for head in module.modules_to_save.values():
                head.float().register_forward_pre_hook(as_float32)


def count_parameters(model: torch.nn.Module) -> ParameterCount:
    """Count the parameters of a loaded model, 4-bit layers included."""
    from bitsandbytes.nn import Params4bit

    trainable = total = stored = 0
    for parameter in model.parameters():
        stored += parameter.numel()
        total += parameter.numel() * (2 if isinstance(parameter, Params4bit) else 1)
        trainable += parameter.numel() if parameter.requires_grad else 0
    return ParameterCount(trainable=trainable, total=total, stored=stored)
