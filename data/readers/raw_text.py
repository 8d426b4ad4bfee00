"""Raw text → a table of one column: each file is one document, and a row."""

from __future__ import annotations

from data.readers.table import Table

COLUMN = "text"
SUFFIXES = (".txt", ".md")


def read_raw(content: bytes) -> Table:
    """Returns the text in `content`, which is UTF-8, as a table of one row."""
    text = content.decode().replace("\r\n", "\n").replace("\r", "\n").strip()
    return Table((COLUMN,), ((1, {COLUMN: text}),))
