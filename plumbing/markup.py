"""HTML and SVG that escape by construction: text becomes markup only through `tag`, which escapes it.

Whatever draws uses it: the page, and reports that are files of their own. The only strings that are trusted are the
tag and attribute names in our own source, and what `style` is given.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from plumbing.printable import printable


class Markup(str):
    """HTML whose every piece of foreign text has been escaped."""

    __slots__ = ()


Child = str | int | float | None


def tag(name: str, *children: Child, **attributes: Child) -> Markup:
    """`<name attributes>children</name>`; a plain string among the children is escaped, a `Markup` is not.

    Attribute names lose a trailing underscore (`class_`) and write others as hyphens; None leaves one out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(printable(str(value)))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def join(children: Iterable[Child]) -> Markup:
    """The children one after the other, escaped where they are plain text."""
    return Markup("".join(_piece(child) for child in children if child is not None))


def style(css: str) -> Markup:
    """A style sheet of our own source, as it stands: within one, nothing is escaped.

    Raises:
        ValueError: it would end the element that it stands in.
    """
    if "</" in css:
        raise ValueError("a style sheet ends no element")
    return Markup(f"<style>\n{css}</style>")


def table(
    headers: Sequence[str], rows: Iterable[Sequence[Child]], *, class_: str = "ba-table", label: str | None = None
) -> Markup:
    """A plain table in a box that scrolls sideways when the screen is narrow, by the keyboard too."""
    head = tag("thead", tag("tr", *(tag("th", header, scope="col") for header in headers)))
    body = tag("tbody", *(tag("tr", *(tag("td", cell) for cell in row)) for row in rows))
    return scrolling(tag("table", head, body, class_=class_, aria_label=label), label=label)


def scrolling(content: Markup, *, label: str | None = None) -> Markup:
    """A box of its own for what may be wider than the page."""
    named = {"role": "region", "aria_label": label} if label else {}
    return tag("div", content, class_="ba-scroll", tabindex=0, **named)


def _piece(child: Child) -> str:
    return child if isinstance(child, Markup) else html.escape(printable(str(child)))
