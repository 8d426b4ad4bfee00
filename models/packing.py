"""Rows of unlike length as one long row without padding: every layer then computes real tokens and nothing else.

Only attention needs to know where a row ends. There the rows are laid side by side again, all of them after a
prefix that they share, and their padding, which is on the right, is behind whatever a real token may see.

Shapes: B rows, T tokens of the longest, N tokens of all rows, P of the prefix, Q query heads, K key-value heads,
D head size.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

NAME = "packed_rows"


class Packing:
    """Where the tokens of each row stand in the long one."""

    def __init__(self, rows: Sequence[list[int]], prefix: int) -> None:
        """Lay out `rows` of tokens behind `prefix` tokens that are in the cache."""
        lengths = torch.tensor([len(row) for row in rows])
        places = torch.arange(int(lengths.max()))  # [T]
        self.ends = lengths.cumsum(0)  # [B], the place after each row's last token
        inside = places < lengths[:, None]  # [B, T]
        self._real = inside.flatten().nonzero()[:, 0]  # [N] of [B * T]
        # A place of padding holds whatever token there is: nothing looks at it, and nobody takes what it computes.
        queries = (places + (self.ends - lengths)[:, None]).clamp(max=int(self.ends[-1]) - 1)  # [B, T]
        self._queries = queries.flatten()
        self._keys = torch.cat([torch.arange(prefix).expand(len(rows), -1), queries + prefix], dim=1).flatten()
        # [T, P + T], added to the scores of every row and head.
        self._mask = torch.full((len(places), prefix + len(places)), float("-inf")).triu(prefix + 1)
        self.inputs: dict[str, Any] = {
            "input_ids": torch.tensor([list(chain.from_iterable(rows))]),  # [1, N]
            "position_ids": (places.expand_as(inside)[inside] + prefix)[None],  # [1, N]
            "packing": self,
        }

    def last(self, count: int) -> torch.Tensor:
        """Where the last `count` tokens of every row stand, [B * count]."""
        return (self.ends[:, None] + torch.arange(-count, 0)).flatten()

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *, scaling: float
    ) -> torch.Tensor:
        """What every token takes in, [1, N, Q, D], from [1, Q, N, D], [1, K, P + N, D] and the same.

        Rows are gathered by `index_select`, several times as fast as indexing, and the softmax is taken in float32,
        which is faster on a CPU than in bfloat16.
        """
        q, k, d = query.shape[1], key.shape[1], query.shape[-1]
        t, seen = self._mask.shape
        rows = query[0].transpose(0, 1).index_select(0, self._queries)  # [B * T, Q, D]
        rows = (
            rows.view(-1, t, k, q // k, d).permute(2, 0, 3, 1, 4).reshape(-1, q // k * t, d)
        )  # [K * B, Q / K * T, D]
        keys, values = (one[0].index_select(1, self._keys).view(-1, seen, d) for one in (key, value))
        mask = self._mask.to(query.dtype).repeat(q // k, 1)
        scores = torch.baddbmm(mask, rows, keys.transpose(1, 2), alpha=scaling)
        taken = scores.softmax(-1, dtype=torch.float32).to(query.dtype) @ values
        taken = taken.view(k, -1, q // k, t, d).permute(1, 3, 0, 2, 4).reshape(-1, q, d)  # [B * T, Q, D]
        return taken.index_select(0, self._real)[None]


@contextlib.contextmanager
def packed_rows(model: PreTrainedModel) -> Iterator[None]:
    """Within it, `model` takes `Packing.inputs`."""
    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, lambda *_, **__: None)  # every row's mask is the packing's
    before = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def can_pack(model: PreTrainedModel) -> bool:
    """Whether `model` is on a CPU, where it pays, and attends to all that came before, in every layer."""
    config = model.config.get_text_config()
    layers = set(getattr(config, "layer_types", None) or ["full_attention"])
    return (
        model.device.type == "cpu"
        and config._attn_implementation == "sdpa"
        and layers == {"full_attention"}
        and not getattr(config, "sliding_window", None)
    )


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    *,
    scaling: float,
    packing: Packing,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    return packing.attend(query, key, value, scaling=scaling), None
