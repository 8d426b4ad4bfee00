"""A reward model: one number for an answer to a prompt, the higher the better. It has no meaning by itself.

Prompt and answer are the tokens that training a language model on that answer would see (`models.prompting`), and
the number is read at the last of them that is not the tokenizer's padding, as transformers and TRL do: where the
token that ends an answer is the padding's, as SmolLM2's is, at the last of the answer itself. Such tokens are left
off the end here, so that a batch, a row alone and layers by hand read the same place.

Shapes: B rows, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.tasks import Task
from data.tasks.task import REJECTED
from models.adapters import BaseOrigin
from models.batches import each_row, like_lengths
from models.loading import keep_freed_memory, load_tokenizer
from models.pair import Pair, open_pair
from models.prompting import Input, PromptContract, Prompter, task_of
from models.resolved import Progress, ResolvedModel
from models.sources import resolve
from plumbing.errors import ModelError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from models.fast.llama import LlamaLayers

BATCH_ROWS = 32
"""Answers of a batch, at most, where nobody says."""
_BATCH_TOKENS = 8192
"""Of a batch of several rows, at most."""

OnBatch = Callable[[int, int], None]
"""Called with the number of rows done and of all."""


def rows_of_answers(prompter: Prompter, inputs: Sequence[Input], answers: Sequence[str]) -> list[list[int]]:
    """Each answer behind the prompt of its input, as tokens, up to where its number is read."""
    task, pad = prompter.task, prompter.tokenizer.pad_token_id
    rows = [
        {task.input_column: given, task.target_column: answer}
        for given, answer in zip(inputs, answers, strict=True)
    ]
    return [_without_padding(example.input_ids, pad) for example in prompter.encode_rows(rows)]


def rows_of_pairs(prompter: Prompter, rows: Iterable[Mapping[str, Any]]) -> tuple[list[list[int]], list[list[int]]]:
    """The better and the worse answer of each row, as tokens.

    Args:
        prompter: of a task whose target is the better answer.
        rows: with its columns, and with the worse answer.
    """
    task = prompter.task
    read = list(rows)
    inputs = [task.input_of(row) for row in read]
    better = [task.references(row)[0] for row in read]
    worse = [str(row[REJECTED]) for row in read]
    return rows_of_answers(prompter, inputs, better), rows_of_answers(prompter, inputs, worse)


def _without_padding(ids: list[int], pad: int | None) -> list[int]:
    end = len(ids)
    while end > 1 and ids[end - 1] == pad:
        end -= 1
    return ids[:end]


def rewards_of_rows(
    model: Any,
    rows: Sequence[list[int]],
    *,
    pad: int,
    layers: LlamaLayers | None = None,
    batch_size: int = BATCH_ROWS,
    on_batch: OnBatch | None = None,
) -> list[float]:
    """The number that `model` gives each row, in evaluation mode.

    Args:
        model: of kind `reward`, maybe with an adapter.
        rows: as `rows_of_answers` gives them.
        pad: the token that fills batches up.
        layers: the model's by hand, where they compute what it does now.
        batch_size: rows a batch, at most.
        on_batch: told how far it is.
    """
    import torch

    lengths = [len(row) for row in rows]
    batches = _by_prompt(rows, batch_size) if layers else like_lengths(lengths, batch_size, _BATCH_TOKENS)

    def rewards(numbers: list[int]) -> Iterable[float]:
        some = [rows[number] for number in numbers]
        with torch.inference_mode():
            given = _by_hand(model, layers, some) if layers else _by_modules(model, some, pad)
        return given.float().tolist()

    return each_row(batches, rewards, len(rows), on_batch)


def _by_prompt(rows: Sequence[list[int]], batch_size: int) -> list[list[int]]:
    """Numbers of rows a batch: answers to one prompt stay together as far as there is room."""
    from models.fast.ends import groups_of

    batches: list[list[int]] = []
    held = 0
    for group in groups_of(rows):
        for number in group:
            is_full = held + len(rows[number]) > _BATCH_TOKENS
            if not batches or is_full or len(batches[-1]) == batch_size:
                batches.append([])
                held = 0
            batches[-1].append(number)
            held += len(rows[number])
    return batches


def _by_hand(model: Any, layers: LlamaLayers, rows: list[list[int]]) -> torch.Tensor:
    from models.fast.ends import ends_of_rows

    bare = model.get_base_model() if hasattr(model, "get_base_model") else model
    rewards: torch.Tensor = bare.score(ends_of_rows(layers, rows))[:, 0]
    return rewards


def _by_modules(model: Any, rows: list[list[int]], pad: int) -> torch.Tensor:
    import torch

    width = max(map(len, rows))
    ids = torch.tensor([row + [pad] * (width - len(row)) for row in rows], device=model.device)
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=model.device)
    rewards: torch.Tensor = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, 0]
    return rewards


def score_answers(
    pair: Pair,
    inputs: Sequence[Input],
    answers: Sequence[str],
    *,
    batch_size: int = BATCH_ROWS,
    on_batch: OnBatch | None = None,
) -> list[float]:
    """The tuned side's reward of each answer to the input beside it.

    Args:
        pair: of kind `reward`. Its base side has the same layers under a head of random weights: nobody asks it.
        inputs: what is answered.
        answers: one for each.
        batch_size: answers a batch, at most.
        on_batch: told how far it is.
    """
    assert pair.prompter is not None
    keep_freed_memory()
    rows = rows_of_answers(pair.prompter, inputs, answers)
    pad = int(pair.tokenizer.pad_token_id)
    with pair.side(True) as model:
        layers = pair.layers_of(True)
        return rewards_of_rows(model, rows, pad=pad, layers=layers, batch_size=batch_size, on_batch=on_batch)


@dataclass
class RewardModel:
    """A reward model by itself, ready to score."""

    model: Any
    """A plain model; with its adapter beside it where adding that up would round it."""
    tokenizer: PreTrainedTokenizerBase
    prompter: Prompter
    base: ResolvedModel
    weights_sha256: str
    """Of what was tuned."""

    @property
    def task(self) -> Task:
        return self.prompter.task

    def score(
        self, inputs: Sequence[Input], answers: Sequence[str], *, on_batch: OnBatch | None = None
    ) -> list[float]:
        """The reward of each of `answers` to the input beside it. Several answers to one input cost little more."""
        rows = rows_of_answers(self.prompter, inputs, answers)
        pad = int(self.tokenizer.pad_token_id)
        return rewards_of_rows(self.model, rows, pad=pad, layers=self._layers(), on_batch=on_batch)

    def _layers(self) -> LlamaLayers | None:
        from models.fast.llama import LlamaLayers
        from models.fast.supports import supports

        bare = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        return LlamaLayers(bare) if supports(bare) else None


def load_reward(
    folder: Path,
    *,
    task: Task | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    base: str | None = None,
    progress: Progress | None = None,
) -> RewardModel:
    """The reward model that was tuned in `folder`, proven to act.

    An adapter is added to its base's weights where they are float32. In 4 bits or bfloat16 the sum would be rounded
    to those, and the adapter, whose changes are smaller than that, stays beside them.

    Args:
        folder: of the adapter or the whole model, as a run holds it.
        task: that its numbers are wanted for; one of another task is refused.
        tokenizer: of the model that is to learn by it; one with another vocabulary is refused.
        base: another place for its base model.
        progress: told about a base model that has to be fetched first.

    Raises:
        ModelError: it is no reward model, not for this task or tokenizer, or not safe to load.
    """
    require_reward(folder, task=task, tokenizer=tokenizer, base=base, progress=progress)
    pair = open_pair(folder, base=base, progress=progress)
    assert pair.prompter is not None
    model = pair.model
    if not pair.is_whole and pair.precision == "float32":
        model = pair.model.merge_and_unload()
    return RewardModel(model.eval(), pair.tokenizer, pair.prompter, pair.base, pair.adapter_sha256)


def require_reward(
    folder: Path,
    *,
    task: Task | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    base: str | None = None,
    progress: Progress | None = None,
) -> None:
    """Refuse what `load_reward` would refuse, before any weights are loaded.

    Raises:
        ModelError: says what does not fit.
    """
    origin = BaseOrigin.load(folder)
    if origin.kind != "reward":
        raise ModelError(
            "This is not a reward model, and gives no rewards",
            got=f"a {origin.kind} model in {folder}",
            fix="Give a run that was trained with way: reward.",
        )
    own = task_of(folder, PromptContract.load(folder))
    if task is not None and (own.name, own.kind, own.instruction) != (task.name, task.kind, task.instruction):
        its, wanted = (f"{one.name} ({one.instruction[:100]})" for one in (own, task))
        raise ModelError(
            "This reward model was trained on another task: its numbers say nothing of this one",
            got=f"{its} in {folder}, and here it is {wanted}",
            fix="Give a reward model of this task, with the same instruction.",
        )
    if tokenizer is None:
        return
    reads = load_tokenizer(resolve(base or origin.name, progress=progress))
    if reads.get_vocab() != tokenizer.get_vocab():
        raise ModelError(
            "This reward model reads other tokens than the model that is to learn by it",
            got=f"it was trained on {origin.name}, {len(reads):,} tokens; here are {len(tokenizer):,}",
            fix="Train a reward model on the same base, or on one that has its tokenizer.",
        )
