"""A training row as tokens, and which of them are learned."""

from __future__ import annotations

from dataclasses import dataclass

Span = tuple[int, int]
"""The first token of a range, and the one behind its last."""


@dataclass(frozen=True)
class EncodedExample:
    """A training row as tokens: those in `spans` are learned, the rest is read."""

    input_ids: list[int]
    spans: tuple[Span, ...]
    """In order, none of them empty, none touching another's tokens."""

    @classmethod
    def of(cls, prompt: list[int], completion: list[int]) -> EncodedExample:
        """A prompt that is read, and a completion that is learned."""
        return cls(prompt + completion, ((len(prompt), len(prompt) + len(completion)),))

    @classmethod
    def whole(cls, ids: list[int]) -> EncodedExample:
        """A text that is learned from its beginning to its end."""
        return cls(ids, ((0, len(ids)),))

    @property
    def completion_start(self) -> int:
        """The place of the first token that is learned."""
        return self.spans[0][0]

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
