"""How long training takes: its batches, their steps, and the passes that measure the validation loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from finetuning.estimates.calibration import Speeds
from finetuning.estimates.row_lengths import Lengths
from finetuning.recipe import Recipe
from finetuning.strategies.counts import ParameterCount
from finetuning.strategies.lora import MEASURED_RANK
from finetuning.trainers.arguments import checkpoints, eval_steps, steps

_WRITTEN_A_SECOND = 2e8
"""Bytes of a checkpoint that go to the disk, and are there."""


@dataclass(frozen=True)
class Batch:
    """Some rows that go through the model together, or answers, where a model learns from its own."""

    rows: int
    """With every answer to a prompt a row of its own: a pair is two; of raw texts, which share rows, the texts."""
    tokens: int
    """That are computed: without padding and the shared prefix where layers are computed by hand."""
    pairs: int
    """Of a token and one that it may see, as they are computed: as if each row were as long as the longest."""
    longest: int
    supervised: int


def batches_of(recipe: Recipe, train: Lengths) -> list[Batch]:
    """The batches of an epoch over the sampled rows, in like lengths as they are trained on."""
    from finetuning.trainers.lengths import LikeLengthSampler

    lengths, size, sampling = train.whole, recipe.training.batch_size, recipe.way.sampling
    answers = sampling.answers if sampling else recipe.way.answers_a_row
    order = list(LikeLengthSampler(lengths, size, seed=recipe.training.seed))
    batches = []
    for at in range(0, len(order), size):
        chosen = order[at : at + size]
        if len(chosen) < size and train.rows > len(lengths):
            continue  # short only because the sample is
        rows = [lengths[index] for index in chosen]
        supervised = answers * sum(train.supervised[index] for index in chosen)
        alone = rows * answers if train.texts is None else [each for index in chosen for each in train.texts[index]]
        tokens, pairs = answers * len(rows) * max(rows), len(alone) * max(alone) ** 2
        if computed_by_hand(recipe):
            # What all prompts begin with is computed once, and so is a prompt with several answers.
            answered = sum(train.answers[index] for index in chosen)
            again = (1 - 1 / train.rows_a_prompt) * sum(train.prompts[index] - train.shared for index in chosen)
            tokens = round(sum(rows) + (answers - 1) * answered - (len(rows) - 1) * train.shared - again)
            if answers > 1:
                both = [(train.prompts[index], train.answers[index]) for index in chosen]
                pairs = sum(prompt**2 + answers * own * (prompt + own) for prompt, own in both)
        batches.append(Batch(len(alone), tokens, pairs, max(alone), supervised))
    return batches


def training_seconds(
    recipe: Recipe,
    config: Any,
    machine: Speeds,
    count: ParameterCount,
    train: Lengths,
    batches: Sequence[Batch],
    eval_rows: int,
) -> float:
    """Of all steps, and of the validation loss on `eval_rows` rows as often as it is measured.

    A way may have to read all rows before the first step, or a batch once more in each.
    """
    way, answer = recipe.way, _read_s(config, machine, batches)
    learned = sum(_step_s(recipe, config, machine, batch) for batch in batches)
    read = way.more_passes * answer * sum(batch.rows for batch in batches)
    all_steps = steps(recipe, train.rows)
    a_pass = (learned + read) / max(1, len(batches)) + _sampling_s(recipe, config, machine, batches)
    a_step = a_pass * recipe.training.gradient_accumulation + count.trainable * machine.update
    seconds = all_steps * a_step + way.passes_before * way.answers_a_row * (train.rows + eval_rows) * answer
    written = 12.0 * min(all_steps, checkpoints(recipe))  # weights and two moments
    if eval_rows and batches:
        shared = max(1, round(eval_rows / train.texts_a_row))
        times = math.ceil(all_steps / eval_steps(recipe, train.rows, shared))
        a_row = way.answers_a_row * (1 + way.more_passes) * answer
        a_row += train.answer * _decoded_s(config, machine) if way.sampling else 0.0  # it is answered
        seconds += times * eval_rows * a_row
        written += 4.0 * times if recipe.training.keep == "best" else 0.0  # at most: whenever it is a new best
    return seconds + count.trainable * written / _WRITTEN_A_SECOND


def at_rank(machine: Speeds, recipe: Recipe, count: ParameterCount) -> Speeds:
    """The speeds with an adapter of the recipe's rank, by operations: four a frozen weight, six a trained one."""
    if recipe.strategy.whole:
        return machine
    rank = getattr(recipe.strategy, "rank", MEASURED_RANK)
    frozen, measured = count.total - count.trainable, count.trainable * MEASURED_RANK / rank
    share = (4 * frozen + 6 * count.trainable) / (4 * frozen + 6 * measured)
    return replace(machine, train_token=machine.train_token * share)


def trained_layers(recipe: Recipe, config: Any) -> int:
    """How many of the base's layers gradients go through."""
    layers = int(config.num_hidden_layers)
    return min(layers, recipe.strategy.blocks_trained(recipe.kind, layers))


def computed_by_hand(recipe: Recipe) -> bool:
    """Whether the layers are computed by `models/fast/llama.py`, as far as a recipe says."""
    from models.loading import device

    settings = getattr(recipe.strategy, "dropout", 0) or getattr(recipe.strategy, "dora", False)
    by_modules = settings or recipe.training.gradient_checkpointing
    return recipe.way.by_hand and not by_modules and device().type == "cpu"


def _step_s(recipe: Recipe, config: Any, machine: Speeds, batch: Batch) -> float:
    """Forward and backward of a batch: the layers before the first that learns only go forward."""
    learned = trained_layers(recipe, config)
    forward = machine.pass_batch + batch.tokens * machine.pass_token + batch.pairs * machine.pass_pair
    layer = machine.train_batch + batch.tokens * machine.train_token + batch.pairs * machine.train_pair
    if recipe.training.gradient_checkpointing:
        layer += forward
    frozen = int(config.num_hidden_layers) - learned
    return learned * layer + frozen * forward + machine.head_batch + batch.supervised * machine.head_train


def _sampling_s(recipe: Recipe, config: Any, machine: Speeds, batches: Sequence[Batch]) -> float:
    """Of a batch's answers, before they are learned from: they are written, and read without gradients."""
    sampling = recipe.way.sampling
    if sampling is None or not batches:
        return 0.0
    answers = sum(batch.supervised for batch in batches) / len(batches)
    rows = sum(batch.rows for batch in batches) / len(batches)
    read = sampling.reads * rows * _read_s(config, machine, batches)
    return (answers * _decoded_s(config, machine) + read) / sampling.passes


def _decoded_s(config: Any, machine: Speeds) -> float:
    """Of a token of an answer that is written beside others."""
    return int(config.num_hidden_layers) * machine.decode_row + machine.head_decode


def _read_s(config: Any, machine: Speeds, batches: Sequence[Batch]) -> float:
    """Of a row whose loss is measured: two batches at a time go forward together."""
    rows = sum(batch.rows for batch in batches)
    tokens, pairs = sum(batch.tokens for batch in batches), sum(batch.pairs for batch in batches)
    layer = len(batches) / 2 * machine.pass_batch + tokens * machine.pass_token + pairs * machine.pass_pair
    head = sum(batch.supervised for batch in batches) * machine.head_train / 2
    return (int(config.num_hidden_layers) * layer + head) / max(1, rows)
