"""From the rows of a comparison to its numbers: metrics with their tests, flips, confusion, calibration, writing.

Pure: takes rows, opens no model. The same rows give the same numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean

from data.tasks import Task
from eval.calibration import brier_score, expected_calibration_error, reliability
from eval.floors import FLOORS
from eval.floors.floor import Example
from eval.metrics import METRICS, Metric, metric_named, primary_of, suiting
from eval.metrics.metric import flip_of
from eval.report.schema import RowResult, SideResult
from eval.report.sections import (
    Calibration,
    CalibrationSide,
    ClassScores,
    ClassSide,
    Confusion,
    Flips,
    FloorResult,
    MetricResult,
    Writing,
)
from eval.scores import judge, measure, row_scores
from eval.statistics import Interval, mean_interval, wilson
from eval.text_quality import TextQuality, text_quality


def metrics(
    rows: Sequence[RowResult], task: Task, more: Sequence[Metric] = (), *, alpha: float = 0.05
) -> list[MetricResult]:
    """Every metric that the rows have, with its paired test, the primary one first; and those of the whole set.

    `more` are metrics that are not ours: of these, too, those of the whole set are computed here.
    """
    primary = primary_of(task)
    of_rows = map(metric_named, rows[0].base.scores)
    of_all = (metric for metric in (*suiting(task.kind), *more) if metric.whole)
    found = {metric.name: metric for metric in (*of_rows, *of_all)}
    places = {name: place for place, name in enumerate(METRICS)}
    last = len(places)
    ordered = sorted(
        found.values(), key=lambda metric: (metric.name != primary.name, places.get(metric.name, last))
    )
    return [_judged(metric, rows, metric.name == primary.name, alpha) for metric in ordered]


def _judged(metric: Metric, rows: Sequence[RowResult], primary: bool, alpha: float) -> MetricResult:
    if metric.whole:
        references = [row.references for row in rows]
        base, tuned = (
            metric.whole([getattr(row, side).answer for row in rows], references) for side in ("base", "tuned")
        )
        return MetricResult(name=metric.name, primary=primary, base=base, tuned=tuned)
    before = [row.base.scores[metric.name] for row in rows]
    after = [row.tuned.scores[metric.name] for row in rows]
    return MetricResult(
        name=metric.name,
        primary=primary,
        base=fmean(before),
        tuned=fmean(after),
        base_interval=_interval(before, metric),
        tuned_interval=_interval(after, metric),
        judgement=judge(before, after, metric, alpha=alpha),
    )


def _interval(scores: Sequence[float], metric: Metric) -> Interval:
    return wilson(round(sum(scores)), len(scores)) if metric.kind == "binary" else mean_interval(scores)


def flips(rows: Sequence[RowResult], task: Task) -> Flips:
    """How many rows changed for the better and for the worse."""
    metric = primary_of(task)
    counts = Counter(flip_of(row.change(metric.name), metric, metric.flip) for row in rows)
    return Flips(gained=counts["gained"], lost=counts["lost"], same=counts["same"], threshold=metric.flip)


NO_LABEL = "(no label)"
"""What an answer is called that names none of the labels."""


def confusion(rows: Sequence[RowResult], task: Task) -> Confusion:
    """Right label against answer, for both sides; where an answer names no label, that is one more, the last."""
    labels = list(task.labels)
    if any(not row.base.answer or not row.tuned.answer for row in rows):
        labels.append(NO_LABEL)
    places = {label: place for place, label in enumerate(labels)}

    def table(side: str) -> list[list[int]]:
        counts = [[0] * len(labels) for _ in labels]
        for row in rows:
            counts[places[row.references[0]]][places[getattr(row, side).answer or NO_LABEL]] += 1
        return counts

    return Confusion(labels=labels, base=table("base"), tuned=table("tuned"))


def classes(rows: Sequence[RowResult], task: Task) -> list[ClassScores]:
    """Precision, recall and F1 of each label, for both sides, in the order of the task's labels."""
    from sklearn.metrics import precision_recall_fscore_support

    right = [row.references[0] for row in rows]

    def of(side: str) -> list[ClassSide]:
        answers = [getattr(row, side).answer for row in rows]
        found = precision_recall_fscore_support(right, answers, labels=list(task.labels), zero_division=0)
        return [
            ClassSide(precision=float(precision), recall=float(recall), f1=float(f1))
            for precision, recall, f1, _ in zip(*found, strict=True)
        ]

    counts = Counter(right)
    return [
        ClassScores(label=label, support=counts[label], base=base, tuned=tuned)
        for label, base, tuned in zip(task.labels, of("base"), of("tuned"), strict=True)
    ]


def calibration(rows: Sequence[RowResult]) -> Calibration:
    """Whether each side's label probabilities mean what they say."""

    def of(sides: Sequence[SideResult]) -> CalibrationSide:
        confidences, probabilities = [], []
        for side in sides:
            assert side.probabilities is not None, "labels come with their probabilities"
            confidences.append(side.probabilities[side.answer])
            probabilities.append(side.probabilities)
        correct = [float(side.answer == row.references[0]) for side, row in zip(sides, rows, strict=True)]
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
                asked=row.input,
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
    train: Sequence[Example] | None,
    more: Mapping[str, Sequence[str]] | None = None,
) -> list[FloorResult]:
    """What needs no tuning, scored on the same rows, each with the paired test of tuned against it.

    Args:
        rows: the comparison's rows.
        task: their task, which names its floors.
        train: input and target of each training row; without, the floors that learn from them are left out.
        more: answers of other floors, which a model has given, by their names in `eval.floors`.
    """
    inputs = [row.asked for row in rows]
    answers: dict[str, Sequence[str]] = {}
    for name in task.floors:
        floor = FLOORS.get(name)
        if floor is None or floor.answer is None or (floor.learns and not train):
            continue
        given = floor.answer(inputs, train or ())
        if given is not None:
            answers[name] = given
    references = [row.references for row in rows]
    metric = primary_of(task)
    tuned = [row.tuned.scores[metric.name] for row in rows]
    return [
        FloorResult(
            name=name,
            sentence=FLOORS[name].sentence,
            scores=measure(given, references, task),
            judgement=judge(row_scores(given, references, task), tuned, metric),
            doing=FLOORS[name].doing,
        )
        for name, given in (answers | dict(more or {})).items()
    ]
