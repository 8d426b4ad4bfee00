"""What a program that compresses files knows of an author: no language model, and no word of it understood.

A text is compressed behind the training texts, and what it adds to them is what it takes. LZMA finds runs of bytes
that were there before, however long ago, and counts how often each follows which.
"""

from __future__ import annotations

import lzma
from collections.abc import Sequence

from eval.floors.floor import Floor

MOST_BYTES = 2**17
"""Of the training texts, from their end: compressing them is repeated for each text that is judged."""
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": 2**20}]
_BETWEEN = b"\n\n"


def compressed_bits(train: Sequence[str], texts: Sequence[str]) -> list[float]:
    """How many bits each of `texts` adds to what LZMA makes of the training texts before it."""
    known = _BETWEEN.join(text.encode("utf-8", "replace") for text in train)[-MOST_BYTES:] + _BETWEEN
    alone = _size(known)
    return [8.0 * (_size(known + text.encode("utf-8", "replace")) - alone) for text in texts]


def _size(content: bytes) -> int:
    return len(lzma.compress(content, format=lzma.FORMAT_RAW, filters=_FILTERS))


FLOOR = Floor(
    "LZMA",
    "Compresses each text behind the training texts: it looks for runs of bytes that were there before.",
    True,
    doing="compressing it with LZMA behind the training texts",
    bits=compressed_bits,
)
