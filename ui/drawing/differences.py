"""Where two answers differ, word by word: what only one of them says is marked, and what both say is counted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from string import punctuation

from ui.drawing.markup import Markup, join, tag

ALIKE = 1 / 3
"""Of the longer answer's words, that both have to say: of others nearly all would be marked."""
_WORD = re.compile(r"\S+")

Span = tuple[int, int]
"""From which character to which."""


@dataclass(frozen=True)
class Compared:
    """Two texts beside each other."""

    common: int
    """Words that both say, in the same order, whatever their case and the signs around them."""
    most: int
    """Words of the longer one."""
    own: tuple[Sequence[Span], Sequence[Span]]
    """What only the first says, and what only the second does."""

    @property
    def are_alike(self) -> bool:
        """Whether they have enough in common for a mark to tell something."""
        return self.common >= ALIKE * self.most > 0


def compared(first: str, second: str) -> Compared:
    """The two texts word by word."""
    spans = [[word.span() for word in _WORD.finditer(text)] for text in (first, second)]
    words = [
        [text[start:end].casefold().strip(punctuation) for start, end in found]
        for text, found in zip((first, second), spans, strict=True)
    ]
    steps = SequenceMatcher(None, words[0], words[1], autojunk=False).get_opcodes()
    common = sum(end - start for what, start, end, _, _ in steps if what == "equal")
    changes = [step for step in steps if step[0] != "equal"]
    own = (
        [_span(spans[0][start:end]) for _, start, end, _, _ in changes if end > start],
        [_span(spans[1][start:end]) for _, _, _, start, end in changes if end > start],
    )
    return Compared(common, max(map(len, words)), own)


def _span(words: Sequence[Span]) -> Span:
    return words[0][0], words[-1][1]


def marked(text: str, own: Sequence[Span]) -> Markup:
    """`text` with those parts marked."""
    parts, place = [], 0
    for start, end in own:
        parts += [text[place:start], tag("mark", text[start:end], class_="ba-differs")]
        place = end
    return join([*parts, text[place:]])
