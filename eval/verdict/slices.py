"""The verdict on parts of the rows, by a column, by label, by length: what got worse though the whole got better?

Every slice has the paired test of the whole, and the p-values of all slices of all tuned sides are corrected
together by Holm's method: among twenty slices one is "worse" by chance alone. Few rows show nothing, and would only
make the others' correction harder, so values with fewer than `FEWEST` rows are put together. Knows rows and values
only.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from eval.lab.judging import judged_together
from eval.metrics.metric import Metric
from eval.verdict.schema import SliceResult, VerdictRow

LABEL, LENGTH = "label", "length"
"""What rows are divided by without a column: the right label; the words of the input."""
FEWEST = 20
"""Rows of a slice."""
MOST = 20
"""Slices by one column; the rarer values are put together."""
RANGES = 4
"""Parts that lengths and numbers are cut into, each with as many rows, if there are rows enough."""
_NUMBERS_FROM = 10
"""Different numbers from which a column of them is cut into ranges; fewer are values like any others."""
_OTHERS = "others"


@dataclass(frozen=True)
class Sliced:
    """What rows were divided by."""

    by: str
    values: list[str] | None
    """Of each row; none where it cannot be divided."""
    notes: list[str]
    """What was put together or left undivided, in sentences."""


def by_value(by: str, values: Sequence[object]) -> Sliced:
    """Rows by a column's values; numbers of many sizes by ranges, rare values together."""
    numbers = _numbers(values)
    if numbers is not None and len(set(numbers)) > _NUMBERS_FROM:
        return by_range(by, numbers)
    return by_name(by, values)


def by_name(by: str, values: Sequence[object]) -> Sliced:
    """Rows by names, such as labels, also where these look like numbers; rare ones together."""
    named = [_named(value) for value in values]
    counts = Counter(named)
    common = [value for value, count in counts.most_common(MOST) if count >= FEWEST]
    rare = [value for value in counts if value not in common]
    if len(common) + bool(rare) < 2:
        why = "all rows have the same value" if len(counts) == 1 else f"too few rows share a value ({FEWEST} do)"
        return Sliced(by, None, [f"The rows are not divided by {by}: {why}."])
    if not rare:
        return Sliced(by, named, [])
    left = sum(counts[value] for value in rare)
    together = _OTHERS if _OTHERS not in common else "(others)"
    name = f"{together} ({len(rare):,} values)" if len(rare) > 1 else rare[0]
    said = [f"By {by}, {len(rare):,} values with few rows are judged together, {left:,} rows."]
    if left < FEWEST:
        what = "1 value" if len(rare) == 1 else f"{len(rare):,} values together"
        said = [f"By {by}, {what} with {left} rows: fewer than {FEWEST}, which show little."]
    elif len(rare) == 1:
        said = []
    return Sliced(by, [value if value in common else name for value in named], said)


def by_length(inputs: Sequence[str]) -> Sliced:
    """Rows by how many words the input has, in ranges that hold about as many rows each."""
    return by_range(LENGTH, [float(len(text.split())) for text in inputs], unit=" words")


def by_range(by: str, numbers: Sequence[float], *, unit: str = "") -> Sliced:
    """Rows by ranges of a number that hold about as many rows each; equal numbers are in one range."""
    ordered, parts = sorted(numbers), min(RANGES, len(numbers) // FEWEST)
    cuts = sorted({ordered[round(part * len(ordered) / parts) - 1] for part in range(1, parts)} - {ordered[-1]})
    ends = [*cuts, ordered[-1]] if ordered else []
    # Where many are equal, a range may be left with few: it goes with the one before.
    kept: list[float] = []
    for end in ends:
        inside = sum((not kept or number > kept[-1]) and number <= end for number in numbers)
        if inside >= FEWEST:
            kept.append(end)
        elif end == ordered[-1] and kept:
            kept[-1] = end
    if len(kept) < 2:
        return Sliced(by, None, [f"The rows are not divided by {by}: too few rows, or too many are equal."])
    starts = [ordered[0], *(min(number for number in ordered if number > end) for end in kept[:-1])]
    names = [
        f"{_figure(start)} to {_figure(end)}{unit}" if start < end else f"{_figure(end)}{unit}"
        for start, end in zip(starts, kept, strict=True)
    ]
    places = [next(place for place, end in enumerate(kept) if number <= end) for number in numbers]
    return Sliced(by, [names[place] for place in places], [])


def judge_slices(
    rows: Sequence[VerdictRow], base: str, tuned: Sequence[str], metric: Metric, *, alpha: float = 0.05
) -> dict[str, list[SliceResult]]:
    """Tuned side's key → the verdict on each slice of `rows`, in which that side lost most first.

    Args:
        rows: with their `slices`, and all sides' scores by `metric`.
        base: the base's key.
        tuned: those of the tuned sides, which are corrected together.
        metric: that of the verdict; rows have it.
        alpha: up to which a corrected p-value is a difference.
    """
    parts: dict[tuple[str, str], list[VerdictRow]] = {}
    for row in rows:
        for by, value in row.slices.items():
            parts.setdefault((by, value), []).append(row)

    def scores(key: str, some: Sequence[VerdictRow]) -> list[float]:
        return [row.answers[key].scores[metric.name] for row in some]

    named = [(key, by, value) for key in tuned for by, value in parts]
    sides = [(scores(base, parts[by, value]), scores(key, parts[by, value])) for key, by, value in named]
    tests = judged_together(sides, metric, alpha=alpha)
    found: dict[str, list[SliceResult]] = {key: [] for key in tuned}
    for (key, by, value), (before, after), test in zip(named, sides, tests, strict=True):
        found[key].append(
            SliceResult(
                by=by,
                value=value,
                n=len(before),
                base=fmean(before),
                tuned=fmean(after),
                judgement=test.judgement,
                corrected=test.p_value,
                outcome=test.outcome,
            )
        )
    sign = 1 if metric.higher_is_better else -1
    for some in found.values():
        some.sort(key=lambda one: sign * one.judgement.difference)
    return found


def _named(value: object) -> str:
    """A value as its slice is called."""
    said = re.sub(r"\s+", " ", "" if value is None else str(value)).strip()
    return said[:200] or "(empty)"


def _figure(number: float) -> str:
    """A number as the end of a range, with all its digits: two ranges that are called alike would be one slice."""
    return f"{number:.15g}"


def _numbers(values: Sequence[object]) -> list[float] | None:
    """The values as numbers; None where one is none. True and false are no numbers."""
    found = []
    for value in values:
        try:
            known = isinstance(value, (str, int, float)) and not isinstance(value, bool)
            number = float(value) if known else math.nan  # type: ignore[arg-type]
        except ValueError:
            return None
        if not math.isfinite(number):
            return None
        found.append(number)
    return found
