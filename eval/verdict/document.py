"""A verdict as one HTML file that needs nothing else (`eval.lab.one_file`): no script, every answer escaped."""

from __future__ import annotations

from collections.abc import Sequence

from eval.lab import plots as lab_plots
from eval.lab.one_file import facts as listed_facts
from eval.lab.one_file import fold, numbers, said, section, whole_file
from eval.metrics.metric import Flip
from eval.verdict import flips, plots, words
from eval.verdict.parts import Part, facts, parts
from eval.verdict.schema import Comparison, Verdict, VerdictRow
from plumbing.markup import Child, Markup, tag

FLIPS_SHOWN = 50
"""Rows that lost, and as many that gained, of each tuned side."""
CSS = """
.ba-flip { border-top: 1px solid var(--ba-rule); padding-top: 10px; }
.ba-flip dd { white-space: pre-wrap; }
.ba-prompt { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; font-size: 13px; }
"""
_TITLES: dict[Flip, str] = {"lost": "Rows that lost", "gained": "Rows that gained"}


def to_html(verdict: Verdict, rows: Sequence[VerdictRow] = ()) -> str:
    """The whole file; the rows that changed where there are `rows`."""
    title = f"{verdict.about.title}: {' · '.join(words.titled(verdict, side.info.key) for side in verdict.sides)}"
    return whole_file(
        title,
        tag("header", tag("h1", title)),
        body(verdict, rows),
        css=[lab_plots.CSS, CSS],
    )


def body(verdict: Verdict, rows: Sequence[VerdictRow] = (), *, level: int = 2) -> Markup:
    """What stands in it, which the page can show as well. `level` is that of its headings."""
    first, *others = parts(verdict)
    drawn = [plots.scores_plot(verdict), plots.differences_plot(verdict)]
    content: list[Child] = [
        tag("p", words.headline(verdict), class_="ba-headline"),
        *_inside(first),
        *drawn,
        *(_part(part, verdict, level) for part in others),
        *(_flips(verdict, each, rows) for each in words.best_first(verdict)),
        _prompts(verdict),
        fold("Facts", listed_facts(facts(verdict))),
    ]
    return tag("div", *content, class_="ba-stack lab-result")


def _part(part: Part, verdict: Verdict, level: int) -> Markup:
    plot = plots.slices_plot(verdict, part.slices_of) if part.slices_of else None
    if part.besides:
        return fold(part.title, *_inside(part), plot)
    return section(level, part.title, *_inside(part), plot)


def _inside(part: Part) -> list[Child]:
    grids = [numbers(grid.caption, grid.head, grid.rows) for grid in part.grids if grid.rows]
    return [*(said(sentence) for sentence in part.said if sentence), *grids]


def _flips(verdict: Verdict, comparison: Comparison, rows: Sequence[VerdictRow]) -> Markup | None:
    """The rows of one tuned side that changed, folded up by kind."""
    found: list[Child] = []
    who = "" if words.is_one_pair(verdict) else f", {words.titled(verdict, comparison.tuned)}"
    for kind, title in _TITLES.items():
        rows_found = flips.changed(verdict, comparison, rows, kind)
        if rows_found:
            count = (
                f"{len(rows_found):,}"
                if len(rows_found) <= FLIPS_SHOWN
                else f"{FLIPS_SHOWN} of {len(rows_found):,}"
            )
            drawn = [_flip(each, comparison, verdict) for each in rows_found[:FLIPS_SHOWN]]
            found.append(fold(f"{title}{who} ({count})", *drawn))
    return tag("div", *found, class_="ba-stack") if found else None


def _flip(each: flips.Changed, comparison: Comparison, verdict: Verdict) -> Markup:
    digits = verdict.by.digits + 1
    change = f"row {each.number:,}, {verdict.by.title} {each.change:+.{digits}f}"
    pairs = [
        part
        for name, text in flips.texts(each, comparison, verdict.sides[0].info.key)
        for part in (tag("dt", name), tag("dd", text))
    ]
    return tag("div", tag("p", change, class_="ba-small"), tag("dl", *pairs, class_="ba-facts"), class_="ba-flip")


def _prompts(verdict: Verdict) -> Markup:
    """How the first row is asked of each side."""
    drawn: list[Child] = []
    for side in verdict.sides:
        drawn.append(tag("p", words.titled(verdict, side.info.key), class_="ba-small"))
        drawn.append(tag("pre", flips.cut(side.prompt.example), class_="ba-prompt"))
    return fold("The first row's prompt", *drawn)
