"""From the rows of a comparison to its numbers: metrics with their tests, flips, confusion, calibration, writing.

Pure: takes rows, opens no model. The same rows give the same numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean

from data.tasks import Task
from eval.calibration import brier_score, expected_calibration_error, reliability
from eval.floors.answers import FLOORS, lead_two, longest_turn, majority_class, tfidf_logistic_regression
from eval.metrics.metric import METRICS, Metric, flip_of, primary_of
from eval.report.schema import (
    Calibration,
    CalibrationSide,
    Confusion,
    Flips,
    FloorResult,
    MetricResult,
    RowResult,
    SideResult,
    Writing,
)
from eval.scores import judge, measure, row_scores
from eval.statistics import Interval, mean_interval, wilson
from eval.text_quality import TextQuality, text_quality


def metrics(rows: Sequence[RowResult], task: Task) -> list[MetricResult]:
    """Every metric of the task with its paired test, the primary one first."""
    references = [row.references for row in rows]
    base = measure([row.base.answer for row in rows], references, task)
    tuned = measure([row.tuned.answer for row in rows], references, task)
    for name in rows[0].base.scores:  # what only rows have, such as BERTScore
        base.setdefault(name, fmean(row.base.scores[name] for row in rows))
        tuned.setdefault(name, fmean(row.tuned.scores[name] for row in rows))
    primary = primary_of(task)
    # A stable sort: the others keep their order.
    found = sorted((METRICS[name] for name in base), key=lambda metric: metric != primary)
    return [_judged(metric, base[metric.name], tuned[metric.name], rows, metric == primary) for metric in found]


def _judged(metric: Metric, base: float, tuned: float, rows: Sequence[RowResult], primary: bool) -> MetricResult:
    result = MetricResult(name=metric.name, primary=primary, base=base, tuned=tuned)
    if metric.kind == "whole":
        return result
    before = [row.base.scores[metric.name] for row in rows]
    after = [row.tuned.scores[metric.name] for row in rows]
    return result.model_copy(
        update={
            "base_interval": _interval(before, metric),
            "tuned_interval": _interval(after, metric),
            "judgement": judge(before, after, metric),
        }
    )


def _interval(scores: Sequence[float], metric: Metric) -> Interval:
    return wilson(round(sum(scores)), len(scores)) if metric.kind == "binary" else mean_interval(scores)


def flips(rows: Sequence[RowResult], task: Task) -> Flips:
    """How many rows changed for the better and for the worse."""
    metric = primary_of(task)
    counts = Counter(flip_of(row.change(metric.name), metric, metric.flip) for row in rows)
    return Flips(gained=counts["gained"], lost=counts["lost"], same=counts["same"], threshold=metric.flip)


def confusion(rows: Sequence[RowResult], task: Task) -> Confusion:
    """Right label against answer, for both sides."""
    labels = list(task.labels)

    def table(side: str) -> list[list[int]]:
        counts = [[0] * len(labels) for _ in labels]
        for row in rows:
            counts[labels.index(row.references[0])][labels.index(getattr(row, side).answer)] += 1
        return counts

    return Confusion(labels=labels, base=table("base"), tuned=table("tuned"))


def calibration(rows: Sequence[RowResult]) -> Calibration:
    """Whether each side's label probabilities mean what they say."""

    def of(sides: Sequence[SideResult]) -> CalibrationSide:
        confidences, probabilities = [], []
        for side in sides:
            assert side.probabilities is not None, "labels come with their probabilities"
            confidences.append(side.probabilities[side.answer])
            probabilities.append(side.probabilities)
        correct = [side.scores["accuracy"] for side in sides]
        return CalibrationSide(
            expected_calibration_error=expected_calibration_error(confidences, correct),
            brier_score=brier_score(probabilities, [row.references[0] for row in rows]),
            bins=reliability(confidences, correct),
        )

    return Calibration(base=of([row.base for row in rows]), tuned=of([row.tuned for row in rows]))


def writing(rows: Sequence[RowResult], max_new_tokens: int) -> Writing:
    """How both sides' answers are written, the mean of each measure."""

    def of(side: str) -> TextQuality:
        found = [
            text_quality(
                getattr(row, side).answer,
                dialogue=row.input,
                references=row.references,
                tokens=getattr(row, side).tokens,
                max_new_tokens=max_new_tokens,
            )
            for row in rows
        ]
        return TextQuality(
            **{name: fmean(getattr(one, name) for one in found) for name in TextQuality.model_fields}
        )

    return Writing(base=of("base"), tuned=of("tuned"))


def floor_results(
    rows: Sequence[RowResult],
    task: Task,
    train: Sequence[tuple[str, str]] | None,
    more: Mapping[str, Sequence[str]] | None = None,
) -> list[FloorResult]:
    """What needs no tuning, scored on the same rows, each with the paired test of tuned against it.

    Args:
        rows: the comparison's rows.
        task: their task.
        train: input and label of each training row; without, the floors that learn from them are left out.
        more: answers of other floors by their names in `eval.floors.answers`.
    """
    inputs = [row.input for row in rows]
    answers: dict[str, Sequence[str]] = {}
    if not task.is_classification:
        answers["first two turns"] = [lead_two(text) for text in inputs]
        answers["longest turn"] = [longest_turn(text) for text in inputs]
    elif train:
        texts, labels = [text for text, _ in train], [label for _, label in train]
        answers["majority class"] = majority_class(labels, len(rows))
        answers["TF-IDF + logistic regression"] = tfidf_logistic_regression(texts, labels, inputs)
    references = [row.references for row in rows]
    metric = primary_of(task)
    tuned = [row.tuned.scores[metric.name] for row in rows]
    return [
        FloorResult(
            name=name,
            sentence=FLOORS[name].sentence,
            scores=measure(given, references, task),
            judgement=judge(row_scores(given, references, task), tuned, metric),
        )
        for name, given in (answers | dict(more or {})).items()
    ]
