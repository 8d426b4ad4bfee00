"""Accuracy, macro-F1 and ROUGE as `evaluate.Metric` classes that need no network and leave no files behind.

`evaluate.load(...)` downloads a script; these classes are the same metrics, defined here. They stand on the plain
functions beside this file, so that the per-example values of a report average to the metric. `evaluate` takes
seconds to import: keep this module off what a page waits for.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import datasets
import evaluate

from eval.metrics.labels import is_correct, macro_f1
from eval.metrics.rouge import ROUGE_NAMES, rouge_scores


class _InMemory(evaluate.Metric):  # type: ignore[misc]  # evaluate ships no types
    """A metric that keeps what it is given in memory, instead of in locked files in the user's cache."""

    def __init__(self) -> None:
        super().__init__(keep_in_memory=True)

    def _build_data_dir(self) -> str:
        return ""  # the inherited method creates a folder in the cache, which would stay empty


class Accuracy(_InMemory):
    """The share of labels that are right: `{"accuracy": 0..1}`."""

    def _info(self) -> evaluate.MetricInfo:
        return _info("The share of predicted labels that are the reference.", references=datasets.Value("string"))

    def _compute(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        return {"accuracy": fmean(map(is_correct, predictions, references))}


class MacroF1(_InMemory):
    """`labels.macro_f1`: `{"macro_f1": 0..1}`."""

    def _info(self) -> evaluate.MetricInfo:
        return _info("F1 of each label, averaged over the labels.", references=datasets.Value("string"))

    def _compute(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        return {"macro_f1": macro_f1(predictions, references)}


class Rouge(_InMemory):
    """ROUGE-1, -2, -L and -Lsum, the mean of `rouge_scores` over the examples.

    `references` holds a list of texts for each prediction.
    """

    def _info(self) -> evaluate.MetricInfo:
        references = datasets.List(datasets.Value("string"))
        return _info("Overlap of words and word sequences with the references.", references=references)

    def _compute(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
        rows = [rouge_scores(*pair) for pair in zip(predictions, references, strict=True)]
        return {name: fmean(row[name] for row in rows) for name in ROUGE_NAMES}


def _info(description: str, *, references: Any) -> evaluate.MetricInfo:
    return evaluate.MetricInfo(
        description=description,
        citation="",
        inputs_description="",
        features=datasets.Features({"predictions": datasets.Value("string"), "references": references}),
    )
