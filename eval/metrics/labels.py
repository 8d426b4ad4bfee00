"""Scores of predicted labels. Plain functions: knows nothing about models or tasks."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean


def is_correct(prediction: str, reference: str) -> float:
    """1.0 where the predicted label is the reference, else 0.0. Averages to the accuracy."""
    return float(prediction == reference)


def macro_f1(predictions: Sequence[str], references: Sequence[str]) -> float:
    """The mean over labels of each label's F1, 0 to 1.

    The labels are those that occur, as a reference or as a prediction, as in scikit-learn's
    `f1_score(average="macro")`. It falls below the accuracy where one label is neglected.
    """
    labels = sorted({*predictions, *references})
    return fmean(_f1_of(label, predictions, references) for label in labels)


def _f1_of(label: str, predictions: Sequence[str], references: Sequence[str]) -> float:
    """2·TP / (2·TP + FP + FN) of one label that occurs."""
    hits = sum(
        prediction == reference == label for prediction, reference in zip(predictions, references, strict=True)
    )
    return 2 * hits / (list(predictions).count(label) + list(references).count(label))
