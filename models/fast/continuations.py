"""Many continuations of each of many rows in one pass, and hidden states at any places: for scoring by hand.

Behind every row stands a tree of tokens: each attends to the prefix, to its row and to its own ancestors. What a
label of several tokens costs is those tokens, then, and neither another pass over the row nor a copy of its keys.

Shapes: B rows, T tokens of the longest, P of the prefix, M nodes of the tree but its root, N tokens of all rows,
S = P + T + M, Q query heads, K key-value heads, G = Q / K, D head size, H hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from models.fast.llama import LlamaLayers, LlamaPrefix
from models.fast.packing import PackedRows, attention
from models.label_tree import LabelTree

_WEIGHTS = 2**19
"""Attention weights of a block, about, as `packing` has them where no backward needs them."""


def hidden_of_nodes(
    layers: LlamaLayers, prefix: LlamaPrefix, rows: Sequence[list[int]], tree: LabelTree, *, adapted: bool
) -> Tensor:
    """After the final norm, at the last token of each row and at each node of the tree behind it, [B, 1 + M, H].

    Args:
        layers: the side's.
        prefix: what `rows` go on from, computed by the same side.
        rows: at least a token each.
        tree: what follows every row.
        adapted: whether with the adapter, if there is one.
    """
    packed = PackedRows(rows, prefix.tokens, cached=True, heads=layers.heads)
    laid = _Trees(packed, len(prefix.tokens), [len(row) for row in rows], tree, heads=layers.heads)
    attend = [_Layer(laid, *seen) for seen in prefix.seen]
    plain = 0 if adapted else len(laid.tokens)
    x = layers.infer(laid.tokens, layers.turn(laid.positions), attend, keep=laid.keep, plain=plain)
    x = layers.norm(x)
    roots, nodes = x[: len(rows)], x[len(rows) :]
    return torch.cat([roots[:, None], nodes.view(len(rows), -1, x.shape[-1])], dim=1)


def hidden_at(
    layers: LlamaLayers,
    prefix: LlamaPrefix,
    rows: Sequence[list[int]],
    places: Sequence[Sequence[int]],
    *,
    adapted: bool,
) -> Tensor:
    """After the final norm, at `places` of each of `rows`, in rising order, [the number of all places, H]."""
    packed = PackedRows(rows, prefix.tokens, cached=True, heads=layers.heads)
    attend = [_Rows(packed, *seen) for seen in prefix.seen]
    plain = 0 if adapted else len(packed.tokens)
    keep = torch.tensor(
        [start + place for start, own in zip(packed.starts.tolist(), places, strict=True) for place in own]
    )
    x = layers.infer(packed.tokens, layers.turn(packed.positions), attend, keep=keep, plain=plain)
    return layers.norm(x)


class _Rows:
    """Rows attend in one layer to a prefix's keys and values, and to their own."""

    def __init__(self, rows: PackedRows, *before: Tensor) -> None:
        self._rows, self._before = rows, before

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, None]:
        return self._rows.attend(query, *_behind(self._before, key, value), scaling)[0], None


def _behind(before: tuple[Tensor, ...], key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    if not before:
        return key, value
    return torch.cat([before[0], key]), torch.cat([before[1], value])


class _Trees:
    """The long row of all rows, and behind it each row's nodes: who may attend to what."""

    def __init__(
        self, packed: PackedRows, seen: int, lengths: list[int], tree: LabelTree, *, heads: tuple[int, int]
    ) -> None:
        b, m, n = len(lengths), len(tree.nodes) - 1, len(packed.tokens)
        self.packed, self.rows_end, self._heads = packed, n, heads
        own, depths = [node[-1] for node in tree.nodes[1:]], [len(node) for node in tree.nodes[1:]]
        length, depth = torch.tensor(lengths), torch.tensor(depths)
        self.tokens = torch.cat([packed.tokens, torch.tensor(own).repeat(b)])  # [N + B * M]
        self.positions = torch.cat([packed.positions, (seen + length[:, None] + depth - 1).flatten()])
        self.keep = torch.cat([packed.last(1), torch.arange(n, n + b * m)])
        places = torch.arange(int(length.max()))
        rows = seen + packed.starts[:, None] + torch.minimum(places, length[:, None] - 1)  # [B, T]
        nodes = seen + n + torch.arange(b * m).view(b, m)
        self._keys = torch.cat([torch.arange(seen).expand(b, -1), rows, nodes], dim=1)  # [B, S]
        before = (places < length[:, None])[:, None].expand(b, m, -1)
        visible = [torch.ones(b, m, seen, dtype=torch.bool), before, _ancestors(tree).expand(b, m, m)]
        self._visible = torch.cat(visible, dim=2)  # [B, M, S]
        self._at_once = max(1, _WEIGHTS // (heads[0] * m * self._keys.shape[1]))

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """What the nodes take in, [B * M, Q * D], of keys and values from the prefix's first on."""
        b, m, s = self._visible.shape
        (q, k), size = self._heads, query.shape[-1] // self._heads[0]
        heads = query.view(b, m, k, q // k, size)
        taken = []
        for at in range(0, b, self._at_once):
            rows = slice(at, at + self._at_once)
            mask = torch.zeros(self._visible[rows].shape, dtype=query.dtype)
            mask.masked_fill_(~self._visible[rows], float("-inf"))
            asked = heads[rows].permute(2, 0, 3, 1, 4).reshape(-1, q // k * m, size)  # [K * b, G * M, D]
            seen = [
                one.index_select(0, self._keys[rows].flatten()).view(-1, s, k, size).permute(2, 0, 1, 3)
                for one in (key, value)
            ]
            own_key, own_value = (one.reshape(-1, s, size) for one in seen)
            mask = mask[None, :, None].expand(k, -1, q // k, -1, -1).reshape(-1, q // k * m, s)
            got, _ = attention(asked, own_key, own_value, mask, scaling)
            taken.append(got.view(k, -1, q // k, m, size).permute(1, 3, 0, 2, 4).reshape(-1, q * size))
        return torch.cat(taken)


class _Layer:
    """One layer of them, behind a prefix's keys and values."""

    def __init__(self, trees: _Trees, *before: Tensor) -> None:
        self._trees, self._before = trees, before

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, None]:
        end = self._trees.rows_end
        rows = self._trees.packed.attend(query[:end], *_behind(self._before, key[:end], value[:end]), scaling)[0]
        return torch.cat([rows, self._trees.attend(query[end:], *_behind(self._before, key, value), scaling)]), None


def _ancestors(tree: LabelTree) -> Tensor:
    """Whether a node, but the root, is another or stands above it, [M, M]: a row a node, a column each of those."""
    seen = torch.eye(len(tree.nodes), dtype=torch.bool)
    for number, parent in enumerate(tree.parents):
        seen[number] |= seen[parent]
    return seen[1:, 1:]
