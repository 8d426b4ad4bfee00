"""Accuracy, macro-F1 and ROUGE as `evaluate.Metric` classes that need no network and leave no files behind.

`evaluate.load(...)` downloads a script; these classes are the same metrics, defined here. Accuracy and ROUGE
stand on a plain function for one example, so that the per-example values of a report average to the metric.
Knows texts and labels, nothing about models or tasks.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import datasets
import evaluate
from rouge_score.rouge_scorer import RougeScorer

ROUGE_NAMES = ("rouge1", "rouge2", "rougeL", "rougeLsum")

BETWEEN_SENTENCES = re.compile(r"(?<=[.!?])\s+")


def is_correct(prediction: str, reference: str) -> float:
    """1.0 where the predicted label is the reference, else 0.0. Averages to the accuracy."""
    return float(prediction == reference)


def rouge_scores(prediction: str, references: Sequence[str]) -> dict[str, float]:
    """ROUGE F-measures of one answer, 0 to 1 each, under `ROUGE_NAMES`.

    As in the paper (Lin 2004, https://aclanthology.org/W04-1013), with Porter's stemmer. Where there are
    several references, each measure takes the one that gives it the most. ROUGE-Lsum compares sentence by
    sentence. Only the letters a to z and digits count, so a text in another script scores 0.
    """
    scores = rouge_scorer().score_multi([in_sentences(text) for text in references], in_sentences(prediction))
    return {name: float(scores[name].fmeasure) for name in ROUGE_NAMES}


def in_sentences(text: str) -> str:
    """`text` with a sentence a line, which is how `rouge_score` wants it for ROUGE-Lsum.

    A sentence ends at `.`, `!` or `?` before a space. The other measures ignore white space.
    """
    return BETWEEN_SENTENCES.sub("\n", text.strip())


@functools.cache
def rouge_scorer() -> RougeScorer:
    return RougeScorer(list(ROUGE_NAMES), use_stemmer=True)


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
    """The mean over labels of each label's F1: `{"macro_f1": 0..1}`.

    The labels are those that occur, as a reference or as a prediction, as in scikit-learn's
    `f1_score(average="macro")`. It falls below the accuracy where one label is neglected.
    """

    def _info(self) -> evaluate.MetricInfo:
        return _info("F1 of each label, averaged over the labels.", references=datasets.Value("string"))

    def _compute(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        labels = sorted({*predictions, *references})
        return {"macro_f1": fmean(_f1_of(label, predictions, references) for label in labels)}


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


def _f1_of(label: str, predictions: Sequence[str], references: Sequence[str]) -> float:
    """2·TP / (2·TP + FP + FN) of one label that occurs."""
    hits = sum(
        prediction == reference == label for prediction, reference in zip(predictions, references, strict=True)
    )
    return 2 * hits / (list(predictions).count(label) + list(references).count(label))
