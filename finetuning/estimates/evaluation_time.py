"""How long an evaluation takes: passes over prompts, and decoded answers, at the speed of `calibration`."""

from __future__ import annotations

import math
from dataclasses import replace

from data.general import instructions, passages
from finetuning.besides import read_context
from finetuning.estimates.calibration import Speeds
from finetuning.estimates.row_lengths import Lengths
from finetuning.recipe import Recipe
from models.scoring import SCORING_BATCH_SIZE
from plumbing.errors import UserError

_INSTRUCTION_TOKENS = 32
"""Of an answer to a general instruction, at most; see `eval.forgetting`."""
_CHARACTERS_A_TOKEN = 4.5
"""Of general English prose."""


def evaluation_seconds(recipe: Recipe, layers: int, machine: Speeds, train: Lengths, test: Lengths) -> float:
    """Seconds of both sides on the test rows, the base with examples, and the general text.

    Args:
        recipe: says which of these are asked for.
        layers: of the base.
        machine: its speeds.
        train: lengths of the rows that examples are taken from.
        test: of those that are judged.
    """
    work = _Work(layers, machine)
    settings = recipe.evaluation
    if recipe.kind == "reward":
        # Its own pass over each pair, whose prompt is read once, and the language model's over each of its answers.
        pairs = [prompt + 2 * answer for prompt, answer in zip(test.prompts, test.answers, strict=True)]
        own = work.passes(replace(test, prompts=pairs), 0)
        return own + work.read(replace(test, rows=2 * test.rows), 0)
    if not recipe.way.writes:
        return 2 * work.passes(test, 0) + work.passes(train, 0)  # both sides; the frozen base for its probe
    if not recipe.task_definition.target_column:
        return _of_texts(recipe, work, train, test)
    generates = not recipe.task_definition.is_classification
    base_tokens, tuned_tokens = settings.max_new_tokens, min(settings.max_new_tokens, train.answer)
    seconds = 2 * work.passes(test, 0)
    if generates:  # an untuned base seldom ends by itself
        seconds += test.rows * (work.decoded(base_tokens) + work.decoded(tuned_tokens))
        if recipe.model.adapter is not None:  # the adapter that it went on with answers, too
            seconds += work.passes(test, 0) + test.rows * work.decoded(tuned_tokens)
    if recipe.few_shot and recipe.task_definition.kind != "chat":
        examples = round(recipe.few_shot * sum(train.whole) / max(1, len(train.whole)))
        draw = work.passes(test, examples)
        draw += test.rows * work.decoded((base_tokens + tuned_tokens) / 2) if generates else 0.0
        seconds += settings.few_shot_draws * draw
    if settings.context:
        seconds += work.passes(test, _text_tokens(settings.context))
        seconds += test.rows * work.decoded((base_tokens + tuned_tokens) / 2) if generates else 0.0
    if recipe.task_definition.kind == "chat":
        seconds += 2 * work.passes(test, 0)  # all that the assistant says
    if recipe.way.besides:  # a good answer and a bad one, by both sides
        seconds += 4 * work.read(test, 0)
    if settings.forgetting:
        seconds += work.forgetting()
    return seconds


def _of_texts(recipe: Recipe, work: _Work, train: Lengths, test: Lengths) -> float:
    """Both sides read raw texts and go on with each; the base reads them again behind others, and behind a text."""
    settings = recipe.evaluation
    seconds = 2 * (work.read(test, 0) + test.rows * work.decoded(settings.max_new_tokens))
    if recipe.few_shot:
        others = recipe.few_shot * sum(train.whole) / max(1.0, len(train.whole) * train.texts_a_row)
        seconds += settings.few_shot_draws * work.read(test, round(others))
    if settings.context:
        seconds += work.read(test, _text_tokens(settings.context))
    return seconds + (work.forgetting() if settings.forgetting else 0.0)


def _text_tokens(context: str) -> int:
    """About as many tokens as the text has; none where it cannot be read, which is said when it is opened."""
    try:
        return round(len(read_context(context).text) / _CHARACTERS_A_TOKEN)
    except UserError:
        return 0


class _Work:
    def __init__(self, layers: int, machine: Speeds) -> None:
        self._layers, self._machine = layers, machine

    def passes(self, lengths: Lengths, before: int) -> float:
        """One side reads every prompt, whose beginning, with `before` tokens of examples, is read once."""
        shared = before + lengths.shared
        own = [max(1, tokens - lengths.shared) for tokens in lengths.prompts]
        tokens = sum(own) / max(1, len(own)) * lengths.rows + shared
        pairs = sum(count * (count + shared) for count in own) / max(1, len(own)) * lengths.rows + shared**2
        batches = 1 + math.ceil(lengths.rows / SCORING_BATCH_SIZE)
        taken = tokens * self._machine.pass_token + pairs * self._machine.pass_pair
        return self._layers * (batches * self._machine.pass_batch + taken)

    def read(self, lengths: Lengths, before: int) -> float:
        """The same with each row's answer, whose tokens are predicted; of a raw text these are all."""
        predicted = lengths.rows * lengths.answer * self._machine.head_train / 2
        return self.passes(replace(lengths, prompts=lengths.whole), before) + predicted

    def decoded(self, tokens: float) -> float:
        """One row's answer of so many tokens, in a batch of others."""
        return tokens * (self._layers * self._machine.decode_row + self._machine.head_decode)

    def forgetting(self) -> float:
        """Both sides on the general passages, every position of which is predicted, and the instructions."""
        tokens = sum(map(len, passages())) / _CHARACTERS_A_TOKEN
        read = tokens * (self._layers * self._machine.pass_token + self._machine.head_train / 2)
        return 2 * (read + len(instructions()) * self.decoded(_INSTRUCTION_TOKENS))
