"""What is wrong with single rows, each problem with its place and its remedy; and what counts as an empty value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from plumbing.errors import DataError
from plumbing.printable import one_line, printable

SHOWN = 20


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, where it is, and how to mend it."""

    what: str
    fix: str
    row: int | None = None
    """As a person counts: data rows from 1; the line number for JSON Lines."""
    column: str | None = None

    def __str__(self) -> str:
        places = []
        if self.row is not None:
            places.append(f"row {self.row}")
        if self.column is not None:
            places.append(f"column {one_line(self.column)}")
        place = ", ".join(places)
        text = f"{self.what}. {self.fix}" if self.fix else f"{self.what}."
        return printable(f"{place}: {text}" if place else text)


class ProblemsError(DataError):
    """Rows that cannot be used. `problems` has all of them; the text shows the first 20."""

    def __init__(self, problems: Sequence[Problem], *, source: str) -> None:
        self.problems = tuple(problems)
        self.source = source
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__(f"{one_line(source)} cannot be used: {count}")

    def __str__(self) -> str:
        lines = [f"{self.problem}.", *(str(problem) for problem in self.problems[:SHOWN])]
        if len(self.problems) > SHOWN:
            lines.append(f"and {len(self.problems) - SHOWN} more")
        return "\n".join(lines)


def is_nothing(value: Any) -> bool:
    """Returns whether a cell is empty: nothing, no number, a blank text, or a list without an item."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or (isinstance(value, str) and not value.strip()) or value in ([], ())
