"""Foreign text as it may be shown: on a page, in a terminal, in an error.

The one place that decides what a reader sees of characters that cannot be seen, that turn the direction of the
text around them, or that drive a terminal. They are written as escapes; the data itself keeps them.
"""

from __future__ import annotations

import re
import reprlib

# Controls but tab and line feed; soft hyphen; zero-width and filler characters; line and paragraph separators;
# embeddings, overrides and isolates of the writing direction; half characters and none; tags. Joiners and the marks
# for the direction of single letters stay: emoji, Persian and Hebrew need them, and they move nothing else.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u115f\u1160\u180e\u200b\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    "\ufff0-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e0fff]"
)
_MARKS = "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
_FLOOD = re.compile(f"([{_MARKS}]{{4}})[{_MARKS}]+")
"""More marks on one letter than any script sets: they would be drawn over the lines above and below."""

_shortened = reprlib.Repr()
_shortened.maxstring = _shortened.maxother = 300
_shortened.maxlist = _shortened.maxtuple = _shortened.maxdict = _shortened.maxset = _shortened.maxfrozenset = 12
_shortened.maxlevel = 3


def printable(text: str) -> str:
    """Returns `text` with what is hidden in it written as escapes, and floods of combining marks cut."""
    if text.isascii() and text.isprintable():
        return text
    return _FLOOD.sub(r"\1…", _HIDDEN.sub(_escaped, text))


def one_line(text: str, *, longest: int = 80) -> str:
    """Returns a name, of a file or of a column, for the middle of a sentence."""
    shown = printable(text).replace("\n", "\\n").replace("\t", "\\t")
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def brief(value: object) -> str:
    """Returns the `repr` of `value`, cut where it is long."""
    return printable(_shortened.repr(value))


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
