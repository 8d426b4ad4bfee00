"""A text → how it begins, and how it goes on: what a model of raw texts is asked, and what its author answered."""

from __future__ import annotations

import re

WORDS = 20
"""Of an opening, about: enough to know what kind of text it is, and most of a short text is still to come."""
_WORD = re.compile(r"\S+")
_ENDS = re.compile(r"[.!?…。！？:;]['\"”’»)\]]*$")
_SIGNS = 200
"""Of an opening in a script that writes no spaces, at most."""


def opening_of(text: str) -> tuple[str, str]:
    """Returns the opening of `text` and the rest, which begins with the space between them: both make `text`.

    An opening has some twenty words, or half of a shorter text; it ends with a sentence or a line if one ends near
    by. A short word alone is all opening.
    """
    words = list(_WORD.finditer(text))
    if len(words) < 2:
        end = len(text) if len(text) <= WORDS else min(len(text) // 2, _SIGNS)
        return text[:end], text[end:]
    most = min(WORDS, len(words) // 2)
    nearby = range(most, max(0, most - most // 3), -1)
    count = next((number for number in nearby if _ends_here(text, words, number)), most)
    end = words[count - 1].end()
    if end > _SIGNS:
        end = max((word.end() for word in words[:count] if word.end() <= _SIGNS), default=_SIGNS)
    return text[:end], text[end:]


def _ends_here(text: str, words: list[re.Match[str]], number: int) -> bool:
    """Whether a sentence or a line ends after so many words."""
    before, after = words[number - 1], words[number]
    return bool(_ENDS.search(before[0])) or "\n" in text[before.end() : after.start()]
