"""Root mean square norms, forward and backward by hand.

Shapes: N rows, H hidden size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Norm:
    """A model's own norm, its weight trained or not."""

    def __init__(self, norm: Any) -> None:
        self._norm = norm

    @property
    def parameters(self) -> list[Tensor]:
        """The weight, if it is trained, as `backward` gives its gradient."""
        return [self._norm.weight] if self._norm.weight.requires_grad else []

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`x`, [N, H], over its root mean square, by the weight; and one over that root, [N] in float32."""
        squared = torch.linalg.vector_norm(x, dim=-1, dtype=torch.float32).square_()
        scale = squared.div_(x.shape[1]).add_(self._norm.variance_epsilon).rsqrt_()
        return _by_row(x, scale).mul_(self._norm.weight), scale

    def backward(self, gradient: Tensor, x: Tensor, scale: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The gradients of `x`, [N, H], and of `parameters`; `gradient` is used up."""
        of_weight = [
            _by_row(x, scale).mul_(gradient).sum(0, dtype=torch.float32).to(weight.dtype)
            for weight in self.parameters
        ]
        of_scaled = gradient.mul_(self._norm.weight)
        along = (of_scaled * x).sum(-1, dtype=torch.float32).mul_(scale**3).div_(x.shape[1])
        return _by_row(of_scaled, scale).sub_(_by_row(x, along)), of_weight


def _by_row(x: Tensor, factors: Tensor) -> Tensor:
    """`x`, [N, H], each row by its factor, [N] in float32, rounded once.

    As the batch norm of N channels, which torch computes in one pass; a product of two precisions takes three.
    """
    zeros, ones = torch.zeros_like(factors), torch.ones_like(factors)
    return torch.batch_norm(x[None], factors, None, zeros, ones, False, 0.0, 0.0, False)[0]
