"""HTML that escapes by construction: text becomes markup only through `tag`, which escapes it.

`gr.HTML` shows what it is given. Everything that reaches one is a `Markup`, and the only strings that are trusted
are the tag and attribute names in our own source.
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


def cell(content: str) -> Markup:
    """A table cell that scrolls where its text is long."""
    return tag("div", content, class_="ba-cell")


def section(title: str, *parts: Child) -> Markup:
    """A part of a longer drawing under a title of its own."""
    return tag("section", tag("h3", title), *parts, class_="ba-section ba-stack")


def fold(title: str, *parts: Child) -> Markup:
    """What is there for who asks for it."""
    return tag("details", tag("summary", title), tag("div", *parts, class_="ba-stack"), class_="ba-fold")


def sentences(lines: Iterable[str], *, class_: str = "ba-sentences") -> Markup:
    return tag("ul", *(tag("li", line) for line in lines), class_=class_)


def progress(what: str, done: int, total: int, *, class_: str = "") -> Markup:
    """A bar; where the total is unknown, one that only shows that something is being done."""
    known = total > 0
    share = min(100.0, 100.0 * done / total) if known else 100.0
    fill = tag("div", class_="ba-fill" if known else "ba-fill ba-fill-unknown", style=f"width:{share:.1f}%")
    bar = tag(
        "div",
        fill,
        class_="ba-progress",
        role="progressbar",
        aria_valuemin=0,
        aria_valuemax=100,
        aria_valuenow=f"{share:.0f}" if known else None,
        aria_label=what,
    )
    return tag("div", tag("div", what, class_="ba-small"), bar, class_=f"ba-progress-box {class_}".strip())


def counted(what: str, done: int, total: int, unit: str = "") -> str:
    """`Fine-tuning: 32 of 400 steps`; more than a million of anything are bytes."""
    if total <= 0:
        return what
    if total > 1_000_000:
        return f"{what}: {done / 1e6:.0f} of {total / 1e6:.0f} MB"
    return f"{what}: {done:,} of {total:,} {unit}".rstrip()


def clicked(event: object, name: str) -> str:
    """What a click in our own HTML says under `name` (`data-run` is `run`); empty where it says nothing."""
    said = getattr(event, "_data", None)
    return str(said.get(name, "")) if isinstance(said, dict) else ""


def _piece(child: Child) -> str:
    return child if isinstance(child, Markup) else html.escape(printable(str(child)))
