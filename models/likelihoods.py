"""How probable base and tuned find what is learned of rows: all that the assistant says in a chat, all of a text.

Rows go through the model once a side, behind what all of them begin with. Only positions that predict a learned
token go through the vocabulary projection, some at a time, in float32 whatever the model computes in.

Shapes: N places, H hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.batches import each_row, like_lengths
from models.float32_head import Float32Head
from models.loading import keep_freed_memory
from models.pair import Pair
from models.prefix import Prefix, shared_start
from models.sides import Sides

if TYPE_CHECKING:
    import torch

    from models.encoded import EncodedExample

_BATCH_TOKENS = 8192
"""Of a batch of several rows by hand, at most."""
_BATCH_TOKENS_OF_MODULES = 2048
"""The same by modules, which hold the logits of all places that are asked for at once."""
_PREDICTIONS = 2**25
"""Log-probabilities of the base that are held to be compared with, about: 134 MB."""
_PLACES_AT_ONCE = 256
"""Places whose float32 logits are held at a time by hand: 50 MB for a vocabulary of 49,152."""


@dataclass(frozen=True)
class TurnLikelihood:
    """Of one row, over all its learned tokens."""

    base: float
    """The sum of their log-probabilities, in nats."""
    tuned: float
    tokens: int
    """How many there are. The first token of a row is not among them: nothing predicts it."""
    divergence: float | None = None
    """The Kullback-Leibler divergence of the tuned side's predictions of them from the base's, summed, in nats: how
    far tuning has gone from the base. None where it was not asked for."""


@dataclass(frozen=True)
class _Rows:
    """What follows the shared beginning, and where in it each learned token stands."""

    shared: list[int]
    rows: list[list[int]]
    learned: list[list[int]]

    @classmethod
    def of(cls, examples: Sequence[EncodedExample]) -> _Rows:
        places = [[at for start, end in each.spans for at in range(max(1, start), end)] for each in examples]
        # What predicts the first of them has to be behind the shared beginning, as one of its row's own tokens.
        most = max(0, min((own[0] - 1 for own in places if own), default=0))
        shared = shared_start([each.input_ids for each in examples])[:most]
        rows = [each.input_ids[len(shared) :] for each in examples]
        return cls(shared, rows, [[at - len(shared) for at in own] for own in places])


def turn_log_likelihoods(
    pair: Pair,
    rows: Sequence[Mapping[str, Any]],
    *,
    batch_size: int = 128,
    on_batch: Callable[[int, int], None] | None = None,
) -> list[TurnLikelihood]:
    """The likelihood of every token that training on `rows` would learn, by both sides.

    Args:
        pair: of kind `causal`.
        rows: with the columns of its task, as they are trained on: chats, but others will do.
        batch_size: rows a forward pass, at most.
        on_batch: called with the number of rows done and of all.
    """
    assert pair.prompter is not None
    return log_likelihoods(pair, pair.prompter.encode_rows(rows), batch_size=batch_size, on_batch=on_batch)


def log_likelihoods(
    pair: Pair,
    examples: Sequence[EncodedExample],
    *,
    divergence: bool = False,
    batch_size: int = 128,
    on_batch: Callable[[int, int], None] | None = None,
) -> list[TurnLikelihood]:
    """The same of rows that are tokens already.

    Args:
        pair: of kind `causal`.
        examples: the rows.
        divergence: whether to find out as well how far apart the predictions of both sides are: all those of the
            base are held, of few rows at a time.
        batch_size: rows a forward pass, at most.
        on_batch: called with the number of rows done and of all.
    """
    keep_freed_memory()
    laid = _Rows.of(examples)
    by_hand = pair.layers_of(True) is not None
    lengths = [len(row) for row in laid.rows]
    sides = {tuned: _side(pair, tuned, laid) for tuned in (False, True)}
    batches = like_lengths(lengths, batch_size, _BATCH_TOKENS if by_hand else _BATCH_TOKENS_OF_MODULES)
    if divergence:
        most = _PREDICTIONS // int(pair.model.config.get_text_config().vocab_size)
        batches = (few for batch in batches for few in _of_few_places(batch, laid, most))

    def both(indexes: list[int]) -> Iterable[TurnLikelihood]:
        between = _Between() if divergence else None
        base = sides[False](indexes, between.keep if between else None)
        tuned = sides[True](indexes, between.compare if between else None)
        counts = [len(laid.learned[index]) for index in indexes]
        apart = between.summed(counts) if between else [None] * len(indexes)
        return map(TurnLikelihood, base, tuned, counts, apart)

    return each_row(batches, both, len(examples), on_batch)


def _of_few_places(batch: list[int], laid: _Rows, most: int) -> Iterator[list[int]]:
    """The rows of a batch in parts with `most` places together, or a single row."""
    part: list[int] = []
    places = 0
    for index in batch:
        own = len(laid.learned[index])
        if part and places + own > most:
            yield part
            part, places = [], 0
        part.append(index)
        places += own
    if part:
        yield part


class _Between:
    """How far the predictions of one side are from those of the other, place by place."""

    def __init__(self) -> None:
        self._base: list[torch.Tensor] = []
        self._apart: list[torch.Tensor] = []

    def keep(self, log_probs: torch.Tensor) -> None:
        """The base's at some places, [n, V]."""
        self._base.append(log_probs)

    def compare(self, log_probs: torch.Tensor) -> None:
        """The tuned side's at the same places, in the same order."""
        base = self._base.pop(0)
        self._apart.append((log_probs.exp() * (log_probs - base)).sum(-1).cpu())

    def summed(self, counts: Sequence[int]) -> list[float]:
        """Over as many places each, in nats."""
        import torch

        if not self._apart:
            return [0.0] * len(counts)
        return [float(values.sum()) for values in torch.cat(self._apart).double().split(list(counts))]


