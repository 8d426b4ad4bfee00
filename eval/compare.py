"""Base against tuned on the same rows: `compare` gives a report and a result for every row.

Labels are scored by log-likelihood and answers are generated greedily, by both sides (`models.scoring`,
`models.generation`); of raw texts, which nobody answers, the likelihood is compared (`eval.documents`), and what a
reward model says of answers that are there is in `eval.reward`. Knows how to let the sides answer; what the answers
amount to is in `eval.aggregate`, and nothing here knows how the tuned side was trained.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from data.general import instructions, passages
from data.tasks import Task
from data.tasks.task import Input, as_text
from eval.aggregate import calibration, classes, confusion, flips, floor_results, metrics, writing
from eval.documents import Documents, texts_of
from eval.floors.context import Context, measure_context, no_room
from eval.floors.few_shot import DRAWS, draw, left_out, measure_few_shot
from eval.floors.floor import Example
from eval.floors.probe import FLOOR as PROBE
from eval.floors.probe import probe
from eval.forgetting import measure_forgetting
from eval.metrics import Metric, primary_of
from eval.metrics.rouge import TOKENIZER
from eval.preferences import good_answers, judge_pairs, judge_thumbs
from eval.provenance import OnRows, Progress, about, hash_rows, telling
from eval.provenance import Result as Result
from eval.report.schema import Report, RowMessage, RowResult, SideResult
from eval.report.sections import (
    DataInfo,
    FewShot,
    Forgetting,
    TaskInfo,
    TurnLikelihood,
    WithContext,
)
from eval.reward import compare_rewards
from eval.scores import require_scorable, scored
from eval.turns import add_turns
from models.context import max_positions, require_room
from models.generation import Answer, answer_batch, answers_at_once
from models.pair import Pair
from models.scoring import ROUNDING, SCORING_BATCH_SIZE, score_labels
from plumbing.errors import DataError

if TYPE_CHECKING:
    import datasets


def compare(
    pair: Pair,
    test: datasets.Dataset,
    *,
    train: datasets.Dataset | None = None,
    few_shot: int = 0,
    few_shot_draws: int = DRAWS,
    context: Context | None = None,
    more: Sequence[Metric] = (),
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
        test: rows with the task's columns. Beside a worse answer, or where answers have thumbs, it is also measured
            which ones both sides prefer; what is written is compared with the good answers.
        train: training rows, for the floors that learn from them and for few-shot examples.
        few_shot: examples in the prompt of a base that is shown some; 0 leaves it out. A classifier has no prompt,
            and a chat is one conversation. Of raw texts they are other texts before each.
        few_shot_draws: how often the examples are drawn; each draw is one more pass of the base.
        context: a text before every question for a base that is compared as well; one more pass of it.
        more: metrics beside those of ours that suit the task, loaded by `eval.metrics.evaluated`.
        forgetting: measure both sides on general text, too. A classifier predicts none.
        data_spec: where the rows come from, for the report.
        split: which split they are, for the report.
        batch_size: rows a batch; by default what suits the task.
        max_new_tokens: where a generated answer is cut off.
        on_progress: told what is being done and how far it is, after every batch.

    Raises:
        DataError: `test` or `train` is empty, lacks a column of the task, or holds a label that the task does not
            have; or a test row does not fit into the model.
        RecipeError: the task is scored by a metric that is not loaded.
    """
    if pair.kind == "reward":
        return compare_rewards(
            pair,
            test,
            train=train,
            data_spec=data_spec,
            split=split,
            batch_size=batch_size,
            on_progress=on_progress,
        )
    task = pair.task
    primary_of(task)
    given, test = test, good_answers(test, task)
    inputs, references = _checked_rows(test, task, "test set")
    require_scorable(references, task, more)
    texts: Documents | None = None
    require_room(
        test,
        prompter=pair.prompter,
        tokenizer=pair.tokenizer,
        column=task.input_column,
        limit=max_positions(pair.model.config),
        labels=task.labels,
        new_tokens=max_new_tokens,
    )
    examples = _examples(good_answers(train, task), task) if train is not None else []
    tell = telling(on_progress)
    started = time.perf_counter()
    on_rows = tell("Comparing base and tuned")
    if task.is_classification:
        batch_size = batch_size or SCORING_BATCH_SIZE
        rows = _compare_labels(pair, inputs, references, batch_size, more, on_rows)
    elif task.kind == "text":
        assert pair.prompter is not None
        texts = Documents.read(pair, texts_of(test, task), on_progress=on_rows)
        rows = texts.rows(
            max_new_tokens=max_new_tokens, batch_size=batch_size, on_progress=tell("How both sides go on")
        )
        inputs, references = [row.input for row in rows], [row.references for row in rows]
        batch_size = batch_size or answers_at_once(pair, map(pair.prompter.encode_prompt, inputs), max_new_tokens)
    else:
        assert pair.prompter is not None
        batch_size = batch_size or answers_at_once(pair, map(pair.prompter.encode_prompt, inputs), max_new_tokens)
        rows = _compare_texts(pair, inputs, references, batch_size, max_new_tokens, more, on_rows)
    turns: TurnLikelihood | None = None
    if task.kind == "chat":
        rows, turns = add_turns(pair, rows, tell("How probable all that the assistant says is"))
    seconds = time.perf_counter() - started
    on_answers = tell("How probable both sides find the answers that are compared")
    preference, thumbs = judge_pairs(pair, given, on_answers), judge_thumbs(pair, given, on_answers)
    with_examples, with_text = tell("The base with examples"), tell("The base with a text in its prompt")
    if texts is not None:
        shown, not_shown = texts.few_shot(examples, few_shot, few_shot_draws, with_examples)
        told, not_told = texts.context(context, with_text)
    else:
        shown, not_shown = _few_shot(pair, rows, examples, few_shot, few_shot_draws, max_new_tokens, with_examples)
        told, not_told = _context(pair, rows, context, max_new_tokens, with_text)
    answers = not task.is_classification and texts is None
    scores = metrics(rows, task, more)
    report = Report(
        task=task.name,
        about=TaskInfo(kind=task.kind, title=task.title, noun=task.noun),
        kind=pair.kind,
        n=len(rows),
        metrics=texts.with_intervals(scores) if texts else scores,
        flips=flips(rows, task),
        confusion=confusion(rows, task) if task.is_classification else None,
        classes=classes(rows, task) if task.is_classification else None,
        calibration=calibration(rows) if task.is_classification else None,
        near_ties=_near_ties(rows) if task.is_classification else None,
        writing=writing(rows, max_new_tokens) if answers else None,
        turns=turns,
        texts=texts.section(test) if texts else None,
        preference=preference,
        thumbs=thumbs,
        floors=texts.floors(examples)
        if texts
        else floor_results(
            rows, task, examples, _probe(pair, examples, inputs, tell("What the frozen base knows"))
        ),
        few_shot=shown,
        few_shot_left_out=not_shown,
        context=told,
        context_left_out=not_told,
        forgetting=_forgetting(pair, tell("General text, to see what was forgotten")) if forgetting else None,
        data=DataInfo(spec=data_spec, split=split, test_sha256=hash_rows(list(map(as_text, inputs)), references)),
        train_rows=len(examples),
        batch_size=batch_size,
        tokenizer=TOKENIZER if answers else "",
        max_new_tokens=None if task.is_classification else max_new_tokens,
        seconds=seconds,
        **about(pair),
    )
    return Result(report, rows)


