"""What many prompts begin with, computed once: the key-value cache that every row goes on from.

All prompts of a task begin with its instruction, those of a few-shot prompt with its examples as well, which may be
most of their tokens.

Shapes: B rows, P tokens of the prefix, T tokens after it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel


class StoppedError(Exception):
    """Whoever asked for this does not want it any more."""


def shared_start(rows: Sequence[list[int]]) -> list[int]:
    """The tokens that all `rows` begin with, leaving each at least one; none where there is a single row."""
    if len(rows) < 2:
        return []
    first, last = min(rows), max(rows)  # what these two share, all that lie between them share
    length = 0
    while length < min(len(first), len(last)) - 1 and first[length] == last[length]:
        length += 1
    return first[:length]


class Prefix:
    """Tokens that have been through one model, ready to be gone on from by batches of rows."""

    def __init__(self, model: PreTrainedModel | PeftModel, tokens: Sequence[int]) -> None:
        import torch

        self.tokens = list(tokens)
        if self.tokens:
            ids = torch.tensor([self.tokens], device=model.device)
            with torch.inference_mode():
                self._cache = model(input_ids=ids, logits_to_keep=1, use_cache=True).past_key_values

    def cache(self, rows: int) -> Any:
        """A cache for a batch of `rows`, which the forward may append to; None without tokens."""
        if not self.tokens:
            return None
        cache = copy.deepcopy(self._cache)
        cache.batch_repeat_interleave(rows)
        return cache

    def before(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`ids` and `mask`, [B, T] each and padded on the left, with the prefix in front: [B, P + T] each.

        The padding then lies between prefix and row, where the mask hides it.
        """
        import torch

        front = torch.tensor([self.tokens] * len(ids), dtype=ids.dtype, device=ids.device).view(len(ids), -1)
        return torch.cat([front, ids], dim=1), torch.cat([torch.ones_like(front), mask], dim=1)
