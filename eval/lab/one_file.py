"""One HTML file that needs nothing else: no script, nothing fetched from anywhere, light and dark, legible in grey.

What stands in it is somebody else's; here are its head, its looks, and the parts that such files are made of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from plumbing.markup import Child, Markup, scrolling, style, tag

CSS = (Path(__file__).parent / "document.css").read_text(encoding="utf-8")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""What a browser may load for it: nothing."""


def whole_file(title: str, *content: Child, css: Sequence[str] = ()) -> str:
    """The file: `content` in its one column, `css` after the common style sheet."""
    head = tag(
        "head",
        Markup('<meta charset="utf-8">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        Markup('<meta name="color-scheme" content="light dark">'),
        tag("title", f"{title} · Before/After"),
        *(style(sheet) for sheet in (CSS, *css)),
    )
    return f"<!doctype html>\n{tag('html', head, tag('body', tag('main', *content)), lang='en')}\n"


def numbers(caption: str, head: Sequence[str], rows: Iterable[Sequence[Child]]) -> Markup:
    """A table whose first column names its rows, for who hears it as well."""
    top = tag("thead", tag("tr", *(tag("th", each, scope="col") for each in head)))
    lines = [tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:])) for row in rows]
    drawn = tag("table", tag("caption", caption, class_="lab-hidden"), top, tag("tbody", *lines),
                class_="ba-table ba-numbers")  # fmt: skip
    return scrolling(drawn, label=caption)


def section(level: int, title: str, *parts: Child) -> Markup:
    """A part with a heading of that level."""
    return tag("section", tag(f"h{level}", title), *parts, class_="ba-section ba-stack")


def fold(title: str, *parts: Child) -> Markup:
    """A part that is opened by its title."""
    return tag("details", tag("summary", title), tag("div", *parts, class_="ba-stack"), class_="ba-fold")


def said(sentence: str) -> Markup:
    """A paragraph."""
    return tag("p", sentence, class_="ba-said")


def facts(found: Mapping[str, str]) -> Markup:
    """Names and what they stand for, one under the other."""
    pairs = [part for name, value in found.items() for part in (tag("dt", name), tag("dd", value))]
    return tag("dl", *pairs, class_="ba-facts")
