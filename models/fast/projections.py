"""Linear layers that read the same rows, with their LoRA updates, as plain products forward and backward.

peft writes `W x + scale * B(A(x))` as six operations a layer, each of which reads or writes a whole activation, and
autograd as many again. Here the low-rank parts of all layers are one product, and each is added to its layer's
result in place; so are the gradients of what they read.

Products are taken in what the rows are in. A and B may be in float32 over rows in bfloat16, as they are where they
are trained: they are rounded where they are used, and autograd adds up their gradients in their own precision.

Shapes: N rows, I and O features in and out, R rank, ΣR of all layers together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor
from torch.nn.functional import linear

FEW_ROWS = 8
"""Up to so many rows, what is done around a small product in bfloat16 takes longer than the product: there, float32
is used for the low rank, and for keys and values."""


@dataclass(frozen=True)
class _LowRank:
    a: torch.nn.Parameter  # [R, I]
    b: torch.nn.Parameter  # [O, R]
    scale: float


class Projections:
    """The layers' own weights, trained or frozen, 4-bit or not, and the active adapter's."""

    def __init__(self, *layers: torch.nn.Module) -> None:
        self._bases = [_base(layer) for layer in layers]
        self.adapted: list[Any] = [layer for layer in layers if layer is not _base(layer)]
        """Those with an adapter, as peft wraps them."""
        self._updates = [_update(layer) for layer in layers]
        self._few: _FewRows | None = None
        self._low_rank = [update for update in self._updates if update]

    @property
    def are_packed(self) -> bool:
        """Whether a weight is held in 4 bits, and has to be unpacked at each use."""
        return self._few is None and any(_is_packed(base) for base in self._bases)

    @property
    def parameters(self) -> list[Tensor]:
        """A and B of every adapted layer in turn, then what is trained of the layers' own weights and biases, as
        `backward` gives their gradients."""
        low_rank = [weight for update in self._low_rank for weight in (update.a, update.b)]
        own = [weight for base in self._bases for weight in (base.weight, base.bias) if _is_trained(weight)]
        return [*low_rank, *own]

    def forward(self, x: Tensor, plain: int = 0, read: Tensor | None = None) -> tuple[list[Tensor], Tensor | None]:
        """Every layer's result, [N, O], and what the low rank made of `x`, [N - plain, ΣR].

        Args:
            x: [N, I].
            plain: how many rows, from the first, go without the adapter.
            read: what the low rank reads in place of `x`, where some of it is dropped.
        """
        if self._few and len(x) <= FEW_ROWS:
            return list(self._few(x, plain)), None
        results = [product(x, weight, base.bias) for weight, base in zip(self._weights(), self._bases, strict=True)]
        if plain >= len(x) or not self._low_rank:
            return results, None
        low = (x if read is None else read)[plain:] @ self._a(x.dtype).t()
        for number, update, columns in self._adapted():
            results[number][plain:].addmm_(low[:, columns], update.b.to(x.dtype).t(), alpha=update.scale)
        return results, low

    def backward(
        self,
        x: Tensor,
        low: Tensor | None,
        gradients: list[Tensor],
        *,
        of_input: bool = True,
        kept: tuple[Tensor, float] | None = None,
    ) -> tuple[Any, list[Tensor]]:
        """The gradients of `x`, [N, I], if asked for, and of `parameters`, from those of the results.

        Args:
            x: what was read; where some was dropped, what the low rank has read, and no layer itself is trained.
            low: what it made of it.
            gradients: of the results, [N, O] each.
            of_input: whether the gradient of `x` is asked for.
            kept: what of `x` was not dropped before the low rank read it, [N, I], and by how much that was raised.
        """
        of_x: Tensor | None = None
        if of_input:
            first, *more = self._weights()
            of_x = gradients[0] @ first
            for gradient, weight in zip(gradients[1:], more, strict=True):
                of_x.addmm_(gradient, weight)
        own = self._own_gradients(x, gradients)
        if low is None:
            return of_x, own
        of_low = torch.empty_like(low)
        of_b = []
        for number, update, columns in self._adapted():
            gradient = gradients[number]
            torch.mm(gradient, update.b.to(x.dtype), out=of_low[:, columns])
            of_low[:, columns].mul_(update.scale)
            of_b.append((low[:, columns].t() @ gradient).mul_(update.scale).t())
        of_a = (of_low.t() @ x).split([len(update.a) for update in self._low_rank])
        if of_x is not None and kept is None:
            of_x.addmm_(of_low, self._a(x.dtype))
        elif of_x is not None and kept is not None:
            of_x.add_((of_low @ self._a(x.dtype)).mul_(kept[0]), alpha=kept[1])
        return of_x, [*(gradient for both in zip(of_a, of_b, strict=True) for gradient in both), *own]

    def prepare_decoding(self) -> None:
        """Get ready for many products of few rows, with weights that change no more."""
        with torch.no_grad():
            self._few = _FewRows(self)

    def _own_gradients(self, x: Tensor, gradients: list[Tensor]) -> list[Tensor]:
        """Those of the layers' weights and biases that are trained."""
        own = []
        for base, gradient in zip(self._bases, gradients, strict=True):
            if _is_trained(base.weight):
                own.append(gradient.t() @ x)
            if _is_trained(base.bias):
                own.append(gradient.sum(0))
        return own

    def _weights(self) -> Iterator[Tensor]:
        """One after the other, so that unpacked 4-bit ones are not held all at once."""
        yield from self._few.weights if self._few else map(weight_of, self._bases)

    def _a(self, dtype: torch.dtype) -> Tensor:
        """Every A below the other, [ΣR, I]."""
        parts: list[Tensor] = [*(update.a for update in self._low_rank)]
        return (torch.cat(parts) if len(parts) > 1 else parts[0]).to(dtype)

    def _adapted(self) -> Iterator[tuple[int, _LowRank, slice]]:
        """The number of each adapted layer, its update, and that update's columns of the low rank."""
        start = 0
        for number, update in enumerate(self._updates):
            if update:
                yield number, update, slice(start, start + len(update.a))
                start += len(update.a)


