"""Rows of unlike length as one long row without padding, behind a prefix that all share, or each group its own.

Every layer then computes each real token once, and a prefix once for all of its rows. Only attention needs to know
where a row ends: there the rows are laid side by side again, and their padding, on the right, is behind whatever a
real token may see.

Shapes: B rows, T tokens of the longest, P of the prefix, N of all in the long row, S = P + T that a row sees,
Q query heads, K key-value heads, G = Q / K, D head size.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from models.prefix import shared_start

_KEPT_WEIGHTS = 2**22
"""Attention weights of a block in training, about: products of many heads are faster than those of few."""
_PASSING_WEIGHTS = 2**19
"""The same where no backward needs them: a megabyte in bfloat16 stays in the processor's cache."""


class Packed:
    """The long row, and what each of its tokens may attend to."""

    tokens: Tensor
    """[N]."""
    positions: Tensor
    """Of each token in its own row, the prefix counted, [N]."""
    _blocks: list[_Block]
    """In the order of the tokens."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, list[Tensor]]:
        """What every token takes in, [N, Q * D], and the weights by which it does, for `attend_backward`.

        Args:
            query: [N, Q * D].
            key: [N, K * D], after the cached prefix's where there is one.
            value: like `key`.
            scaling: of the scores.
        """
        done = [block.attend(query, key, value, scaling) for block in self._blocks]
        taken = done[0][0] if len(done) == 1 else torch.cat([taken for taken, _ in done])
        return taken, [weights for _, weights in done]

    def attend_backward(
        self, gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, weights: list[Tensor], scaling: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of query, key and value, from that of what the tokens took in; no prefix is cached."""
        padded = torch.cat([gradient, gradient.new_zeros(1, gradient.shape[1])])  # the last row is for padding
        done = [
            block.attend_backward(padded, query, key, value, kept, scaling)
            for block, kept in zip(self._blocks, weights, strict=True)
        ]
        of_query, of_key, of_value = (torch.cat(parts) for parts in zip(*(own for own, _ in done), strict=True))
        for block, (_, of_prefix) in zip(self._blocks, done, strict=True):
            for part, total in zip(of_prefix, (of_key, of_value), strict=True):
                total.index_add_(0, block.seen, part)
        return of_query, of_key, of_value


class PackedRows(Packed):
    """Rows behind one prefix."""

    def __init__(
        self,
        rows: Sequence[Sequence[int]],
        prefix: Sequence[int] = (),
        *,
        cached: bool = False,
        heads: tuple[int, int],
    ) -> None:
        """Lay out `rows` of tokens behind `prefix`.

        Args:
            rows: what follows the prefix in each row, at least a token.
            prefix: what all rows begin with.
            cached: whether the prefix's keys and values are there already, so that it is not among the tokens.
            heads: Q and K.
        """
        self.computed_prefix = [] if cached else list(prefix)
        self.tokens = torch.tensor([*self.computed_prefix, *chain.from_iterable(rows)])
        lengths = torch.tensor([len(row) for row in rows])
        self.starts = lengths.cumsum(0) - lengths + len(self.computed_prefix)
        """The place of each row's first token, [B]."""
        self.ends = self.starts + lengths
        """The place after each row's last token, [B]."""
        behind = [torch.arange(len(row)) + len(prefix) for row in rows]
        self.positions = torch.cat([torch.arange(len(self.computed_prefix)), *behind])
        self._blocks = _blocks(
            self.starts,
            lengths,
            total=len(self.tokens),
            seen=torch.arange(len(prefix)),
            before=len(prefix) if cached else 0,
            heads=heads,
            weights=_PASSING_WEIGHTS if cached else _KEPT_WEIGHTS,
        )
        if self.computed_prefix:
            self._blocks.insert(0, _alone(0, len(prefix), total=len(self.tokens), heads=heads))

    @functools.cached_property
    def seen(self) -> Tensor:
        """Places of the tokens of each row from the prefix on, [B, S]; a shorter row repeats its last."""
        width = torch.arange(int((self.ends - self.starts).max()))
        own = torch.minimum(self.starts[:, None] + width, self.ends[:, None] - 1)
        return torch.cat([torch.arange(len(self.computed_prefix)).expand(len(own), -1), own], dim=1)

    def last(self, count: int) -> Tensor:
        """Where the last `count` tokens of every row stand, [B * count]."""
        return (self.ends[:, None] + torch.arange(-count, 0)).flatten()


@dataclass(frozen=True)
class Group:
    """Rows that begin alike."""

    prefix: list[int]
    """What they begin with, at least a token."""
    rows: list[list[int]]
    """What follows in each, which may be nothing."""


