"""How long a recipe's rows are in tokens: a seeded sample of each split, as training and evaluation will see them.

Needs the base's tokenizer, and no weights. Where the base is not on this machine yet, tokens are guessed from
characters.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from finetuning.recipe import Recipe
from models.prefix import shared_start
from models.prompting import Prompter
from models.sources import in_reach

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

_SAMPLE = 512
"""Rows of a split whose tokens are counted."""
_CHARACTERS_A_TOKEN = 4.0
_PROMPT_TOKENS = 40
"""What a prompt has around a row's text, where no tokenizer can say."""


@dataclass(frozen=True)
class Lengths:
    """Tokens of a sample of one split's rows."""

    rows: int
    """Of the whole split."""
    prompts: list[int]
    """Of each sampled row."""
    answers: list[int]
    """Of the same rows; zeros for a classifier, which has none."""
    shared: int
    """Tokens that all prompts begin with."""

    @property
    def whole(self) -> list[int]:
        """Prompt and answer together."""
        return [prompt + answer for prompt, answer in zip(self.prompts, self.answers, strict=True)]

    @property
    def answer(self) -> float:
        """The mean answer's."""
        return sum(self.answers) / max(1, len(self.answers))


def lengths_of(recipe: Recipe, splits: DatasetDict | Mapping[str, Any]) -> tuple[Lengths, Lengths]:
    """Of the training and of the test split."""
    from models.loading import load_tokenizer

    found = in_reach(recipe.model.base)
    tokenizer = load_tokenizer(found) if found else None
    return _lengths(recipe, splits["train"], tokenizer), _lengths(recipe, splits["test"], tokenizer)


def _lengths(recipe: Recipe, rows: Dataset, tokenizer: Any) -> Lengths:
    chosen = sorted(random.Random(recipe.training.seed).sample(range(len(rows)), min(_SAMPLE, len(rows))))
    task = recipe.task_definition
    some: list[dict[str, Any]] = [dict(row) for row in rows.select(chosen)]
    texts = [str(row[task.input_column]) for row in some]
    if recipe.kind == "classifier":
        prompts = tokenizer(texts)["input_ids"] if tokenizer and texts else [_guessed(text) for text in texts]
        return Lengths(len(rows), [len(ids) for ids in prompts], [0] * len(texts), 0)
    if tokenizer is None:
        counts = [_PROMPT_TOKENS + len(_guessed(text)) for text in texts]
        return Lengths(len(rows), counts, [len(_guessed(task.references(row)[0])) + 1 for row in some], 0)
    encoded = Prompter(tokenizer, task).encode_rows(some)
    starts = [example.completion_start for example in encoded]
    shared = shared_start([one.input_ids[: one.completion_start] for one in encoded]) if encoded else []
    answers = [len(example.input_ids) - example.completion_start for example in encoded]
    return Lengths(len(rows), starts, answers, len(shared))


def _guessed(text: str) -> Sequence[int]:
    return range(int(len(text) / _CHARACTERS_A_TOKEN) + 1)
