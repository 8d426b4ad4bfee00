"""Hidden states at the ends of rows, for a head that reads them: what answers to a prompt share goes through once.

Of two answers to one question the question is most of the tokens. Rows that share a beginning are one long row
behind it (`packing`), each such group a pass of its own: other prompts' rows would have another beginning.

Shapes: B rows, H hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from models.fast.llama import LlamaLayers
from models.fast.packing import PackedRows
from models.prefix import shared_start

FEW_TOKENS = 64
"""A pass of so many takes about as long as one of fewer: every weight is read in either."""


def ends_of_rows(layers: LlamaLayers, rows: Sequence[list[int]]) -> Tensor:
    """After the final norm, at the last token of each row, [B, H]; autograd goes through it where it is on.

    Args:
        layers: with the adapter that was active when they were made, if that is not switched off now.
        rows: at least a token each.
    """
    passes = in_passes(rows)
    found = [_ends(layers, [rows[number] for number in numbers]) for numbers in passes]
    order = torch.tensor([number for numbers in passes for number in numbers]).argsort()
    return layers.norm(torch.cat(found).index_select(0, order))


def in_passes(rows: Sequence[list[int]]) -> list[list[int]]:
    """Numbers of the rows that go through the layers together: those of one prompt, or all if that is less work."""
    groups = groups_of(rows)
    apart = sum(max(FEW_TOKENS, _tokens([rows[number] for number in group])) for group in groups)
    return groups if apart < _tokens(rows) else [list(range(len(rows)))]


def groups_of(rows: Sequence[list[int]]) -> list[list[int]]:
    """Numbers of rows that have at least half of their tokens in common with the others of their group."""
    order = sorted(range(len(rows)), key=rows.__getitem__)
    groups: list[list[int]] = []
    shared = 0
    for before, number in pairwise([-1, *order]):
        alike = min(shared, _alike(rows[before], rows[number])) if groups else 0
        if groups and 2 * alike >= len(rows[number]):
            groups[-1].append(number)
            shared = alike
        else:
            groups.append([number])
            shared = len(rows[number])
    return groups


def _alike(one: list[int], other: list[int]) -> int:
    """How many tokens both begin with."""
    for at, (here, there) in enumerate(zip(one, other, strict=False)):
        if here != there:
            return at
    return min(len(one), len(other))


def _tokens(rows: Sequence[list[int]]) -> int:
    """That are computed of rows behind what they all begin with."""
    return sum(map(len, rows)) - (len(rows) - 1) * len(shared_start(rows))


def _ends(layers: LlamaLayers, rows: list[list[int]]) -> Tensor:
    """The last layer's output at the last token of each, [B, H]."""
    prefix = shared_start(rows)
    packed = PackedRows([row[len(prefix) :] for row in rows], prefix, heads=layers.heads)
    if torch.is_grad_enabled():
        return layers(packed, packed.last(1))
    turn = layers.turn(packed.positions)
    return layers.infer(packed.tokens, turn, [packed] * layers.depth, keep=packed.last(1))
