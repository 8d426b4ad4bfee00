"""Greedy decoding by `LlamaLayers`: rows of both sides in one batch, which a row leaves when it has ended.

A token of a small model is bound by reading the weights, so a second row costs little, and by what Python does
between the products. `transformers`' `generate` spends more on the latter than on the products.

Shapes: M rows in the batch, K key-value heads, G query heads each, D head size, L tokens of the longest row so far.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from models.fast.llama import PIECE, LlamaLayers, LlamaPrefix
from models.fast.packing import PackedRows, attention
from models.fast.projections import FEW_ROWS
from models.prefix import shared_start

Prompts = Sequence[list[int]]


def greedy(
    layers: LlamaLayers,
    base: Prompts,
    tuned: Prompts,
    *,
    max_new_tokens: int,
    ends: set[int],
    should_stop: Callable[[], bool] | None = None,
) -> Iterator[list[int | None]]:
    """Yield the next token of every row, those of `base` first; None for a row that has ended.

    Args:
        layers: the model's, with one adapter.
        base: prompts that are answered without the adapter, as tokens.
        tuned: prompts that are answered with it.
        max_new_tokens: how many steps there are at most.
        ends: tokens that end a row; they are yielded too.
        should_stop: asked while long prompts are read; whoever takes the tokens ends it later.

    Raises:
        StoppedError: `should_stop` said so.
    """
    rows = [*base, *tuned]
    places = torch.tensor([len(row) for row in rows])  # where the next token of each row goes
    dtype = torch.float32 if len(rows) <= FEW_ROWS else layers.dtype
    room = int(places.max()) + max_new_tokens
    cache = [KeyValues(layers.heads[1], len(rows), room, dtype) for _ in range(layers.depth)]
    with torch.inference_mode():
        if should_stop and max(map(len, rows)) > PIECE:
            _read(layers, base, tuned, cache, should_stop)
            last = torch.tensor([row[-1] for row in rows])
            tokens = _step(layers, cache, last, places - 1, len(base))
        else:
            tokens = prefill(layers, base, tuned, cache).argmax(dim=-1)
    present, ended = list(range(len(rows))), set[int]()
    for step in range(max_new_tokens):
        now = dict(zip(present, tokens.tolist(), strict=True))
        yield [None if row in ended else now.get(row) for row in range(len(rows))]
        ended |= {row for row, token in now.items() if token in ends}
        if len(ended) == len(rows) or step == max_new_tokens - 1:
            return
        going = [index for index, row in enumerate(present) if row not in ended]
        with torch.inference_mode():
            if len(going) <= len(present) * 3 // 4:  # leaving means to copy the others' keys and values
                stay = torch.tensor(going)
                tokens, places = tokens[stay], places[stay]
                present = [present[index] for index in going]
                for one in cache:
                    one.keep(stay)
            tokens = _step(layers, cache, tokens, places, sum(row < len(base) for row in present))
            places = places + 1


def prefill(layers: LlamaLayers, base: Prompts, tuned: Prompts, cache: list[KeyValues], at: int = 0) -> Tensor:
    """Logits behind each prompt, [M, V]; keys and values go into the cache's rows from `at` on."""
    if len(base) + len(tuned) > 2 and base and tuned:  # what each side's prompts begin with is computed once
        return torch.cat([prefill(layers, base, (), cache, at), prefill(layers, (), tuned, cache, at + len(base))])
    prompts = [*base, *tuned]
    prefix = shared_start(prompts) if not (base and tuned) else []
    packed = PackedRows([prompt[len(prefix) :] for prompt in prompts], prefix, heads=layers.heads)
    attend = [_Filling(packed, one, at) for one in cache]
    plain = len(packed.tokens) if not tuned else int(packed.starts[1]) if base else 0
    x = layers.infer(packed.tokens, layers.turn(packed.positions), attend, keep=packed.last(1), plain=plain)
    return layers.logits(x)


def _read(
    layers: LlamaLayers, base: Prompts, tuned: Prompts, cache: list[KeyValues], should_stop: Callable[[], bool]
) -> None:
    """Put the keys and values of all of each prompt but its last token into the cache, a piece at a time."""
    for at, prompt in enumerate([*base, *tuned]):
        read = LlamaPrefix(layers, prompt[:-1], adapted=at >= len(base), should_stop=should_stop)
        whole = torch.arange(len(read.tokens))[None]
        for one, key_value in zip(cache, read.seen, strict=True):
            one.fill(at, whole, *key_value)


def _step(layers: LlamaLayers, cache: list[KeyValues], tokens: Tensor, places: Tensor, plain: int) -> Tensor:
    """The token after `tokens`, [M], at `places` of their rows, the first `plain` on the base's side."""
    longest = int(places.max()) + 1
    mask = torch.zeros(len(places), longest).masked_fill_(torch.arange(longest) > places[:, None], float("-inf"))
    mask = mask.repeat_interleave(layers.heads[1], dim=0)[:, None]  # [M * K, 1, L]
    attend = [_Growing(one, places, mask.to(one.dtype)) for one in cache]
    return layers.logits(layers.infer(tokens, layers.turn(places), attend, plain=plain)).argmax(dim=-1)


class KeyValues:
    """One layer's keys and values, [M, K, room, D] each, every row's from the left."""

    def __init__(self, heads: int, rows: int, room: int, dtype: torch.dtype) -> None:
        self._heads, self._rows, self._room = heads, rows, room
        self.dtype = dtype
        self.both: list[Tensor] = []

    def fill(self, at: int, seen: Tensor, *key_value: Tensor) -> None:
        """Take over what `seen`, [B, S], names of key and value, [N, K * D], into the rows from `at` on."""
        b, s = seen.shape
        for number, one in enumerate(key_value):
            new = one.index_select(0, seen.flatten()).view(b, s, self._heads, -1).transpose(1, 2)
            if len(self.both) <= number:
                self.both.append(torch.zeros(self._rows, self._heads, self._room, new.shape[-1], dtype=self.dtype))
            self.both[number][at : at + b, :, :s] = new

    def keep(self, rows: Tensor) -> None:
        """Only these rows go on."""
        self.both = [one.index_select(0, rows) for one in self.both]


class _Filling:
    """A prefill of one layer: packed rows attend, and their keys and values are kept."""

    def __init__(self, packed: PackedRows, cache: KeyValues, at: int) -> None:
        self._packed, self._cache, self._at = packed, cache, at

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, None]:
        self._cache.fill(self._at, self._packed.seen, key, value)
        return self._packed.attend(query, key, value, scaling)[0], None


class _Growing:
    """A step of one layer: a token a row attends to all of its row's, and to itself."""

    def __init__(self, cache: KeyValues, places: Tensor, mask: Tensor) -> None:
        self._cache, self._places, self._mask = cache, places, mask

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, None]:
        keys, values = self._cache.both
        m, k, room, d = keys.shape
        rows = torch.arange(m)
        keys[rows, :, self._places] = key.view(m, k, d).to(keys.dtype)
        values[rows, :, self._places] = value.view(m, k, d).to(keys.dtype)
        longest = self._mask.shape[-1]
        keys, values = (one.view(m * k, room, d)[:, :longest] for one in (keys, values))
        heads = query.view(m * k, -1, d).to(keys.dtype)
        taken, _ = attention(heads, keys, values, self._mask, scaling)
        return taken.view(query.shape).to(query.dtype), None
