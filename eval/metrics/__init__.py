"""What an answer is scored by: one file a metric, which says once what it is, and computes it.

To add one, write a file here with a `METRIC`, or several `METRICS`. `metric.py` says what a metric is;
`evaluated.py` makes an `evaluate.Metric` of any of ours, and one of ours of what `evaluate` has on this machine.
"""

from __future__ import annotations

from data.tasks.task import Kind, Task
from eval.metrics.evaluated import PREFIX, described
from eval.metrics.metric import Metric as Metric
from plumbing.errors import RecipeError
from plumbing.registry import defined_in

EVALUATE = PREFIX
"""How the name of a metric begins that is one of `evaluate`'s on this machine."""
_OF_ALL = "it is of a whole test set, and rows have none of it to pair"
_BESIDES = "it is only given besides"
_FIRST = ("accuracy", "macro_f1", "rouge", "bertscore")
"""Files whose metrics stand first in a table; the others follow by their names."""


def _found() -> dict[str, Metric]:
    """Every metric that a file here defines."""
    return {metric.name: metric for metric in defined_in(__name__, __path__, "METRIC", first=_FIRST)}


METRICS: dict[str, Metric] = _found()
"""Every metric by its name; one of `evaluate`'s stands here once it is loaded."""


def suiting(kind: Kind) -> list[Metric]:
    """The metrics of ours that suit a kind of task."""
    return [metric for metric in METRICS.values() if kind in metric.tasks]


def metric_named(name: str) -> Metric:
    """The metric of that name; one that is not known, as a report of another version may hold, is a plain score."""
    if name.startswith(EVALUATE):
        return METRICS.get(name) or described(name)
    return METRICS.get(name) or Metric(name, name, "real")


def primary_of(task: Task) -> Metric:
    """The metric that a task's verdict is about, chosen before anything is measured.

    Raises:
        RecipeError: there is none of that name. One of `evaluate`'s is code on this machine: it has to be loaded
            by who trusts whoever named it, see `evaluated.load`.
    """
    metric = METRICS.get(task.metric)
    if metric is None:
        raise RecipeError(
            f"The task is scored by {task.metric}, which is not among the metrics that are loaded here",
            got=task.name,
            fix=f"Those that suit it are {_names(possible_primaries(task.kind))}.",
        )
    return metric


def possible_primaries(kind: Kind) -> list[Metric]:
    """The metrics that a verdict about a kind of task may rest on: each row has a value of its own."""
    return [metric for metric in suiting(kind) if metric.kind != "whole" and (metric.row or kind == "text")]


def require_primary(name: str, kind: Kind) -> None:
    """Raise a ValueError, with what would do, unless a verdict about that kind of task may rest on this metric.

    Of one of `evaluate`'s nothing is known before it is loaded, see `evaluated.require_here`.
    """
    if name.startswith(EVALUATE):
        _require_answers(name, kind)
        if described(name).kind == "whole":
            raise ValueError(f"a verdict cannot rest on {name}: {_OF_ALL}")
        return
    known = possible_primaries(kind)
    if name in {metric.name for metric in known}:
        return
    why = f"there is no metric {name[:100]}"
    if name in METRICS:
        metric = METRICS[name]
        why = f"{metric.title} does not suit a task of kind {kind}"
        if kind in metric.tasks:
            why = f"a verdict cannot rest on {metric.title}: {_OF_ALL if metric.kind == 'whole' else _BESIDES}"
    raise ValueError(f"{why}; there are {_names(known)}, or {EVALUATE}NAME")


def require_known(name: str, kind: Kind) -> None:
    """The same for a metric that is only looked at besides."""
    if name.startswith(EVALUATE):
        _require_answers(name, kind)
    elif kind not in metric_named(name).tasks:
        raise ValueError(
            f"there is no metric {name[:100]} for a task of kind {kind}; all of ours that suit it are given "
            f"anyway, and one of evaluate's is named {EVALUATE}NAME"
        )


def _require_answers(name: str, kind: Kind) -> None:
    """Raise a ValueError where nothing is answered that such a metric could score."""
    if kind == "text":
        raise ValueError(
            f"{name[:100]} scores answers, and of raw text nothing is answered; there are "
            f"{_names(possible_primaries(kind))}"
        )


def _names(metrics: list[Metric]) -> str:
    return ", ".join(metric.name for metric in metrics)