class PackedGroups(Packed):
    """Groups of rows, each behind a prefix of its own; what all the prefixes begin with is computed once, too."""

    def __init__(self, groups: Sequence[Group], *, heads: tuple[int, int]) -> None:
        """
        Args:
            groups: at least one.
            heads: Q and K.
        """
        common = shared_start([group.prefix for group in groups])
        tokens, positions = [*common], [*range(len(common))]
        total = len(common) + sum(len(group.prefix) - len(common) + sum(map(len, group.rows)) for group in groups)
        self._blocks = [_alone(0, len(common), total=total, heads=heads)] if common else []
        self.ends: list[int] = []
        """The place of the last token of each group's prefix."""
        self.starts: list[list[int]] = []
        """Of each group the places of its rows' first tokens."""
        lay = functools.partial(_blocks, total=total, before=0, heads=heads, weights=_KEPT_WEIGHTS)
        shared = torch.arange(len(common))
        for group in groups:
            start, own = len(tokens), group.prefix[len(common) :]
            self._blocks += lay(torch.tensor([start]), torch.tensor([len(own)]), seen=shared)
            tokens += own
            positions += range(len(common), len(group.prefix))
            self.ends.append(len(tokens) - 1)
            lengths = torch.tensor([len(row) for row in group.rows])
            starts = lengths.cumsum(0) - lengths + len(tokens)
            self.starts.append(starts.tolist())
            if real := [place for place, row in enumerate(group.rows) if row]:
                seen = torch.cat([shared, torch.arange(start, len(tokens))])
                self._blocks += lay(starts[real], lengths[real], seen=seen)
            for row in group.rows:
                tokens += row
                positions += range(len(group.prefix), len(group.prefix) + len(row))
        self.tokens, self.positions = torch.tensor(tokens), torch.tensor(positions)


def _alone(start: int, length: int, *, total: int, heads: tuple[int, int]) -> _Block:
    """A row that sees itself only."""
    nothing = torch.arange(0)
    return _Block(torch.tensor([start]), torch.tensor([length]), total=total, seen=nothing, before=0, heads=heads)


def _blocks(
    starts: Tensor,
    lengths: Tensor,
    *,
    total: int,
    seen: Tensor,
    before: int,
    heads: tuple[int, int],
    weights: int,
) -> list[_Block]:
    """Rows that see the places `seen` and themselves, in blocks of about `weights` attention weights."""
    return [
        _Block(starts[first:end], lengths[first:end], total=total, seen=seen, before=before, heads=heads)
        for first, end in _in_blocks(lengths.tolist(), len(seen), heads[0], weights)
    ]


def _in_blocks(lengths: list[int], seen: int, heads: int, weights: int) -> list[tuple[int, int]]:
    """Cuts rows into blocks, first and end of each, of about `weights` attention weights."""
    cuts, longest = [0], 0
    for row, length in enumerate(lengths):
        longest = max(longest, length)
        if row > cuts[-1] and (row + 1 - cuts[-1]) * heads * longest * (seen + longest) > weights:
            cuts.append(row)
            longest = length
    return list(zip(cuts, [*cuts[1:], len(lengths)], strict=True))


