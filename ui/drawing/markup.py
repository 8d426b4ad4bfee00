"""Parts of the page as HTML; `plumbing.markup` escapes all that they show.

`gr.HTML` shows what it is given. Everything that reaches one is a `Markup`.
"""

from __future__ import annotations

from collections.abc import Iterable

from plumbing.markup import Child as Child
from plumbing.markup import Markup as Markup
from plumbing.markup import join as join
from plumbing.markup import scrolling as scrolling
from plumbing.markup import table as table
from plumbing.markup import tag as tag

_FITS = 130
"""Characters of a cell that is never scrolled."""


def cell(content: str) -> Markup:
    """A table cell that scrolls where its text is long, by the keyboard too."""
    return tag("div", content, class_="ba-cell", tabindex=0 if len(content) > _FITS else None)


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
