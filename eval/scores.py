"""Answers → their scores by a task's metrics, and the paired test that suits a metric."""

from __future__ import annotations

from collections.abc import Sequence

from data.tasks import Task
from eval.metrics.evaluated import Accuracy, MacroF1, Rouge
from eval.metrics.labels import is_correct
from eval.metrics.metric import Metric, primary_of
from eval.metrics.rouge import rouge_scores
from eval.statistics import Judgement, judge_labels, judge_scores


def measure(answers: Sequence[str], references: Sequence[Sequence[str]], task: Task) -> dict[str, float]:
    """Every metric of the task over all rows, 0 to 1 each."""
    if not task.is_classification:
        return dict(Rouge().compute(predictions=list(answers), references=[list(texts) for texts in references]))
    labels = [label for (label,) in references]
    scores: dict[str, float] = {}
    for metric in (Accuracy(), MacroF1()):
        scores |= metric.compute(predictions=list(answers), references=labels)
    return scores


def row_scores(answers: Sequence[str], references: Sequence[Sequence[str]], task: Task) -> list[float]:
    """The primary metric of each answer."""
    name, pairs = primary_of(task).name, zip(answers, references, strict=True)
    if task.is_classification:
        return [{"accuracy": is_correct(answer, label)}[name] for answer, (label,) in pairs]
    return [rouge_scores(answer, texts)[name] for answer, texts in pairs]


def judge(base: Sequence[float], tuned: Sequence[float], metric: Metric, *, alpha: float = 0.05) -> Judgement:
    """The paired test that suits the metric's scores of each row, in the same order on both sides.

    Raises:
        ValueError: a score is not of the metric's kind, or rows have none of it.
    """
    if metric.kind == "whole":
        raise ValueError(f"{metric.title} is of a whole test set: there are no rows to pair")
    test = judge_labels if metric.kind == "binary" else judge_scores
    return test(base, tuned, alpha=alpha, higher_is_better=metric.higher_is_better)
