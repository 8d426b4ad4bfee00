"""Answers → their scores by a task's metrics, and the paired test that suits a metric."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from data.tasks import Task
from eval.metrics import Metric, is_asked_for, primary_of, suiting
from eval.statistics import Judgement, judge_labels, judge_scores
from plumbing.errors import DataError

Answers = Sequence[str]
References = Sequence[Sequence[str]]


def metrics_for(task: Task, more: Sequence[Metric] = ()) -> list[Metric]:
    """The task's own metric, all of ours that suit its kind, and `more`; each once."""
    found = (primary_of(task), *suiting(task.kind), *more)
    return list({metric.name: metric for metric in found}.values())


def scored(
    answers: Answers, references: References, task: Task, more: Sequence[Metric] = ()
) -> list[dict[str, float]]:
    """Each answer's score by every metric that a row has and words give, if this machine can compute it."""
    metrics = metrics_for(task, more)
    by_row = [(metric.name, metric.row) for metric in metrics if metric.row]
    scores = [
        {name: row(answer, texts) for name, row in by_row}
        for answer, texts in zip(answers, references, strict=True)
    ]
    for metric in metrics:
        values = metric.rows(answers, references) if metric.rows else None
        for row, value in zip(scores, values or (), strict=bool(values)):
            row[metric.name] = value
    return scores


def require_scorable(references: References, task: Task, more: Sequence[Metric] = ()) -> None:
    """Refuse rows whose references a metric cannot score any answer by, before anybody is asked for one.

    Raises:
        DataError: says which row, and what is wrong with it.
    """
    asked_for = [metric.row for metric in metrics_for(task, more) if metric.row and is_asked_for(metric.name)]
    for number, texts in enumerate(references, start=1):
        for row in asked_for:
            try:
                row("", texts)
            except DataError as error:
                raise DataError(f"Row {number:,}: {error.problem}", got=error.got, fix=error.fix) from None


def measure(answers: Answers, references: References, task: Task) -> dict[str, float]:
    """The metrics of the task over all rows; those that words alone give, and no model is asked for."""
    metrics = [metric for metric in metrics_for(task) if metric.row or metric.whole]
    # Row by row, since metrics of one row have work in common.
    rows = [
        [metric.row(answer, texts) for metric in metrics if metric.row]
        for answer, texts in zip(answers, references, strict=True)
    ]
    means = iter([fmean(values) for values in zip(*rows, strict=True)])
    return {metric.name: metric.whole(answers, references) if metric.whole else next(means) for metric in metrics}


def row_scores(answers: Answers, references: References, task: Task) -> list[float]:
    """The primary metric of each answer."""
    row = primary_of(task).row
    assert row is not None, "a task's own metric is of rows"
    return [row(answer, texts) for answer, texts in zip(answers, references, strict=True)]


def judge(base: Sequence[float], tuned: Sequence[float], metric: Metric, *, alpha: float = 0.05) -> Judgement:
    """The paired test that suits the metric's scores of each row, in the same order on both sides.

    Raises:
        ValueError: a score is not of the metric's kind, or rows have none of it.
    """
    if metric.kind == "whole":
        raise ValueError(f"{metric.title} is of a whole test set: there are no rows to pair")
    test = judge_labels if metric.kind == "binary" else judge_scores
    return test(base, tuned, alpha=alpha, higher_is_better=metric.higher_is_better)
