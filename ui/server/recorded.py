"""What both sides answered to a test row when a tuned model was evaluated: there before any model is open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Literal

from data.tasks import Task
from eval.metrics import metric_named
from eval.report.folder import ROWS_FILE, load
from eval.report.schema import Report, RowResult, SideResult
from plumbing.errors import UserError
from plumbing.remembered import Remembered
from ui.drawing.answers import Side, Turn

Outcome = Literal["win", "loss", "right", "wrong", "tie"]
"""What became of a row from base to tuned; a tie is of answers that are more or less right."""
_LOOKED_AT = 500
"""Rows of a report."""

Asked = str | tuple[tuple[str, str], ...]
"""A message, or several with who says each."""


@dataclass(frozen=True)
class Recorded:
    """A report with its first rows, by what was asked."""

    report: Report
    rows: Mapping[Asked, RowResult]
    day: str
    """When it was recorded: `28 Nov 2026`."""

    def row(self, asked: Turn) -> RowResult | None:
        """The row that asks the same; None where there is none."""
        return self.rows.get(_key([(each["role"], each["content"]) for each in asked.asked]))

    def outcome(self, asked: Turn) -> Outcome | None:
        """What became of the row that asks the same; None where there is none."""
        row = self.row(asked)
        if row is None:
            return None
        flip = self.report.flip(row)
        if flip != "same":
            return "win" if flip == "gained" else "loss"
        if row.base.probabilities is None:
            return "tie"
        return "right" if row.base.answer in row.references else "wrong"

    def gain(self, asked: Turn) -> float:
        """By how much the tuned side is better on the row that asks the same; 0 where there is none."""
        row = self.row(asked)
        if row is None:
            return 0.0
        base, tuned = ((side.probabilities or {}).get(row.references[0]) for side in (row.base, row.tuned))
        if base is not None and tuned is not None:
            return tuned - base
        metric = self.report.primary
        return row.change(metric.name) * (1 if metric.metric.higher_is_better else -1)

    def turn(self, asked: Turn, task: Task, *, writes: bool) -> Turn | None:
        """What both sides answered to it, as a turn; None where it is not one of the rows.

        `writes` says whether they would go on in words, which is not recorded where they choose a label.
        """
        row = self.row(asked)
        if row is None or row.base.rewards is not None:
            return None
        labels = task.labels if row.base.probabilities is not None else ()
        turn = Turn(asked.message, list(asked.references), labels, writes, asked.before, recorded_on=self.day)
        for side, result in ((turn.base, row.base), (turn.tuned, row.tuned)):
            self._fill(side, result, labels)
        if labels:
            turn.judge()
        return turn

    def _fill(self, side: Side, result: SideResult, labels: Sequence[str]) -> None:
        if result.probabilities is not None:
            side.probabilities = [result.probabilities[label] for label in labels]
            return
        side.text, side.tokens = result.answer, result.tokens or 0
        metric = self.report.primary.name
        if result.perplexity is None and metric in result.scores:
            side.score = f"{metric_named(metric).title} {result.scores[metric]:.2f}"


def recorded(evaluation: Path) -> Recorded | None:
    """What the report in that folder has recorded; None where there is none, or a damaged one."""
    try:
        return _read(str(evaluation / ROWS_FILE))
    except (UserError, OSError, ValueError, KeyError):
        return None


def _load(path: str) -> Recorded:
    report, rows = load(Path(path).parent)
    found = {_key_of(row): row for row in islice(rows, _LOOKED_AT)}
    return Recorded(report, found, _day(report.created))


def _day(created: str) -> str:
    try:
        day = datetime.fromisoformat(created)
    except ValueError:  # which a report may say in any way
        return "an earlier day"
    return f"{day.day} {day:%b %Y}"


_read = Remembered(_load, most=8)


def _key_of(row: RowResult) -> Asked:
    if row.messages is None:
        return row.input
    return _key([(each.role, each.content) for each in row.messages])


def _key(messages: Sequence[tuple[str, str]]) -> Asked:
    """A message that stands alone is asked as its text."""
    return messages[0][1] if len(messages) == 1 else tuple(messages)
