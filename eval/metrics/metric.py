"""What a metric is: what of it a row has, which way is better, how it is written. Test, interval and words follow.

Knows values only and imports nothing heavy, so that a page can read a report at once. A metric's own file says what
it is, and computes it; what that takes is imported when it is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from data.tasks.task import Kind as TaskKind

Kind = Literal["binary", "real", "whole"]
"""What a row has of a metric: exactly 0 or 1, any number, or nothing, where it is of the whole test set alone."""

Flip = Literal["gained", "lost", "same"]

Row = Callable[[str, Sequence[str]], float]
"""An answer and its references, of a label that is right one → the answer's score."""
Rows = Callable[[Sequence[str], Sequence[Sequence[str]]], "list[float] | None"]
"""All answers and the references of each → the score of each; None where this machine lacks what it takes."""
Whole = Callable[[Sequence[str], Sequence[Sequence[str]]], float]
"""The same → one number."""

_ROUNDING = 1e-12  # scores are of the order of 1; what differs by less differs by rounding


@dataclass(frozen=True)
class Told:
    """A number that people know better, by which a mean of scores is told in sentences."""

    title: str
    of: Callable[[float], float]
    """The mean → that number."""
    times: Callable[[float], float]
    """A difference of means → how many times that number is what it was."""
    higher_is_better: bool = True


@dataclass(frozen=True)
class Metric:
    """A way to score answers. It has one of `row`, `rows` and `whole`; none where models are asked for it."""

    name: str
    title: str
    """Its name as a person writes it."""
    kind: Kind
    tasks: tuple[TaskKind, ...] = ()
    """The kinds of task that it suits."""
    higher_is_better: bool = True
    digits: int = 2
    """How many digits after the point a sentence gives; a table gives one more."""
    flip: float = 0.0
    """By how much the score of a row has to change for the row to count as gained or lost; at 0 by anything."""
    row: Row | None = None
    """Scores one answer."""
    rows: Rows | None = None
    """Scores many answers at once, where one by one would take much longer."""
    whole: Whole | None = None
    """Scores a whole test set."""
    told: Told | None = None
    """What a sentence gives in place of a mean; None for the mean itself."""
    limits: tuple[float, float] | None = None
    """The least and the greatest score of a row; None where there are none, or nobody knows them."""

    def __post_init__(self) -> None:
        if self.kind == "binary":
            object.__setattr__(self, "limits", (0.0, 1.0))

    @property
    def named(self) -> str:
        """What a sentence calls it."""
        return self.told.title if self.told else self.title

    @property
    def named_higher_is_better(self) -> bool:
        """Whether a higher number in such a sentence is the better one."""
        return self.told.higher_is_better if self.told else self.higher_is_better

    def said(self, mean: float) -> str:
        """A mean in a sentence: `0.78`, or the number that it is told by."""
        if self.told is None:
            return f"{mean:.{self.digits}f}"
        number = self.told.of(mean)
        return f"{number:,.0f}" if number >= 1000 else f"{number:.1f}" if number >= 100 else f"{number:.2f}"


def flip_of(change: float, metric: Metric, threshold: float) -> Flip:
    """What a `change` of a row's score is: for the better, for the worse, or less than `threshold`."""
    if not change or abs(change) < threshold - _ROUNDING:
        return "same"
    return "gained" if (change > 0) == metric.higher_is_better else "lost"


@dataclass(frozen=True)
class Family:
    """Metrics that differ by a setting: `number:0.01` is one of the family `number`.

    They are measured where somebody names one, and not on every task that they suit.
    """

    name: str
    usage: str
    """How one is named, for who looks for it: `number:0.01`."""
    tasks: tuple[TaskKind, ...]
    """The kinds of task that they suit."""
    make: Callable[[str], Metric]
    """The setting, empty where none is given → the metric, without a look at this machine. Raises a ValueError that
    says what is wrong with the setting."""
    of_file: bool = False
    """Whether the setting is a file on this machine, which is read when the first answer is scored."""