def _examples(train: datasets.Dataset, task: Task) -> list[Example]:
    inputs, references = _checked_rows(train, task, "training set")
    if task.kind == "text":
        return [(text, "") for text in texts_of(train, task)]
    return [(given, targets[0]) for given, targets in zip(inputs, references, strict=True)]


def _few_shot(
    pair: Pair,
    rows: Sequence[RowResult],
    train: list[Example],
    count: int,
    draws: int,
    max_new_tokens: int,
    on_progress: Callable[[int, int], None] | None,
) -> tuple[FewShot | None, str]:
    """What was measured, or why it was not, where it could have been."""
    if not count or not train or pair.kind != "causal" or pair.task.kind == "chat":
        return None, ""
    drawn = draw(pair, [row.asked for row in rows], train, count, draws, max_new_tokens)
    if not drawn:
        return None, left_out(pair, count)
    return measure_few_shot(pair, rows, drawn, max_new_tokens=max_new_tokens, on_progress=on_progress), ""


def _context(
    pair: Pair, rows: Sequence[RowResult], context: Context | None, max_new_tokens: int, on_progress: OnRows
) -> tuple[WithContext | None, str]:
    """The same of a text in the prompt."""
    if context is None or pair.kind != "causal":
        return None, ""
    if why := no_room(pair, [row.asked for row in rows], context, max_new_tokens):
        return None, why
    return measure_context(pair, rows, context, max_new_tokens=max_new_tokens, on_progress=on_progress), ""


