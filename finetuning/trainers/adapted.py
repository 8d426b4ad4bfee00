"""What both trainers do beyond their libraries: batches of like length, fast layers, the adapter's precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from finetuning.trainers.lengths import LikeLengthBatches
from models.fast.attention import use_matrix_products
from models.fast.fused_lora import fuse_lora


class AdapterTraining(LikeLengthBatches):
    """Mixed into a `transformers.Trainer` whose model is a peft one."""

    accelerator: Any
    model: Any

    def __init__(self, *, model: torch.nn.Module, **options: Any) -> None:
        with _keeping_trained(model):
            super().__init__(model=model, **options)  # type: ignore[call-arg]
        fuse_lora(self.model)
        if self.accelerator.device.type == "cpu":
            use_matrix_products(without_adapter_wrapper(self.model))


def without_adapter_wrapper(model: Any) -> PreTrainedModel:
    """The model itself, whose layers an adapter is in, if it has one."""
    whole: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    return whole  # type: ignore[no-any-return]


@contextmanager
def _keeping_trained(model: torch.nn.Module) -> Iterator[None]:
    """Give back to what is trained its float32 numbers: TRL makes an adapter over 4 bits bfloat16."""
    trained = {name: value.data for name, value in model.named_parameters() if value.requires_grad}
    yield
    for name, value in model.named_parameters():
        if name in trained:
            value.data = trained[name].to(value.device)
