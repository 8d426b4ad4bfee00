"""Base against tuned for any adapter on any test set: opens the pair and the rows, and lets `eval` compare."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import ModelError
from data.sources import open_source, shown_spec
from data.tasks import TASKS
from eval.harness import Result, compare
from eval.lm_eval_task import export_task
from models.adapters import BaseOrigin
from models.loading import load_tokenizer
from models.pair import open_pair
from models.prompting import PromptContract, Prompter
from models.sources import Progress, resolve

if TYPE_CHECKING:
    from datasets import Dataset

CORPUS_OF_TASK = {"sentiment": "corpus:reviews", "dialogue": "corpus:dialogues"}


def evaluate_adapter(
    adapter: Path,
    source: str | None = None,
    *,
    test: Dataset | None = None,
    train: Dataset | None = None,
    test_rows: int | None = None,
    columns: Mapping[str, str] | None = None,
    labels: Mapping[str, str | None] | None = None,
    few_shot: int = 0,
    forgetting: bool = False,
    batch_size: int | None = None,
    max_new_tokens: int = 64,
    on_progress: Progress | None = None,
) -> Result:
    """Compare base and tuned on the test split of `source` (all rows of a file), or on the rows given as `test`.

    Args:
        adapter: the adapter's folder.
        source: a data source; left out, the bundled corpus of the adapter's task.
        test: rows that are open already; `source` then only names them.
        train: the training rows that belong to `test`, where it is given.
        test_rows: use only the first this many rows.
        columns: see `data.sources.open_source`.
        labels: see `data.sources.open_source`.
        few_shot: see `eval.harness.compare`.
        forgetting: see `eval.harness.compare`.
        batch_size: rows a batch.
        max_new_tokens: where a generated answer is cut off.
        on_progress: told what is being done, and how far it is; a base model that has to be fetched first, too.

    Raises:
        UserError: the adapter, the base model or the data cannot be used.
    """
    task = TASKS[PromptContract.load(adapter).task]
    corpus = CORPUS_OF_TASK[task.name]
    source = source or corpus
    if test is None:
        # Given as the test of another source, all rows of a file are test rows: none is set aside for training.
        other = None if source == corpus else source
        splits = open_source(corpus, task, test=other, columns=columns, labels=labels).splits
        train, test = splits["train"], splits["test"]
    if test_rows and test_rows < len(test):
        test = test.select(range(test_rows))
    pair = open_pair(adapter, progress=on_progress)
    return compare(
        pair,
        test,
        train=train,
        few_shot=few_shot,
        forgetting=forgetting,
        data_spec=shown_spec(source),
        batch_size=batch_size,
        max_new_tokens=max_new_tokens,
        on_progress=on_progress,
    )


def export_adapter_task(
    adapter: Path,
    folder: Path,
    source: str | None = None,
    *,
    name: str | None = None,
    test_rows: int | None = None,
    max_new_tokens: int = 64,
    on_progress: Progress | None = None,
) -> str:
    """Write the rows that `evaluate_adapter` would compare on as a task of lm-eval, and return its name.

    See there and in `eval.lm_eval_task.export_task`. Loads no weights.
    """
    origin, contract = BaseOrigin.load(adapter), PromptContract.load(adapter)
    if origin.kind != "causal":
        raise ModelError("lm-eval compares language models only", got=origin.kind, fix="Choose another run.")
    task = TASKS[contract.task]
    corpus = CORPUS_OF_TASK[task.name]
    source = source or corpus
    test = open_source(corpus, task, test=None if source == corpus else source).splits["test"]
    if test_rows and test_rows < len(test):
        test = test.select(range(test_rows))
    base = resolve(origin.name, progress=on_progress)
    return export_task(
        Prompter.from_contract(load_tokenizer(base), contract),
        [str(text) for text in test[task.input_column]],
        [task.references(row) for row in test],
        folder,
        base=base,
        adapter=adapter,
        precision=origin.precision,
        name=name,
        max_new_tokens=max_new_tokens,
    )
