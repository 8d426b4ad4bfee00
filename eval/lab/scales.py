"""Where a value lies on an axis, and which round numbers stand at it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Values from `low` to `high` on a line from `start` to `end` of a drawing."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def place(self, value: float) -> float:
        """Where `value` is drawn; in the middle where all values are one."""
        low, high, here = (math.log(each) if self.log else each for each in (self.low, self.high, value))
        if high == low:
            return (self.start + self.end) / 2
        return self.start + (self.end - self.start) * (here - low) / (high - low)


def round_ticks(low: float, high: float, *, about: int = 4) -> list[float]:
    """Round numbers, evenly spaced, from `low` or below to `high` or above; at least two."""
    wanted = (high - low) / about or abs(high) / about or 0.25
    power = 10.0 ** math.floor(math.log10(wanted))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= wanted * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * number, 12) for number in range(first, max(last, first + 1) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers between `low` and `high`, both above 0: powers of ten, or more where there are few of them."""
    powers = [10.0**number for number in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    for steps in ((1,), (1, 3), (1, 2, 5), range(1, 10)):
        ticks = [step * power for power in powers for step in steps if low <= step * power <= high]
        if len(ticks) > 2:
            break
    return ticks


def short(value: float) -> str:
    """`1.2 M`, `460 k`, `0.25`: a number at an axis."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


def beside(
    points: Sequence[tuple[float, float]],
    texts: Sequence[str],
    *,
    right: float,
    letter: float = 6.4,
    line: float = 14,
) -> list[tuple[float, float, str]]:
    """Where the names of points stand so that none lies on another, or on a point: (x, y, anchor) of each.

    Args:
        points: where they are drawn.
        texts: their names.
        right: where the drawing ends: a name that would go on beyond it stands left of its point.
        letter: the width of a letter, about.
        line: the height of a line.
    """
    taken: list[Box] = [(x - 6, y - 6, x + 6, y + 6) for x, y in points]
    found: dict[int, tuple[float, float, str]] = {}
    for index in sorted(range(len(points)), key=lambda each: points[each][1]):
        x, y = points[index]
        width = letter * len(texts[index])
        places = [
            (side, shift)
            for shift in _shifts(line)
            for side in (("end",) if x + width > right else ("start", "end"))
        ]
        for side, shift in places:
            left = x + 10 if side == "start" else x - 10 - width
            box = (left, y + shift - line / 2, left + width, y + shift + line / 2)
            if left >= 0 and not any(_meet(box, other) for other in taken):
                break
        else:
            side, shift = places[0]
            box = (x, y, x, y)
        taken.append(box)
        found[index] = (x + 10 if side == "start" else x - 10, y + shift + 4, side)
    return [found[index] for index in range(len(points))]


def _shifts(line: float) -> list[float]:
    return [0.0, *(sign * number * line for number in range(1, 7) for sign in (-1, 1))]


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
