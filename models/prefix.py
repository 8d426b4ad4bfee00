"""What many prompts begin with, computed once: the key-value cache that every row goes on from.

All prompts of a task begin with its instruction, those of a few-shot prompt with its examples as well, which may be
most of their tokens. Rows are padded behind their ends, where no token of theirs looks: in front of them padding
would stand between a row and the prefix, and use up a window of attention, or count as distance.

Shapes: B rows, P tokens of the prefix, T of the longest row after it, H hidden size, V vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from peft import PeftModel


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
    """Tokens that have been through one side of a model, to be gone on from by batches of rows within that side."""

    def __init__(self, model: PeftModel, tokens: Sequence[int]) -> None:
        import torch

        from models.head import only_at

        self.tokens = list(tokens)
        self._model = model
        self._alone = _turns_by_length(model.config)
        self._cache: Any = None
        if self.tokens and not self._alone:
            ids = torch.tensor([self.tokens], device=model.device)
            base: Any = model.get_base_model()
            with torch.inference_mode(), only_at(base, lambda hidden: hidden[:, -1:]):  # no logits are asked for
                cache = getattr(model(input_ids=ids, use_cache=True), "past_key_values", None)
            self._cache = cache if _can_be_gone_on_from(cache) else None

    @property
    def is_cached(self) -> bool:
        """Whether rows go on from a cache; if not, they go through the model with the prefix in front."""
        return self._cache is not None

    def logits(self, rows: Sequence[list[int]], wanted: int) -> torch.Tensor:
        """Logits at the last `wanted` positions of `rows`, which go on from the prefix, [B, wanted, V]."""
        import torch

        if self._alone:
            return torch.cat([self._logits([row], wanted) for row in rows])
        return self._logits(rows, wanted)

    def _logits(self, rows: Sequence[list[int]], wanted: int) -> torch.Tensor:
        import torch

        from models.head import only_at

        if not self.is_cached:
            rows = [self.tokens + row for row in rows]
        width = max(len(row) for row in rows)
        ids = torch.tensor([row + row[-1:] * (width - len(row)) for row in rows], device=self._model.device)
        ends = torch.tensor([len(row) for row in rows], device=ids.device)
        places = ends[:, None] + torch.arange(-wanted, 0, device=ids.device)  # [B, wanted]
        row = torch.arange(len(rows), device=ids.device)[:, None]
        base: Any = self._model.get_base_model()
        with only_at(base, lambda hidden: hidden[row, places]):
            return self._model(input_ids=ids, **self._going_on(len(rows))).logits  # type: ignore[no-any-return]

    def _going_on(self, rows: int) -> dict[str, Any]:
        """What a forward of so many rows is given of the prefix: a copy, to which it may append."""
        if not self.is_cached:
            return {"use_cache": False}
        cache = copy.deepcopy(self._cache)
        cache.batch_repeat_interleave(rows)
        return {"past_key_values": cache, "use_cache": True}


def _can_be_gone_on_from(cache: Any) -> bool:
    """Whether it holds keys and values, all of them or those of a window: states of another kind may be changed."""
    from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

    kinds = (DynamicLayer, DynamicSlidingWindowLayer)
    return type(cache) is DynamicCache and all(type(layer) in kinds for layer in cache.layers)


def _turns_by_length(config: Any) -> bool:
    """Whether how a token's position turns it depends on the longest row of its batch as well."""
    ropes: Any = getattr(config.get_text_config(), "rope_parameters", None) or {}
    each = [ropes] if "rope_type" in ropes else [one for one in ropes.values() if isinstance(one, dict)]
    return any(one.get("rope_type") in ("dynamic", "longrope") for one in each)
