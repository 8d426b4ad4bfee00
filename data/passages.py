"""A document → passages: what is read at once where raw text is learned. They are cut where the text has gaps."""

from __future__ import annotations

import re
from collections.abc import Iterator

PASSAGE_CHARS = 2_000
BETWEEN = "\n\n"
"""What stands between two passages of a document that are put together again."""
BLANK_LINES = re.compile(r"\n[ \t]*\n\s*")
GAPS = (re.compile(r"\n"), re.compile(r"(?<=[.!?…。！？])\s+"), re.compile(r"\s+"))
"""Where a paragraph is cut that is too long by itself, the best first."""


def passages_of(document: str, *, most: int = PASSAGE_CHARS) -> Iterator[str]:
    """The passages of a document: as many whole paragraphs each as `most` characters hold."""
    yield from _gathered(
        (piece for paragraph in BLANK_LINES.split(document.strip()) for piece in _pieces(paragraph, most)),
        BETWEEN,
        most,
    )


def _pieces(paragraph: str, most: int, gaps: tuple[re.Pattern[str], ...] = GAPS) -> Iterator[str]:
    """A paragraph, or where it is too long its lines, its sentences, its words, as many at once as fit."""
    if len(paragraph) <= most:
        if paragraph.strip():
            yield paragraph.strip()
    elif not gaps:
        yield from (paragraph[start : start + most] for start in range(0, len(paragraph), most))
    else:
        between = "\n" if gaps is GAPS else " "
        parts = (piece for part in gaps[0].split(paragraph) for piece in _pieces(part, most, gaps[1:]))
        yield from _gathered(parts, between, most)


def _gathered(pieces: Iterator[str], between: str, most: int) -> Iterator[str]:
    held: list[str] = []
    size = 0
    for piece in pieces:
        if held and size + len(between) + len(piece) > most:
            yield between.join(held)
            held, size = [], 0
        size += len(piece) + (len(between) if held else 0)
        held.append(piece)
    if held:
        yield between.join(held)
