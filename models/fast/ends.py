"""Hidden states at the ends of rows, for a head that reads them: what answers to a prompt share goes through once.

Of two answers to one question the question is most of the tokens. Rows that begin alike are a group of `packing`:
the beginning goes through the layers once for all of them, forward and backward, as does what all rows begin with.

Shapes: B rows, H hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from models.fast.llama import LlamaLayers
from models.fast.packing import Group, PackedGroups
from models.prefix import shared_start


def ends_of_rows(layers: LlamaLayers, rows: Sequence[list[int]]) -> Tensor:
    """After the final norm, at the last token of each row, [B, H]; autograd goes through it where it is on.

    Args:
        layers: with the adapter that was active when they were made, if that is not switched off now.
        rows: at least a token each.
    """
    together = groups_of(rows)
    groups = [_group([rows[number] for number in numbers]) for numbers in together]
    packed = PackedGroups(groups, heads=layers.heads)
    # Each token has one place, and the rows' last ones come in the order of the groups.
    keep = [
        start + len(row) - 1 if row else end
        for group, end, starts in zip(groups, packed.ends, packed.starts, strict=True)
        for row, start in zip(group.rows, starts, strict=True)
    ]
    order = torch.tensor([number for numbers in together for number in numbers]).argsort()
    return layers.norm(layers(packed, torch.tensor(keep)).index_select(0, order))


def groups_of(rows: Sequence[list[int]]) -> list[list[int]]:
    """Numbers of rows that have at least half of their tokens in common with the others of their group."""
    groups: list[list[int]] = []
    shared = 0
    for before, number in pairwise([-1, *sorted(range(len(rows)), key=rows.__getitem__)]):
        row = rows[number]
        alike = min(shared, len(row) - 1, _alike(rows[before], row)) if groups else 0  # each has a token of its own
        if groups and 2 * alike >= len(row):
            groups[-1].append(number)
            shared = alike
        else:
            groups.append([number])
            shared = len(row) - 1
    return groups


def _alike(one: list[int], other: list[int]) -> int:
    """How many tokens both begin with."""
    for at, (here, there) in enumerate(zip(one, other, strict=False)):
        if here != there:
            return at
    return min(len(one), len(other))


def _group(rows: list[list[int]]) -> Group:
    prefix = shared_start(rows) if len(rows) > 1 else rows[0]
    return Group(prefix, [row[len(prefix) :] for row in rows])
