"""The base model with examples in its prompt: what one gets without tuning, for more tokens an answer.

Which examples stand there, and in which order, moves the answers as much as tuning may, so several draws are
measured: each has examples of its own in an order of its own, from all training rows. What the tuned model has to
beat is the mean over the draws, row by row: what somebody gets who takes the first examples at hand. A tuned model
that only equals it still answers with a fraction of the prompt.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from statistics import fmean
from typing import Any

from data.tasks import Task
from data.tasks.task import Input, as_text
from eval.floors.floor import Example
from eval.metrics import primary_of
from eval.report.schema import RowResult
from eval.report.sections import FewShot
from eval.scores import judge, measure, row_scores
from eval.statistics import judge_scores
from models.generation import answer_base_batch
from models.pair import Pair
from models.prompting import Message
from models.scoring import score_base_labels

DRAWS = 3
"""By default: each costs one more pass of the base over the test rows."""
MOST_PROMPT_TOKENS = 4096
"""Of a prompt with examples, where the model could take more: a longer one would cost more than it shows."""
_FEWEST_TOKENS = 8
"""Of an example with its answer and what stands around both."""
MOST_TRIED = 1000
"""Training rows whose tokens are counted, over all draws, to find some that are short enough."""


def choose(
    train: Sequence[Example],
    count: int,
    task: Task,
    *,
    seed: int = 0,
    fits: Callable[[Example], bool] | None = None,
) -> list[Example]:
    """`count` examples of all of `train`, drawn and ordered by `seed`; fewer where there are not as many.

    Of a classification every label stands there as often as any other, or once more; of more labels than `count`
    so many, drawn as well. A label of which no row fits is left out.

    Args:
        train: the rows to draw from.
        count: how many are wanted.
        task: theirs.
        seed: another one draws others.
        fits: asked of each row that is drawn; where it says no, the next one is.
    """
    chance = random.Random(seed)
    rows = list(train)
    chance.shuffle(rows)

    def fitting(label: str | None) -> Iterator[Example]:
        of_label = (row for row in rows if label is None or row[1] == label)
        return (row for row in of_label if fits is None or fits(row))

    if not task.is_classification:
        return list(islice(fitting(None), count))
    there = {label for _, label in rows}
    turns = [label for label in task.labels if label in there]
    chance.shuffle(turns)  # one of them may stand there once more
    waiting = {label: fitting(label) for label in turns}
    chosen: list[Example] = []
    for label in list(turns):  # once each, as far as they fit
        if len(chosen) < count:
            example = next(waiting[label], None)
            if example is None:
                turns.remove(label)
            else:
                chosen.append(example)
    while turns and len(chosen) < count:
        example = next(waiting[turns[len(chosen) % len(turns)]], None)
        if example is None:
            break
        chosen.append(example)
    chance.shuffle(chosen)
    return chosen


def draw(
    pair: Pair,
    inputs: Sequence[Input],
    train: Sequence[Example],
    count: int,
    draws: int,
    max_new_tokens: int,
    *,
    first: int = 0,
) -> list[list[Example]]:
    """`draws` lists of at most `count` examples, so short that the longest of `inputs` fits behind any of them.

    Empty where no row of `train` is short enough; see `left_out`. Of rows of which hardly one is, only so many are
    looked at. The seeds of the draws are `first` and those after it.
    """
    prompter = pair.prompter
    assert prompter is not None
    room = _most_tokens(pair) - max(len(prompter.encode_prompt(text)) for text in inputs) - max_new_tokens
    if room < count:
        return []
    known: dict[Example, bool] = {}

    def fits(example: Example) -> bool:
        if example not in known:
            if len(known) == MOST_TRIED:
                return False
            text, target = example
            tokens = len(prompter.encode_prompt(text)) + len(prompter.encode_target(target))
            known[example] = count * tokens <= room
        return known[example]

    drawn = (choose(train, count, pair.task, seed=seed, fits=fits) for seed in range(first, first + draws))
    return [examples for examples in drawn if examples]


def as_many_as_fit(
    pair: Pair, inputs: Sequence[Input], train: Sequence[Example], max_new_tokens: int, *, seed: int = 0
) -> list[Example]:
    """Examples drawn by `seed` until the longest of `inputs` would no longer fit behind the next one."""
    prompter = pair.prompter
    assert prompter is not None
    room = _most_tokens(pair) - max(len(prompter.encode_prompt(text)) for text in inputs) - max_new_tokens
    found: list[Example] = []
    # Drawn so that labels take turns, of more than can fit: an example and its answer have some tokens at least.
    for text, target in choose(train, min(len(train), max(0, room) // _FEWEST_TOKENS), pair.task, seed=seed):
        room -= len(prompter.encode_prompt(text)) + len(prompter.encode_target(target))
        if room < 0:
            break
        found.append((text, target))
    return found


def left_out(pair: Pair, count: int) -> str:
    """Why there are no examples, in a sentence, where `draw` found none."""
    examples = "an example" if count == 1 else f"{count} examples"
    return (
        f"The base was not shown {examples} in its prompt: with the longest test row and its answer there is no "
        f"room for that in {_most_tokens(pair):,} tokens."
    )


def _most_tokens(pair: Pair) -> int:
    return min(getattr(pair.model.config, "max_position_embeddings", MOST_PROMPT_TOKENS), MOST_PROMPT_TOKENS)


def measure_few_shot(
    pair: Pair,
    rows: Sequence[RowResult],
    draws: Sequence[Sequence[Example]],
    *,
    max_new_tokens: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> FewShot:
    """Let the base answer the rows of a comparison again, with the examples of each draw in front.

    Args:
        pair: of kind `causal`.
        rows: the comparison's rows, with the tuned side's answers.
        draws: the examples of each, one draw at least.
        max_new_tokens: where an answer is cut off.
        on_progress: called with rows done and rows in all, over all draws.
    """
    task, prompter = pair.task, pair.prompter
    assert prompter is not None
    inputs = [row.asked for row in rows]
    references = [row.references for row in rows]
    scores: list[dict[str, float]] = []
    by_draw: list[list[float]] = []
    tokens: list[float] = []
    for number, examples in enumerate(draws):
        history = as_messages(examples)
        told = _counting(on_progress, number * len(rows), len(draws) * len(rows))
        answers = base_answers(pair, inputs, history, max_new_tokens, told)
        scores.append(measure(answers, references, task))
        by_draw.append(row_scores(answers, references, task))
        tokens.append(fmean(len(prompter.encode_prompt(text, history)) for text in inputs))
    metric = primary_of(task)
    tuned = [row.tuned.scores[metric.name] for row in rows]
    each = [fmean(values) for values in zip(*by_draw, strict=True)]
    return FewShot(
        examples=max(len(examples) for examples in draws),
        draws=scores,
        scores={name: fmean(one[name] for one in scores) for name in scores[0]},
        # Means of several draws are no longer right or wrong.
        judgement=judge(each, tuned, metric)
        if len(draws) == 1
        else judge_scores(each, tuned, higher_is_better=metric.higher_is_better),
        prompt_tokens=fmean(tokens),
        prompt_tokens_without=fmean(len(prompter.encode_prompt(text)) for text in inputs),
    )


def as_messages(examples: Sequence[Example]) -> list[Message]:
    """Examples as turns of the user and the assistant."""
    history: list[Message] = []
    for given, target in examples:
        history += [{"role": "user", "content": as_text(given)}, {"role": "assistant", "content": target}]
    return history


def base_answers(
    pair: Pair,
    inputs: Sequence[Input],
    history: Sequence[Message],
    max_new_tokens: int,
    on_progress: Any,
    *,
    batch_size: int | None = None,
) -> list[str]:
    """The base's answers after `history`: labels by their likelihood, texts greedily, so many at a time."""
    if pair.task.is_classification:
        scores = score_base_labels(pair, inputs, history, on_batch=on_progress)
        return [pair.task.labels[values.index(max(values))] for values in scores]
    given = answer_base_batch(
        pair, inputs, history, max_new_tokens=max_new_tokens, batch_size=batch_size, on_batch=on_progress
    )
    return [answer.text for answer in given]


def _counting(
    on_progress: Callable[[int, int], None] | None, before: int, total: int
) -> Callable[[int, int], None] | None:
    """`on_progress` for one draw: the rows of the draws before it count as done."""
    if on_progress is None:
        return None
    return lambda done, _: on_progress(before + done, total)
