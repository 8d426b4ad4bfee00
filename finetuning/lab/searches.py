"""Settings that are searched: every combination of some values, or some drawn at random within ranges."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, model_validator

from finetuning.settings import Settings

Value = bool | int | float | str | list[str]
Values = Annotated[list[Value], Field(min_length=1, max_length=32)]


class Range(Settings):
    """Numbers from `low` to `high`."""

    low: float
    high: float
    log: bool = False
    """Draw so that each power of ten is as likely as another: for rates."""

    @model_validator(mode="after")
    def _is_range(self) -> Range:
        if not self.low < self.high:
            raise ValueError(f"low has to be below high, and {self.low:g} is not below {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"log needs a low above 0, and it is {self.low:g}")
        return self

    def draw(self, chance: random.Random) -> float:
        """A number of it: with three digits that count, or a whole one where both ends are."""
        if self.log:
            found = math.exp(chance.uniform(math.log(self.low), math.log(self.high)))
        else:
            found = chance.uniform(self.low, self.high)
        if self.low.is_integer() and self.high.is_integer():
            return round(found)
        return min(self.high, max(self.low, float(f"{found:.3g}")))


Space = dict[str, Values | Range]
"""Dotted setting → the values that it may take."""


def refused(space: Mapping[str, list[Value] | Range], draws: int | None) -> str | None:
    """Why these cannot be searched so, in a sentence; None where they can."""
    ranges = [name for name, values in space.items() if isinstance(values, Range)]
    if ranges and draws is None:
        return f"draws: how many are drawn of {ranges[0]}, which is a range, has to be said"
    if draws is not None and not space:
        return "draws: there is nothing to draw from; leave it out"
    return None


def points(space: Mapping[str, list[Value] | Range], draws: int | None, *, seed: str) -> list[dict[str, Any]]:
    """The settings to try: all combinations, or `draws` of them, each once; one that is empty without any.

    Args:
        space: what may be tried.
        draws: how many; None for every combination of lists.
        seed: the same one draws the same.
    """
    if draws is None:
        lists = [values for values in space.values() if not isinstance(values, Range)]
        return [dict(zip(space, values, strict=True)) for values in itertools.product(*lists)]
    chance, found = random.Random(seed), list[dict[str, Any]]()
    for _ in range(100 * draws):  # few values have few combinations
        drawn = {
            name: values.draw(chance) if isinstance(values, Range) else chance.choice(values)
            for name, values in space.items()
        }
        if drawn not in found:
            found.append(drawn)
        if len(found) == draws:
            break
    return found
