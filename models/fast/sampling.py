"""Many answers to each of a few prompts by `LlamaLayers`: a prompt is read once, for all of its answers.

Its keys and values stand in the memory once, too. In a step the tokens of all its answers attend to them in one
product, and each to what its own answer has written so far. All answers are equally long until they end, so that
only the prompts need a mask.

Shapes: C prompts, P tokens of the longest, n answers to each, M rows in the batch, K key-value heads, G query heads
each, D head size, L tokens that every row has written, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from models.fast.decoding import KeyValues, Prompts, prefill
from models.fast.llama import LlamaLayers
from models.fast.projections import FEW_ROWS
from models.prefix import StoppedError

Choose = Callable[[Tensor, Tensor], Tensor]
"""Logits, [M, V], and a number from 0 to below 1 for each row, [M] → the tokens that are drawn by these, [M]."""


def sampled(
    layers: LlamaLayers,
    prompts: Prompts,
    numbers: Tensor,
    *,
    choose: Choose,
    ends: set[int],
    should_stop: Callable[[], bool] | None = None,
) -> list[list[int]]:
    """Answers to each prompt, those to the first in front: tokens up to and with one that ends it.

    Args:
        layers: the model's; its adapter acts where it is not switched off.
        prompts: as tokens.
        numbers: by which tokens are drawn, [steps, C * n]: as many steps there are at most.
        choose: how.
        ends: tokens that end an answer.
        should_stop: asked before every step.

    Raises:
        StoppedError: `should_stop` said so.
    """
    steps, rows = numbers.shape
    count = rows // len(prompts)
    answers: list[list[int]] = [[] for _ in range(rows)]
    present, ended = torch.arange(rows), set[int]()
    with torch.inference_mode():
        batch = _Batch(layers, prompts, count, steps)
        logits = batch.first.repeat_interleave(count, dim=0)
        for step in range(steps):
            if should_stop and should_stop():
                raise StoppedError
            tokens = choose(logits, numbers[step].index_select(0, present))
            for row, token in zip(present.tolist(), tokens.tolist(), strict=True):
                if row not in ended:
                    answers[row].append(token)
                    ended |= {row} if token in ends else set()
            going = [place for place, row in enumerate(present.tolist()) if row not in ended]
            if not going or step == steps - 1:
                break
            if len(going) <= len(present) * 3 // 4:  # leaving means to copy what the others have written
                stay = torch.tensor(going)
                present, tokens = present[stay], tokens[stay]
                batch.keep(stay)
            logits = batch.next(tokens)
    return answers


class _Batch:
    """The rows that are being written, and what every layer has of them."""

    def __init__(self, layers: LlamaLayers, prompts: Prompts, count: int, steps: int) -> None:
        self._layers, self._written = layers, 0
        rows, heads = len(prompts) * count, layers.heads[1]
        dtype = torch.float32 if rows <= FEW_ROWS else layers.dtype
        lengths = torch.tensor([len(prompt) for prompt in prompts])
        read = [KeyValues(heads, len(prompts), int(lengths.max()), dtype) for _ in range(layers.depth)]
        self.first = prefill(layers, (), prompts, read)
        """Logits behind each prompt, [C, V]."""
        self._lengths = lengths.repeat_interleave(count)  # of each row's prompt
        self._shared = _Shared(lengths, count, heads, dtype)
        self._caches = [_Written(one, self._shared, rows, steps) for one in read]

    def next(self, tokens: Tensor) -> Tensor:
        """Logits behind `tokens`, [M, V], which each row has written now."""
        turn = self._layers.turn(self._lengths + self._written)
        x = self._layers.infer(tokens, turn, self._caches)
        self._written += 1
        return self._layers.logits(x)

    def keep(self, rows: Tensor) -> None:
        """Only these go on."""
        self._lengths = self._lengths[rows]
        self._shared.keep(rows)
        for cache in self._caches:
            cache.keep(rows)


class _Shared:
    """How rows that share a prompt are laid side by side; the same in all layers."""

    def __init__(self, lengths: Tensor, count: int, heads: int, dtype: torch.dtype) -> None:
        self._prompts, self._count = len(lengths), count
        self._places: Tensor | None = None  # of the rows in the batch among all; None while all are there
        beyond = torch.arange(int(lengths.max())) >= lengths[:, None]  # [C, P]
        mask = torch.zeros(beyond.shape, dtype=dtype).masked_fill_(beyond, float("-inf"))
        self.mask = mask.repeat_interleave(heads, dim=0)[:, None]
        """Added to scores, [C * K, 1, P]."""

    def keep(self, rows: Tensor) -> None:
        self._places = rows if self._places is None else self._places[rows]

    def beside(self, x: Tensor) -> Tensor:
        """[M, K, G, s] of rows → [C * K, n * G, s], zeros for those that have left."""
        if self._places is not None:
            all_rows = x.new_zeros(self._prompts * self._count, *x.shape[1:])
            x = all_rows.index_copy_(0, self._places, x)
        k, g, size = x.shape[1:]
        by_prompt = x.view(self._prompts, self._count, k, g, size).transpose(1, 2)
        return by_prompt.reshape(self._prompts * k, self._count * g, size)

    def apart(self, x: Tensor, heads: int) -> Tensor:
        """The other way, [C * K, n * G, s] → [M * K, G, s]."""
        size = x.shape[-1]
        by_row = x.view(self._prompts, heads, self._count, -1, size).transpose(1, 2)
        rows = by_row.reshape(self._prompts * self._count, -1, size)
        if self._places is not None:
            rows = rows.index_select(0, self._places)
        return rows.view(len(rows) * heads, -1, size)


class _Written:
    """A step of one layer: a token a row attends to its prompt, to what the row has written, and to itself."""

    def __init__(self, prompts: KeyValues, shared: _Shared, rows: int, room: int) -> None:
        self._prompts: Sequence[Tensor] = [one.flatten(0, 1) for one in prompts.both]  # [C * K, P, D] each
        heads, size = prompts.both[0].shape[1], prompts.both[0].shape[3]
        self._own = [torch.zeros(rows, heads, room, size, dtype=prompts.dtype) for _ in prompts.both]
        self._shared, self._length = shared, 0

    def keep(self, rows: Tensor) -> None:
        self._own = [one.index_select(0, rows) for one in self._own]

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, None]:
        m, k, room, d = self._own[0].shape
        dtype = self._own[0].dtype
        for one, new in zip(self._own, (key, value), strict=True):
            one[:, :, self._length] = new.view(m, k, d).to(dtype)
        self._length += 1
        own_keys, own_values = (one.view(m * k, room, d)[:, : self._length] for one in self._own)
        keys, values = self._prompts
        heads = query.view(m, k, -1, d).to(dtype)  # [M, K, G, D]
        of_prompt = torch.baddbmm(
            self._shared.mask, self._shared.beside(heads), keys.transpose(1, 2), alpha=scaling
        )
        of_prompt = self._shared.apart(of_prompt, k)  # [M * K, G, P]
        of_own = (heads.view(m * k, -1, d) @ own_keys.transpose(1, 2)).mul_(scaling)  # [M * K, G, L]
        weights = torch.cat([of_prompt, of_own], dim=-1).softmax(dim=-1)
        to_prompt, to_own = weights.split([of_prompt.shape[-1], self._length], dim=-1)
        beside = self._shared.beside(to_prompt.reshape(m, k, -1, to_prompt.shape[-1]))
        taken = torch.baddbmm(self._shared.apart(beside @ values, k), to_own, own_values)
        return taken.view(query.shape).to(query.dtype), None
