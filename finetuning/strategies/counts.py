"""How many parameters a model has, and how many of them learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ParameterCount:
    """Parameters of a model, with its adapter if it has one."""

    trainable: int
    total: int
    """Every weight counted as one, packed or not."""
    stored: int
    """As stored: two 4-bit weights share a byte and count once. Equals `total` without 4 bit."""


def count_parameters(model: torch.nn.Module) -> ParameterCount:
    """Count the parameters of a loaded model, 4-bit layers included."""
    from bitsandbytes.nn import Params4bit

    trainable = total = stored = 0
    for parameter in model.parameters():
        stored += parameter.numel()
        total += parameter.numel() * (2 if isinstance(parameter, Params4bit) else 1)
        trainable += parameter.numel() if parameter.requires_grad else 0
    return ParameterCount(trainable=trainable, total=total, stored=stored)
