"""What a metric is: what of it a row has, which way is better, how it is written. Test, interval and words follow.

Knows values only and imports nothing heavy, so that a page can read a report at once; how a metric is computed is
beside this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from data.tasks import Task

Kind = Literal["binary", "real", "whole"]
"""What a row has of a metric: exactly 0 or 1, any number, or nothing, where it is of the whole test set alone."""

Flip = Literal["gained", "lost", "same"]

_ROUNDING = 1e-12  # scores are of the order of 1; what differs by less differs by rounding


@dataclass(frozen=True)
class Metric:
    """A way to score answers."""

    name: str
    title: str
    """Its name as a person writes it."""
    kind: Kind
    higher_is_better: bool = True
    digits: int = 2
    """How many digits after the point a sentence gives; a table gives one more."""
    flip: float = 0.0
    """By how much the score of a row has to change for the row to count as gained or lost; at 0 by anything."""


METRICS = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "accuracy", "binary"),
        Metric("macro_f1", "macro-F1", "whole"),
        # A word more or less in a summary of twenty moves ROUGE by about 0.05: less is another wording of the same.
        Metric("rouge1", "ROUGE-1", "real", flip=0.05),
        Metric("rouge2", "ROUGE-2", "real", flip=0.05),
        Metric("rougeL", "ROUGE-L", "real", flip=0.05),
        Metric("rougeLsum", "ROUGE-Lsum", "real", flip=0.05),
        Metric("bertscore", "BERTScore (MiniLM)", "real", flip=0.05),
    )
}
"""Every metric by its name."""


def primary_of(task: Task) -> Metric:
    """The metric that a task's verdict is about, chosen before anything is measured."""
    return METRICS[task.metric]


def metric_named(name: str) -> Metric:
    """The metric of that name; one that is not known, as a report of another version may hold, is a plain score."""
    return METRICS.get(name) or Metric(name, name, "real")


def flip_of(change: float, metric: Metric, threshold: float) -> Flip:
    """What a `change` of a row's score is: for the better, for the worse, or less than `threshold`."""
    if not change or abs(change) < threshold - _ROUNDING:
        return "same"
    return "gained" if (change > 0) == metric.higher_is_better else "lost"
