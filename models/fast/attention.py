"""Attention as plain matrix products, for training on a CPU. Scoring packs its rows instead (`packing`).

torch's fused kernel there takes a fifth of a training step in bfloat16; batched matrix products take a quarter of
that. Rows here are at most some hundred tokens, so that the [T, T] weights which the fused kernel never stores fit
easily.

Shapes: B rows, T tokens, Q query heads, K key-value heads, D head size.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import eager_mask

NAME = "matrix_products"


def use_matrix_products(model: PreTrainedModel) -> None:
    """Let `model` attend by `attention` from now on, wherever it attends by torch's fused kernel now."""
    if model.config._attn_implementation == "sdpa":
        AttentionInterface.register(NAME, attention)
        AttentionMaskInterface.register(NAME, eager_mask)
        model.set_attn_implementation(NAME)


def attention(
    module: torch.nn.Module,
    query: torch.Tensor,  # [B, Q, T, D]
    key: torch.Tensor,  # [B, K, T, D]
    value: torch.Tensor,  # [B, K, T, D]
    attention_mask: torch.Tensor | None,  # [B, 1, T, T], added to the scores; None: every token sees all
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    **options: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Returns what every token takes in, [B, T, Q, D], and the weights, [B, K, Q / K, T, T].

    Query heads that share a key head are rows of one product, so that no key is copied for them. A mask of another
    kind, or whatever else torch's kernel is told that changes what it computes, is left to that.
    """
    if scaling is None or not _is_usual(module, attention_mask, options):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **options
        )
    b, q, t, d = query.shape
    k, seen = key.shape[1:3]
    rows = query.reshape(b * k, q // k * t, d)
    scores = rows.mul(scaling) @ key.reshape(b * k, seen, d).transpose(1, 2)
    scores = scores.view(b, k, q // k, t, seen)
    if attention_mask is not None:
        scores = scores + attention_mask[:, :, None]
    weights = torch.nn.functional.dropout(scores.softmax(dim=-1), dropout, module.training)
    taken = weights.view(b * k, q // k * t, seen) @ value.reshape(b * k, seen, d)
    return taken.view(b, q, t, d).transpose(1, 2).contiguous(), weights


def _is_usual(module: torch.nn.Module, mask: torch.Tensor | None, options: dict[str, Any]) -> bool:
    if any(options.get(name) is not None for name in ("softcap", "position_bias", "cache")):
        return False
    if mask is None:
        return not options.get("is_causal", getattr(module, "is_causal", True))
    return mask.is_floating_point() and mask.shape[1] == 1
