"""Raw text → a table of one column: each file is one document, and a row."""

from __future__ import annotations

from data.readers.table import Table
from plumbing.errors import DataError

COLUMN = "text"
SUFFIXES = (".txt", ".md")


def read_raw(content: bytes, name: str) -> Table:
    """Returns the text in `content`, which is UTF-8, as a table of one row.

    Raises DataError for a single line: there is nothing to divide, and nothing of it would be left to test on.
    """
    text = content.decode().replace("\r\n", "\n").replace("\r", "\n").strip()
    if "\n" not in text:
        raise DataError(
            "The file is one line of text",
            got=name,
            fix="Give several paragraphs with blank lines between them, or a table with its columns.",
        )
    return document(text)


def document(text: str) -> Table:
    """Returns the table of one document."""
    return Table((COLUMN,), ((1, {COLUMN: text}),))
