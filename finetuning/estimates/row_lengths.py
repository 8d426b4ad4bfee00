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
from models.sources import in_reach

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

    from data.tasks import Task

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
    """Of the same rows, of a pair the mean of both; zeros for a classifier, which has none."""
    shared: int
    """Tokens that all prompts begin with."""
    learned: list[int] | None = None
    """Tokens of each that are learned; None where these are its answer."""
    texts: list[list[int]] | None = None
    """The lengths of the texts that share each row; None where none do."""
    rows_a_prompt: float = 1.0
    """Rows that go through the model together because their prompt is the same, of which it is computed once."""

    @property
    def whole(self) -> list[int]:
        """Prompt and answer together."""
        return [prompt + answer for prompt, answer in zip(self.prompts, self.answers, strict=True)]

    @property
    def texts_a_row(self) -> float:
        """How many rows of the source make one that is trained on."""
        return sum(map(len, self.texts)) / len(self.texts) if self.texts else 1.0

    @property
    def supervised(self) -> list[int]:
        """Tokens of each that are learned."""
        return self.answers if self.learned is None else self.learned

    @property
    def answer(self) -> float:
        """The mean answer's."""
        return sum(self.answers) / max(1, len(self.answers))


def lengths_of(
    recipe: Recipe, splits: DatasetDict | Mapping[str, Any], task: Task | None = None
) -> tuple[Lengths, Lengths]:
    """Of the training and of the test split; `task` is theirs, if their labels have come out of them.

    Where answers have thumbs, the test rows are those with a good one, with which what is written is compared.
    """
    from eval.preferences import good_answers
    from models.loading import load_tokenizer

    found = in_reach(recipe.model.base)
    tokenizer = load_tokenizer(found) if found else None
    own = task or recipe.task_definition
    train, test = splits["train"], good_answers(splits["test"], own)
    return _packed(recipe, _lengths(recipe, train, tokenizer, own)), _lengths(recipe, test, tokenizer, own)


def _packed(recipe: Recipe, found: Lengths) -> Lengths:
    """The rows that are trained on, where those of the source share some."""
    if not recipe.way.shares_rows:
        return found
    texts = recipe.way.packed(found.whole, recipe.training.max_tokens)
    whole = list(map(sum, texts))
    learned = [sum(length - 1 for length in each) for each in texts]
    count = round(found.rows * len(texts) / max(1, len(found.prompts)))
    return Lengths(max(1, count), [0] * len(texts), whole, 0, learned, texts)


def _lengths(recipe: Recipe, rows: Dataset, tokenizer: Any, task: Task) -> Lengths:
    chosen = sorted(random.Random(recipe.training.seed).sample(range(len(rows)), min(_SAMPLE, len(rows))))
    some: list[dict[str, Any]] = [dict(row) for row in rows.select(chosen)]
    way = recipe.way
    together = len(rows) / max(1, len({task.text_of(row) for row in rows})) if way.together else 1.0
    if tokenizer is not None:
        learned = way.learned(some, tokenizer, task)
        return Lengths(len(rows), *way.lengths(some, tokenizer, task), learned, rows_a_prompt=together)
    given = [len(_guessed(task.text_of(row))) for row in some]
    if not task.target_column:
        return Lengths(len(rows), [0] * len(given), [tokens + 1 for tokens in given], 0)
    reads_prompts = recipe.kind != "classifier"
    around = _PROMPT_TOKENS if reads_prompts else 0
    answers = [len(_guessed(task.references(row)[0])) + 1 if reads_prompts else 0 for row in some]
    return Lengths(len(rows), [around + tokens for tokens in given], answers, 0, rows_a_prompt=together)


def _guessed(text: str) -> Sequence[int]:
    return range(int(len(text) / _CHARACTERS_A_TOKEN) + 1)