def attention(heads: Tensor, keys: Tensor, values: Tensor, mask: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    """What [M, n, D] queries take in of [M, S, D] keys and values, and their weights, [M, n, S]; no autograd."""
    weights = _softmax(torch.baddbmm(mask, heads, keys.transpose(1, 2), alpha=scaling))
    return weights @ values, weights


def _softmax(scores: Tensor) -> Tensor:
    """Over the last dimension, in the memory of `scores` where that is fast.

    torch computes it in float32 and rounds the result. In bfloat16 that was faster than a float32 softmax and its
    conversion on a processor with AMX, and three times slower on one without.
    """
    if scores.dtype == torch.bfloat16 and not torch.cpu._is_amx_tile_supported():
        return scores.softmax(-1, dtype=torch.float32).to(scores.dtype)
    return torch.softmax(scores, -1, out=scores)


class _Block:
    """Rows that attend side by side: [K * B, G * T, D] queries to [K * B, S, D] keys."""

    def __init__(
        self, starts: Tensor, lengths: Tensor, *, total: int, seen: Tensor, before: int, heads: tuple[int, int]
    ) -> None:
        """
        Args:
            starts: where each row begins in the long row, [B].
            lengths: of the rows, [B].
            total: tokens of the long row, N.
            seen: places of the prefix, which every row sees, among the keys, [P].
            before: how many keys of a cached prefix stand before the long row's.
            heads: Q and K.
        """
        q, k = heads
        g = q // k
        b, t = len(starts), int(lengths.max())
        self.seen = seen
        """Places of the prefix, [P]."""
        p = len(seen)
        self._kv_heads, self._rows, self._total = k, b, total
        places = torch.arange(t)
        real = places < lengths[:, None]  # [B, T]
        # Padding holds its row's last token: nothing looks at it, and nobody takes what it computes.
        tokens = starts[:, None] + torch.minimum(places, lengths[:, None] - 1)  # [B, T]
        by_head = torch.arange(k)[:, None, None, None] * g + torch.arange(g)[:, None]  # [K, 1, G, 1]
        self._queries = (tokens[:, None] * q + by_head).flatten()  # [K * B * G * T] of [N * Q]
        keys = torch.cat([seen.expand(b, -1), tokens + before], dim=1)  # [B, S]
        self._keys = (keys * k + torch.arange(k)[:, None, None]).flatten()  # [K * B * S] of [N * K]
        row, place = real.nonzero(as_tuple=True)  # [n] each, the real tokens in their order
        head = torch.arange(q)
        kv_head, group = head // g, head % g
        # Where each real token's heads stand in the block, [n * Q] of [K * B * G * T] and [n * K] of [K * B * S].
        self._own_queries = (((kv_head * b + row[:, None]) * g + group) * t + place[:, None]).flatten()
        self._own_keys = ((torch.arange(k) * b + row[:, None]) * (p + t) + p + place[:, None]).flatten()
        self._real = real
        self._q = q
        self._shape = (k * b, g * t, p + t)
        mask = torch.full((t, p + t), float("-inf")).triu(p + 1)
        self._mask = mask.repeat(g, 1)  # [G * T, S], added to the scores
        self._tokens, self._by_head = tokens, by_head

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
        """What the block's tokens take in, [n, Q * D], and their weights, [K * B, G * T, S]."""
        heads, keys, values = self._side_by_side(query, key, value)
        if self._mask.dtype != query.dtype:
            self._mask = self._mask.to(query.dtype)
        taken, weights = attention(heads, keys, values, self._mask, scaling)
        taken = taken.view(-1, values.shape[-1]).index_select(0, self._own_queries)
        return taken.view(-1, query.shape[-1]), weights

    def attend_backward(
        self, gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, weights: Tensor, scaling: float
    ) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Gradients of the block's own query, key and value, and of the prefix's key and value, [P, K * D] each.

        `gradient` is [N + 1, Q * D], its last row zero.
        """
        heads, keys, values = self._side_by_side(query, key, value)
        size = keys.shape[-1]
        of_taken = gradient.view(-1, size).index_select(0, self._queries_or_nothing)
        of_taken = of_taken.view(heads.shape)
        of_values = weights.transpose(1, 2) @ of_taken  # [K * B, S, D]
        of_weights = of_taken @ values.transpose(1, 2)
        of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype, grad_input=of_weights)
        of_scores.mul_(scaling)
        of_heads = of_scores @ keys
        of_keys = of_scores.transpose(1, 2) @ heads
        own_query = of_heads.view(-1, size).index_select(0, self._own_queries).view(-1, query.shape[-1])
        own = [
            part.view(-1, size).index_select(0, self._own_keys).view(-1, key.shape[-1])
            for part in (of_keys, of_values)
        ]
        of_prefix = [
            part.view(self._kv_heads, self._rows, -1, size)[:, :, : len(self.seen)]
            .sum(1)
            .transpose(0, 1)
            .reshape(len(self.seen), key.shape[-1])
            for part in (of_keys, of_values)
        ]
        return (own_query, own[0], own[1]), (of_prefix[0], of_prefix[1])

    def _side_by_side(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, [K * B, G * T, D], keys and values, [K * B, S, D]; `index_select` is faster than indexing."""
        batch, queries, seen = self._shape
        size = query.shape[-1] // self._q
        heads = query.reshape(-1, size).index_select(0, self._queries).view(batch, queries, size)
        keys, values = (
            one.reshape(-1, size).index_select(0, self._keys).view(batch, seen, size) for one in (key, value)
        )
        return heads, keys, values

    @functools.cached_property
    def _queries_or_nothing(self) -> Tensor:
        """`_queries`, with the place after the long row for all padding; the same in every layer."""
        tokens = self._tokens.where(self._real, torch.tensor(self._total))
        return (tokens[:, None] * self._q + self._by_head).flatten()
