"""From a recipe's data settings to rows of tokens, refusing what training would silently spoil.

Runs before any model is loaded: it needs the data and a tokenizer only.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from data.problems import Problem, ProblemsError
from data.samples import sample
from data.sources import Opened, OpenedTest, open_source
from data.tasks import Task
from data.tasks.task import LIKED, REJECTED
from finetuning.recipe import Recipe
from models.prompting import EncodedExample, Prompter
from models.sources import resolve
from models.text_rows import pack_texts
from plumbing import doors
from plumbing.errors import RecipeError

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

_FEW_TEST_ROWS = 100
"""Test rows of labels below which it is said what they can show."""
_ROWS_AT_ONCE = 1000
_PARALLELISM = "TOKENIZERS_PARALLELISM"


def open_data(recipe: Recipe) -> Opened:
    """The recipe's rows as three splits, of which `train_rows` and `test_rows` are samples.

    Raises:
        DataError: the source cannot be read, or its rows cannot be used.
    """
    settings = recipe.data
    opened = open_source(
        settings.source,
        recipe.task_definition,
        test=settings.test,
        columns=settings.columns,
        labels=settings.labels,
        skip_empty=settings.skip_empty,
        besides=recipe.way.besides,
    )
    return sampled(opened, recipe)


def sampled(opened: Opened, recipe: Recipe) -> Opened:
    """The same rows, of which only as many are trained and tested on as the recipe says."""
    settings, task = recipe.data, recipe.task_definition
    splits = type(opened.splits)(opened.splits)
    splits["train"] = sample(splits["train"], settings.train_rows, task, seed=recipe.training.seed)
    splits["test"] = sample(splits["test"], settings.test_rows, task)
    return replace(opened, splits=splits)


def said_of(opened: Opened, findings: Sequence[str]) -> list[str]:
    """What a person should know of the rows before training on them, a sentence or two each."""
    weak = weak_test(opened.splits["test"], opened.task)
    return [*([weak] if weak else []), *findings, *opened.notes, *how_read(opened)]


def how_read(opened: Opened | OpenedTest) -> list[str]:
    """How columns and labels were read, where that was not certain from the start."""
    return [] if opened.spec.startswith("corpus:") else [opened.mapping.reason]


def weak_test(test: Dataset, task: Task) -> str | None:
    """What this test split cannot show, whatever is trained, in a sentence; None where it is strong enough."""
    from eval.statistics import fewest_rows, smallest_difference

    count = len(test)
    rows = "1 test row" if count == 1 else f"{count} test rows"
    if count < fewest_rows():
        return f"No verdict is possible on {rows}, whatever the answers: it takes {fewest_rows()} at least."
    if not task.is_classification:
        return None
    if len(labels := set(test[task.target_column])) == 1:
        return f"Every test row is {labels.pop()}: a model that always says so would have them all right."
    if count < _FEW_TEST_ROWS:
        least = smallest_difference(count)
        return f"On {rows} accuracy has to rise by {least:.2f} or more to be told from chance, mostly."
    return None


def require_positions(recipe: Recipe, limit: int | None) -> None:
    """Raise a `RecipeError` where `training.max_tokens` allows rows longer than the base's `limit` of tokens."""
    if limit is not None and recipe.training.max_tokens > limit:
        raise RecipeError(
            f"{doors.named(doors.MAX_TOKENS)} is {recipe.training.max_tokens:,}, and {recipe.model.base} reads at "
            f"most {limit:,} tokens",
            fix=f"Set {doors.named(doors.MAX_TOKENS)} to {limit} or less.",
        )


def encode_for_causal(rows: Dataset, prompter: Prompter, max_tokens: int, *, limit: int | None = None) -> Dataset:
    """Rows as `input_ids` and `completion_mask` (1 where the loss is taken), five bytes a token.

    Raw texts are packed: their rows hold several, or a piece of one. Some rows at a time, so that little more than
    the tokens is ever in memory.

    Raises:
        ProblemsError: a row is longer than `max_tokens`, so its completion would be cut off.
    """
    import pyarrow as pa
    from datasets import Dataset

    task, numbers, lengths, batches = prompter.task, _numbers(rows), [], []
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        columns = rows[start : start + _ROWS_AT_ONCE]  # column → values
        some = [
            dict(zip(task.columns, row, strict=True)) for row in zip(*map(columns.get, task.columns), strict=True)
        ]
        with _tokenizers_on_all_cores():
            encoded = (
                pack_texts(prompter, [task.text_of(row) for row in some], max_tokens)
                if task.kind == "text"
                else prompter.encode_rows(some)
            )
        batches.append(_as_arrow(encoded))
        lengths += [len(example.input_ids) for example in encoded]
    if task.kind != "text":  # of which none is longer
        _refuse_long_rows(numbers, lengths, max_tokens, task.input_column, limit)
    kinds = {"input_ids": pa.list_(pa.int32()), "completion_mask": pa.list_(pa.int8())}
    return Dataset(pa.Table.from_batches(batches, schema=pa.schema(kinds)))


@contextlib.contextmanager
def _tokenizers_on_all_cores() -> Iterator[None]:
    """Let tokenizers use threads, which a worker's environment forbids, for processes that are forked later."""
    before = os.environ.get(_PARALLELISM)
    os.environ[_PARALLELISM] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_PARALLELISM]
        else:
            os.environ[_PARALLELISM] = before


