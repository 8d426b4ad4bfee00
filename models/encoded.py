"""A training row as tokens, and which of them are learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain

Span = tuple[int, int]
"""The first token of a range, and the one behind its last."""


@dataclass(frozen=True)
class EncodedExample:
    """A training row as tokens: those in `spans` are learned, the rest is read."""

    input_ids: list[int]
    spans: tuple[Span, ...]
    """In order, none of them empty, none touching another's tokens."""
    texts: tuple[int, ...] = ()
    """Of a row of raw texts how many tokens each has: they share it and do not see each other."""

    @classmethod
    def of(cls, prompt: list[int], completion: list[int]) -> EncodedExample:
        """A prompt that is read, and a completion that is learned."""
        return cls(prompt + completion, ((len(prompt), len(prompt) + len(completion)),))

    @classmethod
    def of_texts(cls, texts: Sequence[list[int]]) -> EncodedExample:
        """Texts that are learned from their second tokens to their ends: nothing predicts the first."""
        ends = list(accumulate(map(len, texts)))
        spans = tuple((end - len(ids) + 1, end) for ids, end in zip(texts, ends, strict=True) if len(ids) > 1)
        return cls(list(chain.from_iterable(texts)), spans, tuple(map(len, texts)))

    @property
    def completion_start(self) -> int:
        """The place of the first token that is learned."""
        return self.spans[0][0]

    @property
    def answer_start(self) -> int:
        """The place of the first token of the last range that is learned: of a chat, of its last answer."""
        return self.spans[-1][0]

    @property
    def learned(self) -> int:
        """How many tokens are."""
        return sum(end - start for start, end in self.spans)

    @property
    def completion_mask(self) -> list[int]:
        """1 for a token that is learned, 0 for any other."""
        mask = [0] * len(self.input_ids)
        for start, end in self.spans:
            mask[start:end] = [1] * (end - start)
        return mask
