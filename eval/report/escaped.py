"""Text of a model, a user or a data set in Markdown: shown, and never obeyed."""

from __future__ import annotations

import re


def inline(text: str) -> str:
    """Text within a line, in which nothing is Markdown, and nobody is called by `@name`, as in a pull request."""
    escaped = re.sub(r"([\\`*_\[\]<>|~$&])", r"\\\1", text)
    return re.sub(r"@(?=\w)", "@<!-- -->", escaped)


def plain(text: str) -> str:
    """The same where it may stand at the start of a line."""
    # What makes a heading or a list only there: `#`, `-`, `1.`
    return re.sub(r"^(\s*\d*)([#+\-=.)])", r"\1\\\2", inline(text))


def cell(text: str) -> str:
    """A text in a table, on one line."""
    return plain(" ".join(text.split())) or "(nothing)"


def quote(text: str) -> str:
    """A text as a quotation, line by line."""
    return "\\\n".join(f"> {plain(line.strip())}" for line in text.splitlines() if line.strip())
