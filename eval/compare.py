"""Base against tuned on the same rows: `compare` gives a report and a result for every row.

Labels are scored by log-likelihood and texts are generated greedily, by both sides from one copy of the weights
(`models.scoring`, `models.generation`). Knows how to let the sides answer; what the answers amount to is in
`eval.aggregate`, and nothing here knows how the adapter was trained.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from data.general import instructions, passages
from data.tasks import Task
from data.trained_rows import hash_pairs
from eval.aggregate import calibration, confusion, flips, floor_results, metrics, writing
from eval.floors.few_shot import DRAWS, draw, left_out, measure_few_shot
from eval.floors.probe import probe
from eval.forgetting import measure_forgetting
from eval.metrics.bertscore import BertScore
from eval.metrics.labels import is_correct
from eval.metrics.rouge import TOKENIZER, rouge_scores
from eval.report.schema import (
    AdapterProofInfo,
    BaseModelInfo,
    DataInfo,
    FewShot,
    Forgetting,
    Report,
    RowResult,
    SideResult,
    TaskInfo,
)
from models.context import max_positions, require_room
from models.generation import Answer, answer_batch, answers_at_once
from models.pair import Pair
from models.scoring import ROUNDING, SCORING_BATCH_SIZE, score_labels
from plumbing.errors import DataError

if TYPE_CHECKING:
    import datasets

LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes", "rouge-score", "evaluate")

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and of how much."""

OnRows = Callable[[int, int], None] | None


@dataclass(frozen=True)
class Result:
    """A comparison: the report, and a result for every test row in the order of the test set."""

    report: Report
    rows: list[RowResult]


