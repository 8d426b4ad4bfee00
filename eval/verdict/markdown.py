"""A verdict as Markdown: for a pull request's comment, or a file beside a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from eval.metrics.metric import Flip
from eval.report.escaped import inline, plain, quote
from eval.verdict import flips, words
from eval.verdict.parts import Part, facts, parts
from eval.verdict.schema import Comparison, Verdict, VerdictRow
from eval.verdict.tables import Grid
from plumbing.printable import printable

FLIPS_SHOWN = 5
_KINDS: dict[str, Flip] = {"Losses": "lost", "Gains": "gained"}


def to_markdown(verdict: Verdict, rows: Sequence[VerdictRow] = ()) -> str:
    """All of it; the rows that changed where there are `rows`."""
    sections = [f"# {_line(words.headline(verdict))}"]
    for part in parts(verdict):
        sections += _part(part)
    for comparison in words.best_first(verdict):
        sections += _flips(verdict, comparison, rows)
    sections += ["## Facts", "\n".join(f"- {name}: {_line(value)}" for name, value in facts(verdict).items())]
    return printable("\n\n".join(sections) + "\n")


def _part(part: Part) -> Iterator[str]:
    yield f"## {_line(part.title)}"
    yield from (_line(sentence) for sentence in part.said if sentence)
    yield from (_grid(grid) for grid in part.grids if grid.rows)


def _grid(grid: Grid) -> str:
    lines = [_cells(grid.head), "|---" * len(grid.head) + "|", *map(_cells, grid.rows)]
    return "\n".join(lines)


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(inline(' '.join(cell.split())) for cell in cells)} |"


def _flips(verdict: Verdict, comparison: Comparison, rows: Sequence[VerdictRow]) -> Iterator[str]:
    name = "" if words.is_one_pair(verdict) else f": {_line(words.titled(verdict, comparison.tuned))}"
    for title, kind in _KINDS.items():
        found = flips.changed(verdict, comparison, rows, kind)
        if not found:
            continue
        shown = "all" if len(found) <= FLIPS_SHOWN else f"{FLIPS_SHOWN} of {len(found):,}"
        yield f"## {title}{name} ({shown})"
        for each in found[:FLIPS_SHOWN]:
            asked, *others = flips.texts(each, comparison, verdict.sides[0].info.key)
            yield f"Row {each.number:,}:\n\n{quote(asked[1]) or '(nothing)'}"
            yield from (f"**{what}:** {_line(text) or '(nothing)'}" for what, text in others)


def _line(text: str) -> str:
    return plain(" ".join(text.split()))