def _as_arrow(examples: Sequence[EncodedExample]) -> pa.RecordBatch:
    """The columns of `encode_for_causal`, each one array of all the examples' values and where each begins."""
    import numpy as np
    import pyarrow as pa

    begins = np.cumsum([0, *(len(each.input_ids) for each in examples)])
    ids = np.concatenate([np.array(each.input_ids, dtype=np.int32) for each in examples])
    spans = np.array(
        [(at + start, at + end) for at, each in zip(begins, examples, strict=False) for start, end in each.spans]
    )
    # One up where a range begins, one down where it has ended: the running sum is 1 within.
    steps = np.bincount(spans[:, 0], minlength=len(ids) + 1) - np.bincount(spans[:, 1], minlength=len(ids) + 1)
    mask = steps[:-1].cumsum().astype(np.int8)
    places = pa.array(begins, type=pa.int32())
    columns = [pa.ListArray.from_arrays(places, pa.array(values)) for values in (ids, mask)]
    return pa.RecordBatch.from_arrays(columns, names=["input_ids", "completion_mask"])


def encode_pairs(rows: Dataset, prompter: Prompter, max_tokens: int, *, limit: int | None = None) -> Dataset:
    """Rows as `prompt_ids`, `chosen_ids` and `rejected_ids`: the better answer and the worse, each with its end.

    Raises:
        ProblemsError: the prompt and one of the answers are longer than `max_tokens` together.
    """
    return _encode_answers(rows, prompter, ("chosen_ids", "rejected_ids"), max_tokens, limit)


def encode_thumbs(rows: Dataset, prompter: Prompter, max_tokens: int, *, limit: int | None = None) -> Dataset:
    """Rows as `prompt_ids`, `completion_ids` and `label`, whether the answer is a good one; errors as above."""
    encoded = _encode_answers(rows, prompter, ("completion_ids",), max_tokens, limit)
    return encoded.add_column("label", rows[LIKED][:])


def _encode_answers(
    rows: Dataset, prompter: Prompter, names: Sequence[str], max_tokens: int, limit: int | None
) -> Dataset:
    """Rows as `prompt_ids` and an answer under each of `names`: the target, and what was rejected."""
    import pyarrow as pa
    from datasets import Dataset

    task, columns = prompter.task, ("prompt_ids", *names)
    schema = pa.schema({name: pa.list_(pa.int32()) for name in columns})
    batches, lengths = [], []
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        some = rows[start : start + _ROWS_AT_ONCE]  # column → values
        targets = [task.references({task.target_column: each})[0] for each in some[task.target_column]]
        answers = [targets, *([some[REJECTED]] if len(names) > 1 else [])]
        given = [task.input_of({task.input_column: each}) for each in some[task.input_column]]
        with _tokenizers_on_all_cores():
            encoded = prompter.encode_answers(given, *answers)
        lengths += [len(prompt) + max(map(len, sides)) for prompt, *sides in encoded]
        values = dict(zip(columns, zip(*encoded, strict=True), strict=True))
        batches.append(
            pa.RecordBatch.from_pydict({name: list(each) for name, each in values.items()}, schema=schema)
        )
    _refuse_long_rows(_numbers(rows), lengths, max_tokens, task.input_column, limit)
    return Dataset(pa.Table.from_batches(batches, schema=schema))


def encode_for_classifier(
    rows: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    recipe: Recipe,
    task: Task,
    *,
    limit: int | None = None,
) -> Dataset:
    """Rows as `input_ids`, `attention_mask` and the class id in `labels`; errors as for `encode_for_causal`."""
    import pyarrow as pa
    from datasets import Dataset

    tokens = {"input_ids": pa.list_(pa.int32()), "attention_mask": pa.list_(pa.int8())}
    schema = pa.schema(tokens | {"labels": pa.int64()})
    batches, lengths = [], []
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        some = rows[start : start + _ROWS_AT_ONCE]  # column → values
        with _tokenizers_on_all_cores():
            inputs = tokenizer(some[task.input_column], add_special_tokens=True)
        labels = [task.labels.index(label) for label in some[task.target_column]]
        columns = {"input_ids": inputs["input_ids"], "attention_mask": inputs["attention_mask"], "labels": labels}
        batches.append(pa.RecordBatch.from_pydict(columns, schema=schema))
        lengths += [len(ids) for ids in inputs["input_ids"]]
    _refuse_long_rows(_numbers(rows), lengths, recipe.training.max_tokens, task.input_column, limit)
    return Dataset(pa.Table.from_batches(batches, schema=schema))


def token_preview(recipe: Recipe, task: Task, row: dict[str, Any]) -> list[tuple[str, bool]]:
    """The row as the model will see it: every token's text, and whether it is trained on.

    `task` is that of the opened data, whose labels its instruction may list.
    """
    from models.loading import load_tokenizer

    tokenizer = load_tokenizer(resolve(recipe.model.base))
    return recipe.way.preview(row, tokenizer, task)


def _numbers(rows: Dataset) -> Sequence[int]:
    """What a person knows each row by."""
    return rows["row"] if "row" in rows.column_names else range(1, len(rows) + 1)


def _refuse_long_rows(
    numbers: Sequence[int], lengths: Sequence[int], max_tokens: int, column: str, limit: int | None
) -> None:
    """Raise a `ProblemsError` with the rows that are too long; `limit` is what the base reads, if that is known."""

    def remedy(length: int) -> str:
        if limit is None or length <= limit:
            return f"Shorten the text, or raise {doors.named(doors.MAX_TOKENS)}."
        return f"Shorten the text, or leave the row out: the base model reads at most {limit} tokens."

    problems = [
        Problem(
            what=f"{length} tokens, and the longest allowed is {max_tokens}: the answer would be cut off",
            fix=remedy(length),
            row=number,
            column=column,
        )
        for number, length in zip(numbers, lengths, strict=True)
        if length > max_tokens
    ]
    if problems:
        raise ProblemsError(problems, source="The data")