def compare(
    pair: Pair,
    test: datasets.Dataset,
    *,
    train: datasets.Dataset | None = None,
    few_shot: int = 0,
    few_shot_draws: int = DRAWS,
    forgetting: bool = False,
    data_spec: str = "",
    split: str = "test",
    batch_size: int | None = None,
    max_new_tokens: int = 64,
    on_progress: Progress | None = None,
) -> Result:
    """Let base and tuned answer every row of `test`, score both and judge the difference.

    Args:
        pair: base and tuned; its task says what a row is.
        test: rows with the task's columns.
        train: training rows, for the floors that learn from them and for few-shot examples.
        few_shot: examples in the prompt of a base that is shown some; 0 leaves it out. A classifier has no prompt.
        few_shot_draws: how often the examples are drawn; each draw is one more pass of the base.
        forgetting: measure both sides on general text, too. A classifier predicts none.
        data_spec: where the rows come from, for the report.
        split: which split they are, for the report.
        batch_size: rows a batch; by default what suits the task.
        max_new_tokens: where a generated answer is cut off.
        on_progress: told what is being done and how far it is, after every batch.

    Raises:
        DataError: `test` or `train` is empty, lacks a column of the task, or holds a label that the task does not
            have; or a test row does not fit into the model.
    """
    task = pair.task
    inputs, references = _checked_rows(test, task, "test set")
    require_room(
        test,
        prompter=pair.prompter,
        tokenizer=pair.tokenizer,
        column=task.input_column,
        limit=max_positions(pair.model.config),
        labels=task.labels,
        new_tokens=max_new_tokens,
    )
    examples = _examples(train, task) if train is not None else []
    tell = _telling(on_progress)
    started = time.perf_counter()
    if task.is_classification:
        batch_size = batch_size or SCORING_BATCH_SIZE
        rows = _compare_labels(pair, inputs, references, batch_size, tell("Comparing base and tuned"))
    else:
        assert pair.prompter is not None
        prompts = map(pair.prompter.encode_prompt, inputs)
        batch_size = batch_size or answers_at_once(pair, prompts, max_new_tokens)
        on_rows = tell("Comparing base and tuned")
        rows = _compare_texts(pair, inputs, references, batch_size, max_new_tokens, on_rows)
    seconds = time.perf_counter() - started
    shown, not_shown = _few_shot(
        pair, rows, examples, few_shot, few_shot_draws, max_new_tokens, tell("The base with examples")
    )
    report = Report(
        task=task.name,
        about=TaskInfo(kind=task.kind, title=task.title, noun=task.noun),
        kind=pair.kind,
        n=len(rows),
        metrics=metrics(rows, task),
        flips=flips(rows, task),
        confusion=confusion(rows, task) if task.is_classification else None,
        calibration=calibration(rows) if task.is_classification else None,
        near_ties=_near_ties(rows) if task.is_classification else None,
        writing=None if task.is_classification else writing(rows, max_new_tokens),
        floors=floor_results(
            rows, task, examples, _probe(pair, examples, inputs, tell("What the frozen base knows"))
        ),
        few_shot=shown,
        few_shot_left_out=not_shown,
        forgetting=_forgetting(pair, tell("General text, to see what was forgotten")) if forgetting else None,
        base=BaseModelInfo(
            name=pair.base.name,
            origin=pair.base.origin,
            revision=pair.base.revision,
            weights_sha256=pair.base.weights_sha256,
        ),
        precision=pair.precision,
        computed_in=str(pair.model.dtype).removeprefix("torch."),
        adapter_proof=AdapterProofInfo(
            largest_change=pair.proof.largest_change,
            same_weights=pair.proof.same_weights,
            sentence=pair.proof.describe(),
        ),
        adapter_sha256=pair.adapter_sha256,
        prompt_sha256=pair.contract.sha256,
        data=DataInfo(spec=data_spec, split=split, test_sha256=hash_rows(inputs, references)),
        train_rows=len(examples),
        batch_size=batch_size,
        tokenizer="" if task.is_classification else TOKENIZER,
        max_new_tokens=None if task.is_classification else max_new_tokens,
        versions=_versions(),
        seconds=seconds,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return Result(report, rows)


def _telling(on_progress: Progress | None) -> Callable[[str], Callable[[int, int], None] | None]:
    """What is being done → a callback for how far it is."""

    def telling(what: str) -> Callable[[int, int], None] | None:
        if on_progress is None:
            return None
        return lambda done, total: on_progress(what, done, total)

    return telling


def _examples(train: datasets.Dataset, task: Task) -> list[tuple[str, str]]:
    inputs, references = _checked_rows(train, task, "training set")
    return [(text, targets[0]) for text, targets in zip(inputs, references, strict=True)]


def _few_shot(
    pair: Pair,
    rows: Sequence[RowResult],
    train: list[tuple[str, str]],
    count: int,
    draws: int,
    max_new_tokens: int,
    on_progress: Callable[[int, int], None] | None,
) -> tuple[FewShot | None, str]:
    """What was measured, or why it was not, where it could have been."""
    if not count or not train or pair.kind != "causal":
        return None, ""
    drawn = draw(pair, [row.input for row in rows], train, count, draws, max_new_tokens)
    if not drawn:
        return None, left_out(pair, count)
    return measure_few_shot(pair, rows, drawn, max_new_tokens=max_new_tokens, on_progress=on_progress), ""


def _probe(
    pair: Pair, train: list[tuple[str, str]], inputs: list[str], on_progress: Callable[[int, int], None] | None
) -> dict[str, list[str]]:
    """The floor that a classifier's base gives, by its name."""
    if pair.kind != "classifier" or not train:
        return {}
    return {"frozen base + logistic regression": probe(pair, train, inputs, on_progress=on_progress)}


def _forgetting(pair: Pair, on_progress: Callable[[int, int], None] | None) -> Forgetting | None:
    if pair.kind != "causal":
        return None
    return measure_forgetting(pair, passages(), instructions(), on_progress=on_progress)


def _near_ties(rows: Sequence[RowResult]) -> int:
    """Rows where another rounding might have answered otherwise, on either side."""

    def margin(side: SideResult) -> float:
        assert side.probabilities is not None
        best, second = sorted(side.probabilities.values(), reverse=True)[:2]
        return math.log(best) - math.log(second) if second else math.inf

    return sum(min(margin(row.base), margin(row.tuned)) <= ROUNDING for row in rows)


def _checked_rows(test: datasets.Dataset, task: Task, what: str) -> tuple[list[str], list[list[str]]]:
    """Each row's input and its references."""
    missing = [column for column in task.columns if column not in test.column_names]
    if missing:
        raise DataError(
            f"The {what} lacks the column {missing[0]!r}",
            got=test.column_names,
            fix=f"The task '{task.name}' needs {' and '.join(task.columns)}.",
        )
    if not len(test):
        raise DataError(f"The {what} is empty", fix="Give at least one row.")
    rows: list[dict[str, Any]] = list(test.select_columns(list(task.columns)))
    references = [task.references(row) for row in rows]
    for number, labels in enumerate(references, start=1):
        if task.is_classification and labels[0] not in task.labels:
            raise DataError(
                f"Row {number} of the {what} has an unknown label",
                got=labels[0],
                fix=f"The labels are {', '.join(task.labels)}.",
            )
    return [str(row[task.input_column]) for row in rows], references


def _compare_labels(
    pair: Pair, inputs: list[str], references: list[list[str]], batch_size: int, on_rows: OnRows
) -> list[RowResult]:
    labels = pair.task.labels

    def side(log_probabilities: Sequence[float], reference: str) -> SideResult:
        probabilities = {label: math.exp(value) for label, value in zip(labels, log_probabilities, strict=True)}
        answer = max(labels, key=lambda label: probabilities[label])
        return SideResult(
            answer=answer, scores={"accuracy": is_correct(answer, reference)}, probabilities=probabilities
        )

    scores = score_labels(pair, inputs, batch_size=batch_size, on_batch=on_rows)
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
    on_rows: OnRows,
) -> list[RowResult]:
    answers = answer_batch(pair, inputs, max_new_tokens=max_new_tokens, batch_size=batch_size, on_batch=on_rows)
    base = _scored([both.base for both in answers], references)
    tuned = _scored([both.tuned for both in answers], references)
    return [
        RowResult(input=text, references=texts, base=before, tuned=after)
        for text, texts, before, after in zip(inputs, references, base, tuned, strict=True)
    ]


def _scored(answers: Sequence[Answer], references: list[list[str]]) -> list[SideResult]:
    """One side's answers with the scores of each: ROUGE, and BERTScore where its encoder is on this machine."""
    scores = [rouge_scores(answer.text, texts) for answer, texts in zip(answers, references, strict=True)]
    if encoder := BertScore.local():
        for row, value in zip(scores, encoder.f1([answer.text for answer in answers], references), strict=True):
            row["bertscore"] = value
    return [
        SideResult(answer=answer.text, scores=row, tokens=answer.tokens)
        for answer, row in zip(answers, scores, strict=True)
    ]


def hash_rows(inputs: Sequence[str], references: Sequence[Sequence[str]]) -> str:
    """SHA-256 over the rows of a test set, in order."""
    return hash_pairs(zip(inputs, references, strict=True))


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
