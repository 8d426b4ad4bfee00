"""Macro-F1: the F1 of each label, averaged over the labels."""

from __future__ import annotations

from collections.abc import Sequence

from eval.metrics.metric import Metric


def macro_f1(answers: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """The mean over labels of each label's F1, 0 to 1.

    The labels are those that occur, as a reference or as an answer; an empty answer names none, and is only missed
    where it should be one. It falls below the accuracy where one label is neglected.
    """
    from sklearn.metrics import f1_score

    right = [label for (label,) in references]
    labels = sorted({*right, *answers} - {""})
    return float(f1_score(right, list(answers), labels=labels, average="macro", zero_division=0))


METRIC = Metric("macro_f1", "macro-F1", "whole", ("classification",), whole=macro_f1)
