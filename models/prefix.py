"""What many prompts begin with, computed once: the key-value cache that every row goes on from.

All prompts of a task begin with its instruction, those of a few-shot prompt with its examples as well, which may be
most of their tokens. Rows are padded behind their ends, where no token of theirs looks: in front of them padding
would stand between a row and the prefix, and use up a window of attention, or count as distance.

Shapes: B rows, P tokens of the prefix, T of the longest row after it, H hidden size, V vocabulary.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from models.label_tree import LabelTree

_COPIED_TOKENS = 32_768
"""Tokens whose keys and values are copied at a time, for continuations of the rows that they belong to."""


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

    def __init__(self, model: Any, tokens: Sequence[int]) -> None:
        """Args:
        model: as `Pair.side` gives it.
        tokens: what the rows begin with.
        """
        import torch

        from models.head import only_at

        self.tokens = list(tokens)
        self._model = model
        self._bare = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._alone = _turns_by_length(model.config)
        self._cache: Any = None
        if self.tokens and not self._alone:
            ids = torch.tensor([self.tokens], device=model.device)
            with (
                torch.inference_mode(),
                only_at(self._bare, lambda hidden: hidden[:, -1:]),
            ):  # no logits are asked for
                cache = getattr(model(input_ids=ids, use_cache=True), "past_key_values", None)
            self._cache = cache if _can_be_gone_on_from(cache) else None

    @property
    def is_cached(self) -> bool:
        """Whether rows go on from a cache; if not, they go through the model with the prefix in front."""
        return self._cache is not None

    def logits(self, rows: Sequence[list[int]], wanted: int) -> torch.Tensor:
        """Logits at the last `wanted` positions of `rows`, which go on from the prefix, [B, wanted, V]."""
        places = [range(len(row) - wanted, len(row)) for row in rows]
        found = self.logits_at(rows, places)
        return found.view(len(rows), wanted, -1)

    def logits_at(self, rows: Sequence[list[int]], places: Sequence[Sequence[int]]) -> torch.Tensor:
        """Logits at `places` of each of `rows`, one row's after the other's, [the number of all places, V].

        Places are counted from the end of the prefix; those of the prefix itself are negative.
        """
        import torch

        if self._alone and len(rows) > 1:
            return torch.cat([self.logits_at([row], [own]) for row, own in zip(rows, places, strict=True)])
        before = 0 if self.is_cached else len(self.tokens)
        if before:
            rows = [self.tokens + row for row in rows]
        own = [(row, place + before) for row, each in enumerate(places) for place in each]
        return self._forward(rows, own, self._going_on(len(rows))).logits[0]  # type: ignore[no-any-return]

    def walk(
        self, rows: Sequence[list[int]], tree: LabelTree
    ) -> Iterator[tuple[list[int], list[int], torch.Tensor]]:
        """Logits after every row of `rows` and after every node of `tree` behind it, some at a time.

        Yields the numbers of rows, the numbers of nodes, and their logits, [how many, V]. Rows of the same length
        go through the model together; their keys and values are kept, and a continuation goes on from a copy.
        """
        alike: dict[int, list[int]] = defaultdict(list)
        for number, row in enumerate(rows):
            alike[len(row)].append(number)
        for length, numbers in alike.items():
            most = 1 if self._alone else max(1, _COPIED_TOKENS // (len(self.tokens) + length))
            for at in range(0, len(numbers), most):
                some = numbers[at : at + most]
                yield from self._walk([rows[number] for number in some], some, tree, most)

    def _walk(
        self, rows: list[list[int]], numbers: list[int], tree: LabelTree, most: int
    ) -> Iterator[tuple[list[int], list[int], torch.Tensor]]:
        """Of rows of the same length, of which `most` copies are made at a time, about."""
        given = rows if self.is_cached else [self.tokens + row for row in rows]
        last = [(row, len(given[0]) - 1) for row in range(len(rows))]
        outputs = self._forward(given, last, self._going_on(len(rows)) | {"use_cache": not self._alone})
        yield numbers, [0] * len(rows), outputs.logits[0]
        cache = getattr(outputs, "past_key_values", None)
        goes_on = not self._alone and _can_be_gone_on_from(cache)
        at_once = max(1, most // len(rows)) if goes_on else 1
        known = [_shared(*both) for both in pairwise([[], *tree.walks])]  # nodes of the walk before, in each
        for at in range(0, len(tree.walks), at_once):
            walks, new = tree.walks[at : at + at_once], known[at : at + at_once]
            stems = [[tree.nodes[node][-1] for node in walk] for walk in walks]
            pairs = [(row, walk) for row in range(len(rows)) for walk in range(len(walks))]
            wanted = [
                (pair, place)
                for pair, (_, walk) in enumerate(pairs)
                for place in range(new[walk], len(walks[walk]))
            ]
            if goes_on:
                copied: Any = copy.deepcopy(cache)
                copied.batch_repeat_interleave(len(walks))
                options = {"past_key_values": copied, "use_cache": True}
                logits = self._forward([stems[walk] for _, walk in pairs], wanted, options).logits[0]
            else:
                own = [range(len(rows[row]) + new[walk], len(rows[row]) + len(walks[walk])) for row, walk in pairs]
                logits = self.logits_at([rows[row] + stems[walk] for row, walk in pairs], own)
            nodes = [walks[pairs[pair][1]][place] for pair, place in wanted]
            yield [numbers[pairs[pair][0]] for pair, _ in wanted], nodes, logits

    def _forward(
        self, rows: Sequence[list[int]], wanted: Sequence[tuple[int, int]], options: dict[str, Any]
    ) -> Any:
        """The outputs for `rows`, padded behind their ends, with logits at each (row, place) of `wanted` only."""
        import torch

        from models.head import only_at

        width = max(len(row) for row in rows)
        device = self._model.device
        ids = torch.tensor([row + row[-1:] * (width - len(row)) for row in rows], device=device)
        row, place = torch.tensor(list(wanted), device=device).unbind(-1)
        with only_at(self._bare, lambda hidden: hidden[row, place][None]):
            return self._model(input_ids=ids, **options)

    def _going_on(self, rows: int) -> dict[str, Any]:
        """What a forward of so many rows is given of the prefix: a copy, to which it may append."""
        if not self.is_cached:
            return {"use_cache": False}
        cache = copy.deepcopy(self._cache)
        cache.batch_repeat_interleave(rows)
        return {"past_key_values": cache, "use_cache": True}


def _shared(one: list[int], other: list[int]) -> int:
    """How many items both lists begin with."""
    for at, both in enumerate(zip(one, other, strict=False)):
        if both[0] != both[1]:
            return at
    return min(len(one), len(other))


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
