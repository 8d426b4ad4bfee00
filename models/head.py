"""The vocabulary projection in training: what the loss needs of each supervised position, without all its logits.

For a vocabulary of 50,000, the float32 logits of 250 positions are 50 MB, and autograd would keep several of
them. Here some positions at a time go through the projection, and what is kept for the backward is the
gradient of the hidden states.

Shapes: S supervised positions, H hidden size, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_POSITIONS = 64
"""Positions at a time: what is done to their logits stays in the processor's cache."""
_POSITIONS_FLOAT32 = 256
"""In float32 a product of few rows is slow: without AVX-512, 256 take two thirds of the time of 4 x 64."""


def label_log_probs(hidden: Tensor, head: Any, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The label's log-probability, the prediction's entropy, 1 where the label was the most probable; [S] each.

    Args:
        hidden: after the final norm, [S, H].
        head: the vocabulary projection, [V, H].
        labels: the tokens that come next, [S].
    """
    if _is_frozen(head):
        return _LabelLogProbs.apply(hidden, head.weight, labels)  # type: ignore[no-untyped-call, no-any-return]
    log_probs = head(hidden).float().log_softmax(dim=-1)
    chosen = log_probs.gather(1, labels[:, None])[:, 0]
    with torch.no_grad():
        entropy = -(log_probs.exp() * log_probs).sum(dim=-1)
        return chosen, entropy, (log_probs.argmax(dim=-1) == labels).float()


def _is_frozen(head: Any) -> bool:
    """Whether the projection is by a plain weight that is not trained."""
    plain = type(head) is torch.nn.Linear
    return plain and getattr(head, "bias", None) is None and not head.weight.requires_grad


class _LabelLogProbs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        chosen, entropy, top = (torch.empty(len(hidden), device=hidden.device) for _ in range(3))
        of_hidden = torch.empty_like(hidden)
        # The same memory for every part: fresh pages cost more than what is computed in them.
        size = _POSITIONS_FLOAT32 if hidden.dtype == torch.float32 else _POSITIONS
        both = torch.empty(2, min(size, len(hidden)), len(weight), device=hidden.device)
        for at in range(0, len(hidden), size):
            part = slice(at, at + size)
            label = labels[part, None]
            logits, probs = both[:, : len(label)]  # [size, V] each
            product = hidden[part] @ weight.t()
            logits.copy_(product)
            highest, place = logits.max(dim=-1, keepdim=True)
            torch.softmax(logits, dim=-1, out=probs)
            log_highest = probs.gather(1, place).log()  # of a probability of at least 1 / V
            chosen[part] = (logits.gather(1, label) - highest + log_highest)[:, 0]
            entropy[part] = (highest - log_highest)[:, 0] - logits.mul_(probs).sum(dim=-1)
            top[part] = (place == label)[:, 0].float()
            if ctx.needs_input_grad[0]:  # of the label's log-probability: its one-hot vector less the probabilities
                probs.neg_().scatter_add_(1, label, torch.ones_like(label, dtype=probs.dtype))
                torch.mm(product.copy_(probs), weight, out=of_hidden[part])
        ctx.save_for_backward(of_hidden)
        ctx.mark_non_differentiable(entropy, top)
        return chosen, entropy, top

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (of_hidden,) = ctx.saved_tensors
        return (of_hidden * gradients[0][:, None]).to(of_hidden.dtype), None, None
