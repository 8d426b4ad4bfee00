"""What flipped: which test rows gained, lost or stayed the same, how they are drawn, and a spreadsheet of them.

Reads `eval.report.schema.RowResult`, computes nothing but an order: the largest change first.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from eval.metrics.metric import Metric
from eval.report.schema import Report, RowResult, SideResult
from ui.drawing.markup import Child, Markup, cell, join, table, tag

FLIPS_FILE = "flips.csv"
DRAWN = 200
"""Rows drawn at once: what a page takes without a pause. The filters look through all of them."""

Kind = Literal["all", "gained", "lost", "same"]
KINDS: tuple[Kind, ...] = ("all", "gained", "lost", "same")

_HEADERS = ("row", "change", "text", "reference", "base", "tuned")
_CHANGES = {"gained": "wrong → right", "lost": "right → wrong"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""How a cell begins that a spreadsheet may run (https://owasp.org/www-community/attacks/CSV_Injection)."""


@dataclass(frozen=True)
class Flip:
    """A test row and what tuning did to it."""

    number: int
    """Its place in the test set, from 1."""
    row: RowResult
    metric: Metric
    """The primary metric."""
    kind: Kind

    @property
    def change(self) -> float:
        return self.row.change(self.metric.name)

    @property
    def size(self) -> tuple[float, float]:
        """What the rows are sorted by; labels, which all change by 1, by the probability of the right one."""
        before, after = self.shown(self.row.base), self.shown(self.row.tuned)
        return abs(self.change), abs(after - before)

    def shown(self, side: SideResult) -> float:
        """One side's score: the probability of the right label, or the primary metric."""
        if side.probabilities is not None:
            return side.probabilities.get(self.row.references[0], 0.0)
        return side.scores[self.metric.name]

    def holds(self, wanted: str) -> bool:
        """Whether the text, a reference or an answer contains `wanted`, case aside."""
        texts = (self.row.input, *self.row.references, self.row.base.answer, self.row.tuned.answer)
        return any(wanted in text.casefold() for text in texts)


def flips(report: Report, rows: Iterable[RowResult]) -> list[Flip]:
    """Every row, the largest change first; rows that changed as much stay in the test set's order."""
    metric = report.primary.metric
    found = [Flip(number, row, metric, report.flip(row)) for number, row in enumerate(rows, start=1)]
    return sorted(found, key=lambda flip: flip.size, reverse=True)


def chosen(found: Sequence[Flip], kind: str, wanted: str) -> list[Flip]:
    """The rows of a kind that hold a text."""
    wanted = wanted.strip().casefold()
    return [flip for flip in found if kind in ("all", flip.kind) and (not wanted or flip.holds(wanted))]


def kind_options(report: Report) -> list[tuple[str, str]]:
    """(label, kind) pairs for a radio, with how many rows there are of each."""
    found = report.flips
    counts = {"all": report.n, "gained": found.gained, "lost": found.lost, "same": found.same}
    titles = {kind: kind.capitalize() for kind in KINDS}
    if found.threshold:
        titles["same"] = f"Changed by less than {found.threshold:g}"
    return [(f"{titles[kind]} ({counts[kind]:,})", kind) for kind in KINDS]


def draw(found: Sequence[Flip]) -> Markup:
    """A table, of which every row opens in Compare; the first `DRAWN` of them."""
    if not found:
        return tag("div", "No row is like that.", class_="ba-empty-chart")
    parts = [table(_HEADERS, map(_row, found[:DRAWN]), class_="ba-table ba-rows ba-flips")]
    if len(found) > DRAWN:
        rest = f"The {DRAWN} largest changes of {len(found):,} rows. Filter to see others, or take rows.jsonl."
        parts.append(tag("div", rest, class_="ba-note"))
    return tag("div", *parts, class_="ba-stack")


def _row(flip: Flip) -> list[Child]:
    row = flip.row
    says = f"Row {flip.number}: open in Compare"
    button = tag("button", flip.number, type="button", data_row=flip.number, aria_label=says, title=says)
    texts = [cell(row.input), cell(" / ".join(row.references))]
    return [button, _change(flip), *texts, *(_answer(flip, side) for side in (row.base, row.tuned))]


def _change(flip: Flip) -> Markup:
    base = flip.row.base
    decided = base.probabilities is not None or base.rewards is not None
    said = _CHANGES.get(flip.kind, "same") if decided else f"{flip.change:+.3f}"
    return tag("span", said, class_=f"ba-state ba-{flip.kind}")


def _answer(flip: Flip, side: SideResult) -> Markup:
    if side.rewards is not None:
        return _choice(flip, side, *side.rewards)
    score = flip.shown(side)
    if side.perplexity is not None:
        return join([cell(side.answer), tag("div", f"perplexity {side.perplexity:,.1f}", class_="ba-small")])
    if side.probabilities is None:
        return join([cell(side.answer), tag("div", f"{flip.metric.title} {score:.2f}", class_="ba-small")])
    is_right = side.answer in flip.row.references
    said = tag("div", f"{'✓' if is_right else '✗'} {side.answer}", class_=None if is_right else "ba-wrong")
    sure = side.probabilities[side.answer]
    return join([said, tag("div", f"{sure:.0%} sure", class_="ba-small")])


def _choice(flip: Flip, side: SideResult, better: float, worse: float) -> Markup:
    """The answer that a side takes for the better one, and what it gives both."""
    is_right = side.answer in flip.row.references
    mark = tag("span", "✓ " if is_right else "✗ ", class_=None if is_right else "ba-wrong")
    said = tag("div", f"better {better:+.2f}, worse {worse:+.2f}", class_="ba-small")
    return join([mark, cell(side.answer or "neither"), said])


def to_csv(report: Report, found: Sequence[Flip]) -> str:
    """The rows that gained or lost, for a spreadsheet: no text of theirs can be run as a formula."""
    score = "probability of the reference" if report.confusion else report.primary.title
    out = io.StringIO()
    writer = csv.writer(out)
    header = ["row", "flip", f"change of {report.primary.title}", *_HEADERS[2:]]
    writer.writerow([*header, *(f"{side}: {score}" for side in ("base", "tuned"))])
    for flip in found:
        if flip.kind == "same":
            continue
        row = flip.row
        texts = [row.input, " / ".join(row.references), row.base.answer, row.tuned.answer]
        scores = [f"{flip.shown(side):.4f}" for side in (row.base, row.tuned)]
        writer.writerow([flip.number, flip.kind, f"{flip.change:.4f}", *map(_as_text, texts), *scores])
    return out.getvalue()


def _as_text(content: str) -> str:
    return f"'{content}" if content.lstrip(" ").startswith(_FORMULA) else content