_Seen = Callable[["torch.Tensor"], None]
"""Takes the log-probabilities of all tokens at some places, [n, V]."""


def log_likelihoods_of(
    sides: Sides,
    examples: Sequence[EncodedExample],
    *,
    tuned: bool = False,
    batch_size: int = 128,
    on_batch: Callable[[int, int], None] | None = None,
) -> list[float]:
    """The summed log-probability, in nats, of what is learned of each of `examples`, by one side alone.

    Args:
        sides: of language models.
        examples: rows of their tokens.
        tuned: which side.
        batch_size: rows a forward pass, at most.
        on_batch: called with the number of rows done and of all.
    """
    keep_freed_memory()
    laid = _Rows.of(examples)
    summed = _side(sides, tuned, laid)
    most = _BATCH_TOKENS if sides.layers_of(tuned) is not None else _BATCH_TOKENS_OF_MODULES
    batches = like_lengths([len(row) for row in laid.rows], batch_size, most)
    return each_row(batches, lambda indexes: summed(indexes, None), len(examples), on_batch)


def _side(pair: Sides, tuned: bool, laid: _Rows) -> Callable[[list[int], _Seen | None], list[float]]:
    """Numbers of rows → the summed log-probabilities of their learned tokens; the beginning is read once."""
    kept: list[Any] = []

    def summed(indexes: list[int], seen: _Seen | None) -> list[float]:
        import torch

        rows, learned = [laid.rows[index] for index in indexes], [laid.learned[index] for index in indexes]
        if not any(learned):
            return [0.0] * len(rows)
        chosen = []
        targets = torch.tensor([row[at] for row, own in zip(rows, learned, strict=True) for at in own])
        counts = [len(own) for own in learned]
        places = [[at - 1 for at in own] for own in learned]
        with torch.inference_mode(), pair.side(tuned) as model:
            if not kept:
                kept.append(_logits(pair, tuned, model, laid.shared))
            for logits, part in kept[0](rows, places, targets):
                log_probs = logits.float().log_softmax(-1)
                chosen.append(log_probs.gather(1, part[:, None].to(log_probs.device))[:, 0].cpu())
                if seen:
                    seen(log_probs)
        return [float(values.sum()) for values in torch.cat(chosen).double().split(counts)]

    return summed


_Logits = Callable[
    [list[list[int]], list[list[int]], "torch.Tensor"], Iterator[tuple["torch.Tensor", "torch.Tensor"]]
]
"""Rows, places in each, and the token after each place → logits of some of them, [n, V], and those tokens, [n]."""


def _logits(pair: Sides, tuned: bool, model: Any, shared: list[int]) -> _Logits:
    """How a side gives logits at some places of rows behind `shared`."""
    head = Float32Head(pair, tuned)
    if (layers := pair.layers_of(tuned)) is None:
        prefix = Prefix(model, shared)

        def by_modules(rows: Any, places: Any, targets: Any) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
            with head.in_place():
                yield prefix.logits_at(rows, places), targets

        return by_modules
    from models.fast.continuations import hidden_at
    from models.fast.llama import LlamaPrefix

    read = LlamaPrefix(layers, shared, adapted=tuned)

    def by_hand(rows: Any, places: Any, targets: Any) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        hidden = hidden_at(layers, read, rows, places, adapted=tuned)
        for at in range(0, len(targets), _PLACES_AT_ONCE):
            part = slice(at, at + _PLACES_AT_ONCE)
            yield head(hidden[part]), targets[part]

    return by_hand
