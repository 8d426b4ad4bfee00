"""The rows that changed, with what every side answered to them: the largest changes first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from eval.metrics.metric import Flip, flip_of
from eval.verdict.schema import Comparison, Verdict, VerdictRow

_CHARS = 2_000
"""Of one text: a longer one is cut, and says so. All of it is in `rows.jsonl`."""
_ROUNDING = 1e-12  # scores are of the order of 1; what differs by less differs by rounding


@dataclass(frozen=True)
class Changed:
    """A row that changed."""

    number: int
    """Of the test set, from 1."""
    row: VerdictRow
    change: float
    """Tuned minus base, of the primary metric."""


def changed(verdict: Verdict, comparison: Comparison, rows: Sequence[VerdictRow], kind: Flip) -> list[Changed]:
    """The rows of one comparison that gained or lost, the largest change first."""
    metric, base = verdict.by, verdict.sides[0].info.key
    found = []
    for number, row in enumerate(rows, start=1):
        before, after = (row.answers[key].scores.get(metric.name) for key in (base, comparison.tuned))
        if before is None or after is None:
            continue
        change = after - before if abs(after - before) > _ROUNDING else 0.0
        if flip_of(change, metric, comparison.flips.threshold) == kind:
            found.append(Changed(number, row, change))
    return sorted(found, key=lambda each: -abs(each.change))


def texts(each: Changed, comparison: Comparison, base: str) -> Iterator[tuple[str, str]]:
    """What is shown of a row: what each text is, and the text."""
    yield "asked", cut(each.row.input)
    yield "reference", cut(" / ".join(each.row.references))
    for name, key in (("base", base), ("tuned", comparison.tuned)):
        answer = each.row.answers[key]
        written = answer.written if answer.written is not None and answer.written != answer.text else ""
        said = answer.text or "(nothing)"
        yield name, cut(f"{said}, read out of: {written}" if written else said)


def cut(text: str) -> str:
    """A text, or how it begins."""
    return text if len(text) <= _CHARS else f"{text[:_CHARS]} … ({len(text) - _CHARS:,} more characters)"
