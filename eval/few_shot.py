"""The base model with examples in its prompt: what one gets without tuning, for more tokens an answer.

A tuned model that only equals it still answers with a fraction of the prompt.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from statistics import fmean, median

from data.tasks import Task
from eval.aggregate import judge, measure
from eval.metrics.labels import is_correct
from eval.metrics.metric import PRIMARY
from eval.metrics.rouge import rouge_scores
from eval.schema import FewShot, RowResult
from models.generation import answer_base_batch
from models.pair import Pair
from models.prompting import Message
from models.scoring import score_base_labels

SEED = 0


def choose(train: Sequence[tuple[str, str]], count: int, task: Task) -> list[tuple[str, str]]:
    """`count` examples of `train`, (input, target) each: drawn by a fixed seed from the shorter half of the rows.

    The labels of a classification take turns, so that the examples do not lean to one.
    """
    middle = median(len(text) for text, _ in train)
    short = [row for row in train if len(row[0]) <= middle]
    random.Random(SEED).shuffle(short)
    if not task.is_classification:
        return short[:count]
    by_label = {label: [row for row in short if row[1] == label] for label in task.labels}
    turns = [label for label in task.labels if by_label[label]]
    chosen: list[tuple[str, str]] = []
    while turns and len(chosen) < count:
        label = turns[len(chosen) % len(turns)]
        if not by_label[label]:
            break
        chosen.append(by_label[label].pop())
    return chosen


def measure_few_shot(
    pair: Pair,
    rows: Sequence[RowResult],
    examples: Sequence[tuple[str, str]],
    *,
    max_new_tokens: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> FewShot:
    """Let the base answer the rows of a comparison again, with `examples` in front.

    Args:
        pair: of kind `causal`.
        rows: the comparison's rows, with the tuned side's answers.
        examples: (input, target) each.
        max_new_tokens: where an answer is cut off.
        on_progress: called with rows done and rows in all.
    """
    task, prompter = pair.task, pair.prompter
    assert prompter is not None
    history: list[Message] = []
    for text, target in examples:
        history += [{"role": "user", "content": text}, {"role": "assistant", "content": target}]
    inputs = [row.input for row in rows]
    references = [row.references for row in rows]
    if task.is_classification:
        scores = score_base_labels(pair, inputs, history, on_batch=on_progress)
        answers = [task.labels[values.index(max(values))] for values in scores]
        each = [is_correct(answer, label) for answer, (label,) in zip(answers, references, strict=True)]
    else:
        given = answer_base_batch(pair, inputs, history, max_new_tokens=max_new_tokens, on_batch=on_progress)
        answers = [answer.text for answer in given]
        pairs = zip(answers, references, strict=True)
        each = [rouge_scores(answer, texts)[PRIMARY[task.name].name] for answer, texts in pairs]
    tuned = [row.tuned.scores[PRIMARY[task.name].name] for row in rows]
    return FewShot(
        examples=len(examples),
        scores=measure(answers, references, task),
        judgement=judge(each, tuned, PRIMARY[task.name]),
        prompt_tokens=fmean(len(prompter.encode_prompt(text, history)) for text in inputs),
        prompt_tokens_without=fmean(len(prompter.encode_prompt(text)) for text in inputs),
    )
