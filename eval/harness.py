"""Base against tuned on the same rows: `compare` gives a report and a result for every row.

Labels are scored by log-likelihood, texts are generated greedily, and base and tuned rows stand in the same
batches (`models.scoring`, `models.generation`). Knows nothing about how the adapter was trained.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from data.errors import DataError
from data.tasks import Task
from eval.metrics import Accuracy, MacroF1, Rouge, is_correct, rouge_scores
from eval.report import (
    AdapterProofInfo,
    BaseModelInfo,
    DataInfo,
    MetricResult,
    Report,
    RowResult,
    SideResult,
)
from models.generation import Answer, answer_batch
from models.pair import Pair
from models.scoring import SCORING_BATCH_SIZE, score_labels

if TYPE_CHECKING:
    import datasets

GENERATION_BATCH_SIZE = 16
PRIMARY = {"sentiment": "accuracy", "dialogue": "rougeL"}

LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes", "rouge-score", "evaluate")

Progress = Callable[[int, int], None]
"""Called with the number of rows done and of all."""


@dataclass(frozen=True)
class Result:
    """A comparison: the report, and a result for every test row in the order of the test set."""

    report: Report
    rows: list[RowResult]


def compare(
    pair: Pair,
    test: datasets.Dataset,
    *,
    data_spec: str = "",
    split: str = "test",
    batch_size: int | None = None,
    max_new_tokens: int = 64,
    on_progress: Progress | None = None,
) -> Result:
    """Let base and tuned answer every row of `test` and score both.

    Args:
        pair: base and tuned; its task says what a row is.
        test: rows with the task's columns.
        data_spec: where the rows come from, for the report.
        split: which split they are, for the report.
        batch_size: rows a batch, each in it for base and for tuned; by default what suits the task.
        max_new_tokens: where a generated answer is cut off.
        on_progress: called after every batch.

    Raises:
        DataError: `test` is empty, lacks a column of the task, or holds a label that the task does not have.
    """
    task = pair.task
    inputs, references = _checked_rows(test, task)
    started = time.perf_counter()
    if task.is_classification:
        batch_size = batch_size or SCORING_BATCH_SIZE
        rows = _compare_labels(pair, inputs, references, batch_size, on_progress)
    else:
        batch_size = batch_size or GENERATION_BATCH_SIZE
        rows = _compare_texts(pair, inputs, references, batch_size, max_new_tokens, on_progress)
    report = Report(
        task=task.name,
        kind=pair.kind,
        metrics=_metrics(rows, task),
        n=len(rows),
        base=BaseModelInfo(
            name=pair.base.name,
            origin=pair.base.origin,
            revision=pair.base.revision,
            weights_sha256=pair.base.weights_sha256,
        ),
        precision=pair.precision,
        adapter_proof=AdapterProofInfo(
            largest_change=pair.proof.largest_change,
            same_weights=pair.proof.same_weights,
            sentence=pair.proof.describe(),
        ),
        prompt_sha256=pair.contract.sha256,
        data=DataInfo(spec=data_spec, split=split, test_sha256=_hash_rows(inputs, references)),
        batch_size=batch_size,
        max_new_tokens=None if task.is_classification else max_new_tokens,
        versions=_versions(),
        seconds=time.perf_counter() - started,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return Result(report, rows)


def _checked_rows(test: datasets.Dataset, task: Task) -> tuple[list[str], list[list[str]]]:
    """Each row's input and its references."""
    missing = [column for column in task.columns if column not in test.column_names]
    if missing:
        raise DataError(
            f"The test set lacks the column {missing[0]!r}",
            got=test.column_names,
            fix=f"The task '{task.name}' needs {' and '.join(task.columns)}.",
        )
    if not len(test):
        raise DataError("The test set is empty", fix="Give at least one row to compare on.")
    rows: list[dict[str, Any]] = list(test.select_columns(list(task.columns)))
    references = [task.references(row) for row in rows]
    for number, labels in enumerate(references, start=1):
        if task.is_classification and labels[0] not in task.labels:
            raise DataError(
                f"Row {number} of the test set has an unknown label",
                got=labels[0],
                fix=f"The labels are {', '.join(task.labels)}.",
            )
    return [str(row[task.input_column]) for row in rows], references


def _compare_labels(
    pair: Pair, inputs: list[str], references: list[list[str]], batch_size: int, on_progress: Progress | None
) -> list[RowResult]:
    labels = pair.task.labels

    def side(log_probabilities: Sequence[float], reference: str) -> SideResult:
        probabilities = {label: math.exp(value) for label, value in zip(labels, log_probabilities, strict=True)}
        answer = max(labels, key=lambda label: probabilities[label])
        return SideResult(
            answer=answer, scores={"accuracy": is_correct(answer, reference)}, probabilities=probabilities
        )

    scores = score_labels(pair, inputs, batch_size=batch_size, on_batch=on_progress)
    return [
        RowResult(input=text, references=[label], base=side(both.base, label), tuned=side(both.tuned, label))
        for text, (label,), both in zip(inputs, references, scores, strict=True)
    ]


def _compare_texts(
    pair: Pair,
    inputs: list[str],
    references: list[list[str]],
    batch_size: int,
    max_new_tokens: int,
    on_progress: Progress | None,
) -> list[RowResult]:
    def side(answer: Answer, texts: list[str]) -> SideResult:
        return SideResult(answer=answer.text, scores=rouge_scores(answer.text, texts), tokens=answer.tokens)

    answers = answer_batch(pair, inputs, max_new_tokens=max_new_tokens, batch_size=batch_size, on_batch=on_progress)
    return [
        RowResult(input=text, references=texts, base=side(both.base, texts), tuned=side(both.tuned, texts))
        for text, texts, both in zip(inputs, references, answers, strict=True)
    ]


def _metrics(rows: Sequence[RowResult], task: Task) -> list[MetricResult]:
    """Every metric of the task over all rows, the primary one first."""
    base = _measure([row.base.answer for row in rows], rows, task)
    tuned = _measure([row.tuned.answer for row in rows], rows, task)
    primary = PRIMARY[task.name]
    names = sorted(base, key=lambda name: name != primary)  # a stable sort: the others keep their order
    return [MetricResult(name=name, base=base[name], tuned=tuned[name], primary=name == primary) for name in names]


def _measure(predictions: list[str], rows: Sequence[RowResult], task: Task) -> dict[str, float]:
    references = [row.references for row in rows]
    if not task.is_classification:
        return dict(Rouge().compute(predictions=predictions, references=references))
    labels = [label for (label,) in references]
    scores: dict[str, float] = {}
    for metric in (Accuracy(), MacroF1()):
        scores |= metric.compute(predictions=predictions, references=labels)
    return scores


def _hash_rows(inputs: Sequence[str], references: Sequence[Sequence[str]]) -> str:
    digest = hashlib.sha256()
    for text, targets in zip(inputs, references, strict=True):
        digest.update(json.dumps([text, list(targets)], ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
