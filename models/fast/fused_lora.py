"""LoRA layers as one step of autograd each: the same products as peft's, without the passes between them.

For models whose layers are not computed by hand (`llama`), and for classifiers; the arithmetic is in `projections`.
Where A and B are float32 over a base that computes in bfloat16, peft computes the low rank in float32, a conversion
of every activation; here A and B are rounded instead. What dropout has dropped is kept as one byte a value.

Shapes: N tokens of a batch, I and O features in and out.
"""

from __future__ import annotations

import types
from typing import Any

import torch
from peft.tuners.lora import LoraLayer

from models.fast.projections import Projections
from models.fast.supports import dropped_share, is_plain_lora


class _FusedLora(torch.autograd.Function):
    """A layer on its own, [..., I] → [..., O], as `Projections` computes several."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, layer: Projections, dropped: float, *_: torch.Tensor) -> torch.Tensor:
        rows, kept = x.reshape(-1, x.shape[-1]), None  # [N, I]
        read = rows
        if dropped:
            read, kept = torch.native_dropout(rows, dropped, True)
        (result,), low = layer.forward(rows, read=read)
        ctx.layer, ctx.raised = layer, 1 / (1 - dropped)
        ctx.save_for_backward(read, low, kept)
        return result.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        read, low, kept = ctx.saved_tensors
        gradient = gradients[0].reshape(len(read), -1)  # [N, O]
        of_x, trained = ctx.layer.backward(
            read,
            low,
            [gradient],
            of_input=ctx.needs_input_grad[0],
            kept=None if kept is None else (kept, ctx.raised),
        )
        return None if of_x is None else of_x.view(*gradients[0].shape[:-1], -1), None, None, *trained


def fuse_lora(model: torch.nn.Module) -> int:
    """Give every LoRA layer of `model` the fused step; returns how many took it.

    A layer with anything else than a plain low-rank update keeps peft's own.
    """
    fused = 0
    for layer in model.modules():
        if isinstance(layer, LoraLayer) and is_plain_lora(layer):
            layer.forward = types.MethodType(_forward(layer.forward), layer)
            fused += 1
    return fused


def _forward(own: Any) -> Any:
    def forward(self: Any, x: torch.Tensor, *arguments: Any, **options: Any) -> torch.Tensor:
        # Options: rows of both sides. Another adapter may have been set since, or the base been unfrozen.
        if self.disable_adapters or arguments or options or not is_plain_lora(self):
            result: torch.Tensor = own(x, *arguments, **options)
            return result
        layer = Projections(self)
        dropped = dropped_share(self)
        return _FusedLora.apply(x, layer, dropped, *layer.parameters)  # type: ignore[no-untyped-call, no-any-return]

    return forward