class _FewRows:
    """All layers as one product: for a few rows, what is done around a product costs as much as it does itself.

    4-bit weights are taken out of their 4 bits once and for all. Others move into the joint weight, of which the
    modules' own become views. The low-rank weights are in float32: in bfloat16 a product of so few numbers takes
    five times as long.
    """

    def __init__(self, layers: Projections) -> None:
        bases = layers._bases
        self._joint = torch.cat([weight_of(base) for base in bases])  # [ΣO, I]
        self._sizes = [base.out_features for base in bases]
        self.weights = list(self._joint.split(self._sizes))
        for base, weight in zip(bases, self.weights, strict=True):
            if not _is_packed(base):
                base.weight.data = weight
        biases: list[Tensor] = [base.bias for base in bases if base.bias is not None]
        self._bias = torch.cat(biases) if biases else None
        self._low_rank: tuple[Tensor, Tensor] | None = None
        if layers._low_rank:
            a = layers._a(torch.float32)
            b = a.new_zeros(len(a), len(self._joint))
            for number, update, columns in layers._adapted():
                b.split(self._sizes, dim=1)[number][columns] = update.b.t() * update.scale
            self._low_rank = a.t().contiguous(), b  # [I, ΣR], [ΣR, ΣO]

    def __call__(self, x: Tensor, plain: int) -> tuple[Tensor, ...]:
        result = product(x, self._joint, self._bias)
        if self._low_rank and plain < len(x):
            a, b = self._low_rank
            result[plain:] += x[plain:].float() @ a @ b
        parts: tuple[Tensor, ...] = result.split(self._sizes, dim=1)
        return parts


def product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`linear`, [M, O].

    Few rows in float32 as W xᵀ, of two columns at least: without AVX-512, MKL takes less than half of the time of
    x Wᵀ for two rows, and two thirds of the time of one row's.
    """
    if x.dtype != torch.float32 or len(x) > FEW_ROWS:
        return linear(x, weight, bias)
    columns = torch.cat([x, x]) if len(x) == 1 else x
    result = (weight @ columns.t()).t()[: len(x)].contiguous()
    return result if bias is None else result.add_(bias)


def weight_of(base: Any) -> Tensor:
    """The weight, [O, I], out of its 4 bits where it is packed."""
    weight: Tensor = base.weight
    if not _is_packed(base):
        return weight
    from bitsandbytes.functional import dequantize_4bit

    return dequantize_4bit(weight.data, base.weight.quant_state)


def _is_packed(base: Any) -> bool:
    return getattr(base.weight, "quant_state", None) is not None


def _is_trained(weight: Tensor | None) -> bool:
    return weight is not None and weight.requires_grad


def _base(layer: Any) -> torch.nn.Linear:
    base: Any = layer.base_layer if isinstance(layer, LoraLayer) else layer
    return base  # type: ignore[no-any-return]


def _update(layer: Any) -> _LowRank | None:
    if not isinstance(layer, LoraLayer):
        return None
    (name,) = layer.active_adapters
    a, b = (weights[name].weight for weights in (layer.lora_A, layer.lora_B))
    return _LowRank(a, b, layer.scaling[name])  # type: ignore[arg-type]
