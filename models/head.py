"""The vocabulary projection: what a loss or a score needs of some positions, without all logits.

For a vocabulary of 50,000, the float32 logits of 250 positions are 50 MB, and autograd would keep several of
them. Here some positions at a time go through the projection, and what is kept for the backward is the
gradient of the hidden states; for that of the projection itself, where it is trained, they go through it again.
That holds where logits are the projection and nothing else; models that scale or cap them afterwards are let do so,
on those positions only.

Shapes: B rows, T tokens, S supervised positions, H hidden size, V vocabulary.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from models.fast.supports import is_plain_head

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_POSITIONS = 64
"""Positions at a time: what is done to their logits stays in the processor's cache."""
_POSITIONS_FLOAT32 = 256
"""In float32 a product of few rows is slow: without AVX-512, 256 take two thirds of the time of 4 x 64."""


def label_log_probs(
    hidden: Tensor, head: Any, labels: Tensor, *, temperature: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """The label's log-probability, the prediction's entropy, 1 where the label was the most probable; [S] each.

    Args:
        hidden: after the final norm, [S, H].
        head: the vocabulary projection, [V, H].
        labels: the tokens that come next, [S].
        temperature: by which logits are divided.
    """
    if is_plain_head(head) and head.bias is None:
        cooled = hidden if temperature == 1 else hidden / temperature  # H values, where logits are V
        return _LabelLogProbs.apply(cooled, head.weight, labels)  # type: ignore[no-untyped-call, no-any-return]
    return of_logits(head(hidden) / temperature, labels)


def of_logits(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same from logits, [S, V]."""
    log_probs = logits.float().log_softmax(dim=-1)
    chosen = log_probs.gather(1, labels[:, None])[:, 0]
    with torch.no_grad():
        entropy = -(log_probs.exp() * log_probs).sum(dim=-1)
        return chosen, entropy, (log_probs.argmax(dim=-1) == labels).float()


def makes_logits(model: PreTrainedModel) -> bool:
    """Whether `model`'s logits are what its head makes of the last hidden states, and nothing is done to either.

    Two tokens go through it to see: the very tensors have to be the same.
    """
    tokens = torch.zeros(1, 2, dtype=torch.long, device=model.device)
    seen: dict[str, Any] = {}

    def after_layers(_: Any, __: Any, output: Any) -> None:
        seen["hidden"] = getattr(output, "last_hidden_state", None)

    def after_head(_: Any, given: tuple[Any, ...], output: Any) -> None:
        seen["read"], seen["made"] = given[0], output

    layers: Any = model.base_model
    hooks = [layers.register_forward_hook(after_layers), _head(model).register_forward_hook(after_head)]
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):  # dropout draws as if this had not been
            logits = model(input_ids=tokens, use_cache=False).logits
    finally:
        for hook in hooks:
            hook.remove()
    hidden, read = seen.get("hidden"), seen.get("read")
    if hidden is None or read is None:
        return False
    return logits is seen["made"] and hidden.shape == read.shape and hidden.data_ptr() == read.data_ptr()


@contextlib.contextmanager
def only_at(model: PreTrainedModel, choose: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Within it, `model` has logits only where `choose` says.

    Args:
        model: of any kind; what it does to its logits, it does to these.
        choose: hidden states, [B, T, H] → those that are projected, [..., H].
    """
    hook = _head(model).register_forward_pre_hook(lambda _, given: (choose(given[0]), *given[1:]))
    try:
        yield
    finally:
        hook.remove()


def _head(model: PreTrainedModel) -> torch.nn.Module:
    head: Any = model.get_output_embeddings()
    return head  # type: ignore[no-any-return]


class _LabelLogProbs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        chosen, entropy, top = (torch.empty(len(hidden), device=hidden.device) for _ in range(3))
        of_hidden = torch.empty_like(hidden)
        # The same memory for every part: fresh pages cost more than what is computed in them.
        size = _POSITIONS_FLOAT32 if hidden.dtype == torch.float32 else _POSITIONS
        both = torch.empty(2, min(size, len(hidden)), len(weight), device=hidden.device)
        for part in _parts(len(hidden), size):
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
        again = (hidden, weight, labels) if ctx.needs_input_grad[1] else ()
        ctx.save_for_backward(of_hidden, *again)
        ctx.mark_non_differentiable(entropy, top)
        return chosen, entropy, top

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, None]:
        of_hidden, *again = ctx.saved_tensors
        of_weight = _gradient_of_weight(gradients[0], *again) if again else None
        return (of_hidden * gradients[0][:, None]).to(of_hidden.dtype), of_weight, None


def _gradient_of_weight(gradient: Tensor, hidden: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """The projection's, [V, H], added up in float32, from that of the labels' log-probabilities, [S]."""
    total = torch.zeros_like(weight, dtype=torch.float32)
    memory = torch.empty(min(_POSITIONS_FLOAT32, len(hidden)), len(weight), device=hidden.device)
    for part in _parts(len(hidden), _POSITIONS_FLOAT32):
        label, rows = labels[part, None], hidden[part]
        probs = memory[: len(label)].copy_(rows @ weight.t())
        torch.softmax(probs, dim=-1, out=probs)
        probs.scatter_add_(1, label, torch.full_like(label, -1, dtype=probs.dtype)).mul_(-gradient[part, None])
        total.addmm_(probs.t(), rows.to(total.dtype))
    return total.to(weight.dtype)


def _parts(positions: int, size: int) -> Iterator[slice]:
    for at in range(0, positions, size):
        yield slice(at, at + size)