def _probe(pair: Pair, train: list[Example], inputs: Sequence[Input], on_progress: OnRows) -> dict[str, list[str]]:
    """The floor that a classifier's base gives, by its name."""
    if pair.kind != "classifier" or not train:
        return {}
    return {PROBE.name: probe(pair, train, list(map(as_text, inputs)), on_progress=on_progress)}


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


def _checked_rows(test: datasets.Dataset, task: Task, what: str) -> tuple[list[Input], list[list[str]]]:
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
    known = set(task.labels)
    for number, labels in enumerate(references, start=1):
        if task.is_classification and labels[0] not in known:
            raise DataError(
                f"Row {number} of the {what} has an unknown label",
                got=labels[0],
                fix=f"The labels are {', '.join(task.labels)}.",
            )
    return [task.input_of(row) for row in rows], references


def _compare_labels(
    pair: Pair,
    inputs: Sequence[Input],
    references: list[list[str]],
    batch_size: int,
    more: Sequence[Metric],
    on_rows: OnRows,
) -> list[RowResult]:
    labels = pair.task.labels
    found = score_labels(pair, inputs, batch_size=batch_size, on_batch=on_rows)

    def side(log_probabilities: list[list[float]]) -> list[SideResult]:
        shares = [dict(zip(labels, map(math.exp, row), strict=True)) for row in log_probabilities]
        answers = [max(labels, key=row.__getitem__) for row in shares]
        scores = scored(answers, references, pair.task, more)
        return [
            SideResult(answer=answer, scores=values, probabilities=row)
            for answer, values, row in zip(answers, scores, shares, strict=True)
        ]

    return _rows(inputs, references, side([both.base for both in found]), side([both.tuned for both in found]))


def _compare_texts(
    pair: Pair,
    inputs: Sequence[Input],
    references: list[list[str]],
    batch_size: int,
    max_new_tokens: int,
    more: Sequence[Metric],
    on_rows: OnRows,
) -> list[RowResult]:
    found = answer_batch(pair, inputs, max_new_tokens=max_new_tokens, batch_size=batch_size, on_batch=on_rows)

    def side(answers: Sequence[Answer]) -> list[SideResult]:
        scores = scored([answer.text for answer in answers], references, pair.task, more)
        return [
            SideResult(answer=answer.text, scores=values, tokens=answer.tokens)
            for answer, values in zip(answers, scores, strict=True)
        ]

    return _rows(inputs, references, side([both.base for both in found]), side([both.tuned for both in found]))


def _rows(
    inputs: Sequence[Input],
    references: Sequence[list[str]],
    base: Sequence[SideResult],
    tuned: Sequence[SideResult],
) -> list[RowResult]:
    return [
        RowResult(
            input=as_text(given),
            references=texts,
            base=before,
            tuned=after,
            messages=None if isinstance(given, str) else [RowMessage.model_validate(dict(one)) for one in given],
        )
        for given, texts, before, after in zip(inputs, references, base, tuned, strict=True)
    ]
