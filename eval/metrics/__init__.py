"""What an answer is scored by: one file a metric, which says once what it is, and computes it.

To add one, write a file here with a `METRIC`, or several `METRICS`; or with a `FAMILY` of metrics that differ by a
setting, such as `number:0.01`. `metric.py` says what a metric is; `evaluated.py` makes an `evaluate.Metric` of any
of ours, and one of ours of what `evaluate` has on this machine.
"""

from __future__ import annotations

from pathlib import Path

from data.tasks.task import Kind, Task
from eval.metrics import evaluated
from eval.metrics.metric import Family as Family
from eval.metrics.metric import Metric as Metric
from plumbing.errors import RecipeError
from plumbing.registry import defined_in

EVALUATE = evaluated.PREFIX
"""How the name of a metric begins that is one of `evaluate`'s on this machine."""
_OF_ALL = "it is of a whole test set, and rows have none of it to pair"
_BESIDES = "it is only given besides"
_FIRST = ("accuracy", "macro_f1", "rouge", "bertscore")
"""Files whose metrics stand first in a table; the others follow by their names."""


def _found() -> dict[str, Metric]:
    """Every metric that a file here defines."""
    return {metric.name: metric for metric in defined_in(__name__, __path__, "METRIC", first=_FIRST)}


METRICS: dict[str, Metric] = _found()
"""Every metric by its name; one that was opened, see `open_metric`, stands here from then on."""

FAMILIES: dict[str, Family] = {family.name: family for family in defined_in(__name__, __path__, "FAMILY")}
"""Metrics that a setting makes, by what stands before it."""


def suiting(kind: Kind) -> list[Metric]:
    """The metrics that suit a kind of task and are measured on every one of it: those that take no setting."""
    return [metric for metric in METRICS.values() if kind in metric.tasks and not is_asked_for(metric.name)]


def family_of(name: str) -> Family | None:
    """The family that a metric's name names, with or without a setting; None where it names none."""
    return FAMILIES.get(name.partition(":")[0])


def metric_named(name: str) -> Metric:
    """The metric of that name; one that is not known, as a report of another version may hold, is a plain score."""
    if name in METRICS:
        return METRICS[name]
    if name.startswith(EVALUATE):
        return evaluated.described(name)
    try:
        return _with_setting(name) or Metric(name, name, "real")
    except ValueError:
        return Metric(name, name, "real")


def _with_setting(name: str) -> Metric | None:
    """A metric that a family makes; None where the name names none. Raises a ValueError of a wrong setting."""
    family = family_of(name)
    return None if family is None else METRICS.get(name) or family.make(name.partition(":")[2])


def primary_of(task: Task) -> Metric:
    """The metric that a task's verdict is about, chosen before anything is measured.

    Raises:
        RecipeError: there is none of that name. One of `evaluate`'s is code on this machine, and some are made by a
            file: they have to be opened by who trusts whoever named them, see `open_metric`.
    """
    metric = METRICS.get(task.metric)
    if metric is None and not is_here(task.metric):
        try:
            metric = _with_setting(task.metric)
        except ValueError as error:
            raise RecipeError(f"The task is scored by what is no metric: {error}", got=task.name) from None
    if metric is None:
        raise RecipeError(
            f"The task is scored by {task.metric}, which is not among the metrics that are loaded here",
            got=task.name,
            fix=f"Those that suit it are {_names(possible_primaries(task.kind))}.",
        )
    return metric


def open_metric(name: str, kind: Kind) -> Metric:
    """The metric that a person at this machine has named, ready to score answers; `METRICS` has it from now on.

    Raises:
        RecipeError: there is none, it does not suit the kind of task, or what it names on this machine cannot be
            used.
    """
    try:
        require_known(name, kind)
        if name.startswith(EVALUATE):
            return evaluated.load(name)
        metric = metric_named(name)
        if is_asked_for(name):
            if is_here(name) and metric.row is not None:
                metric.row("", [""])  # reads its file
            METRICS[name] = metric
    except ValueError as error:
        raise RecipeError(f"The metric cannot be measured: {error}", got=name) from None
    return metric


def is_here(name: str) -> bool:
    """Whether a metric's name names something on this machine, code or a file: not for strangers to name."""
    family = family_of(name)
    return name.startswith(EVALUATE) or (family is not None and family.of_file)


def is_asked_for(name: str) -> bool:
    """Whether a metric is measured only where somebody names it: one of `evaluate`'s, or one of a family."""
    return name.startswith(EVALUATE) or family_of(name) is not None


def name_from_anywhere(name: str) -> str:
    """A metric's name as it reads from any folder; errors as for `evaluated.require_here`."""
    if name.startswith(EVALUATE):
        return evaluated.require_here(name)
    if is_here(name):
        family, _, path = name.partition(":")
        return f"{family}:{Path(path).expanduser().absolute()}"
    return name


def shown_name(name: str) -> str:
    """A metric's name as others may read it: of a path only its end, which tells nothing of this machine."""
    if name.startswith(EVALUATE):
        return evaluated.shown_name(name)
    if is_here(name):
        family, _, path = name.partition(":")
        return f"{family}:{Path(path).name}"
    return name


def possible_primaries(kind: Kind) -> list[Metric]:
    """The metrics without a setting that a verdict about a kind of task may rest on: each row has its own value."""
    return [metric for metric in suiting(kind) if metric.kind != "whole" and (metric.row or kind == "text")]


def require_primary(name: str, kind: Kind) -> None:
    """Raise a ValueError, with what would do, unless a verdict about that kind of task may rest on this metric.

    Of one of `evaluate`'s nothing is known before it is loaded, see `evaluated.require_here`.
    """
    if name.startswith(EVALUATE):
        _require_answers(name, kind)
        if evaluated.described(name).kind == "whole":
            raise ValueError(f"a verdict cannot rest on {name}: {_OF_ALL}")
        return
    known = possible_primaries(kind)
    metric = METRICS.get(name) or _with_setting(name)
    if metric in known or (metric is not None and family_of(name) is not None and kind in metric.tasks):
        return
    why = f"there is no metric {name[:100]}"
    if metric is not None:
        why = f"{metric.title} does not suit a task of kind {kind}"
        if kind in metric.tasks:
            why = f"a verdict cannot rest on {metric.title}: {_OF_ALL if metric.kind == 'whole' else _BESIDES}"
    raise ValueError(f"{why}; there are {_names(known)}, {_families(kind)}or {EVALUATE}NAME")


def require_known(name: str, kind: Kind) -> None:
    """The same for a metric that is only looked at besides."""
    if name.startswith(EVALUATE):
        _require_answers(name, kind)
        return
    metric = METRICS.get(name) or _with_setting(name)
    if metric is None or kind not in metric.tasks:
        raise ValueError(
            f"there is no metric {name[:100]} for a task of kind {kind}; all of ours that suit it are given "
            f"anyway but {_families(kind)}and one of evaluate's is named {EVALUATE}NAME"
        )


def _families(kind: Kind) -> str:
    """Those that suit a kind of task, for the middle of a list; the family's own file knows how one is named."""
    return "".join(f"{family.usage}, " for family in FAMILIES.values() if kind in family.tasks)


def _require_answers(name: str, kind: Kind) -> None:
    """Raise a ValueError where nothing is answered that such a metric could score."""
    if kind == "text":
        raise ValueError(
            f"{name[:100]} scores answers, and of raw text nothing is answered; there are "
            f"{_names(possible_primaries(kind))}"
        )


def _names(metrics: list[Metric]) -> str:
    return ", ".join(metric.name for metric in metrics)
