"""LoRA layers as one step of autograd each: the same products as peft's, without the passes between them.

peft writes `W x + scale * B(A(x))` as six operations, each of which reads or writes a whole activation, forward and
again backward. On a CPU, where memory is the limit, they cost as much as the products themselves. Here the
low-rank part is accumulated into the base's result, and the two gradients of `x` into one. Exact in every precision
up to the order of rounding. Where A and B are float32 over a base that computes in bfloat16, peft computes the low
rank in float32, a conversion of every activation; here A and B are rounded instead, as in `projections`.

Shapes: N tokens of a batch, I and O features in and out, R rank.
"""

from __future__ import annotations

import types
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch.nn.functional import linear

from models.projections import weight_of
from models.supports import is_plain_lora


class _FusedLora(torch.autograd.Function):
    """y = x Wᵀ + bias + scale · (x Aᵀ) Bᵀ for a frozen W, [O, I]; A is [R, I] and B is [O, R]."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, layer: LoraLayer, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        (name,) = layer.active_adapters
        ctx.scale = layer.scaling[name]
        ctx.layer = layer
        rows = x.reshape(-1, x.shape[-1])  # [N, I]
        low = rows @ a.to(rows.dtype).t()  # [N, R]
        ctx.save_for_backward(rows, low, a, b)
        result = linear(rows, weight_of(layer.get_base_layer()), _bias(layer))  # [N, O]
        return result.addmm_(low, b.to(rows.dtype).t(), alpha=ctx.scale).view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        rows, low, a, b = ctx.saved_tensors
        gradient = gradients[0].reshape(-1, b.shape[0])  # [N, O]
        low_gradient = (gradient @ b.to(rows.dtype)).mul_(ctx.scale)  # [N, R]
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = gradient @ weight_of(ctx.layer.get_base_layer())  # [N, I]
            of_x.addmm_(low_gradient, a.to(rows.dtype))
            of_x = of_x.view(*gradients[0].shape[:-1], -1)
        return of_x, None, low_gradient.t() @ rows, (gradient.t() @ low).mul_(ctx.scale)


def fuse_lora(model: torch.nn.Module) -> int:
    """Give every LoRA layer of `model` the fused step; returns how many took it.

    A layer with dropout, or with anything else than a plain low-rank update, keeps peft's own.
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
        (name,) = self.active_adapters
        return _FusedLora.apply(x, self, self.lora_A[name].weight, self.lora_B[name].weight)  # type: ignore[no-untyped-call, no-any-return]

    return forward


def _bias(layer: Any) -> torch.Tensor | None:
    """The frozen bias, [O]."""
    return layer.get_base_layer().bias  # type: ignore[no-any-return]
