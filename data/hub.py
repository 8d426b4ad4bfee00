"""A data set on the Hugging Face Hub → one table a split, its class ids written as their names.

Knows `datasets` and the Hub; nothing about how a table is mapped to a task, apart from the columns of four
well-known data sets. The Hub is probed first (`data.network`).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from data.errors import DataError
from data.files import Table
from data.network import hub_reachable
from data.tasks import Task

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

KNOWN_COLUMNS: dict[str, dict[str, str]] = {
    "stanfordnlp/sst2": {"text": "sentence", "label": "label"},
    "stanfordnlp/imdb": {"text": "text", "label": "label"},
    "knkarthick/dialogsum": {"dialogue": "dialogue", "summary": "summary"},
    "knkarthick/samsum": {"dialogue": "dialogue", "summary": "summary"},
}
"""Repository → task column → its column."""

SPLIT_OF = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
MAX_ROWS = 100_000
"""Of a larger split a fixed sample of this size is taken: more would only be held in memory."""


def read_hub(name: str) -> dict[str, Table]:
    """Returns the splits of `name` (OWNER/NAME or OWNER/NAME:CONFIG), called train, validation and test.

    A data set with one split of any name gives it as train. Raises DataError if it cannot be reached or read.
    """
    return tables_of(load(name), name)


def known_columns(name: str, task: Task) -> dict[str, str]:
    """Returns which columns of a well-known data set are the task's; nothing for any other."""
    known = KNOWN_COLUMNS.get(name, {})
    return known if known.keys() == set(task.columns) else {}


def load(name: str) -> DatasetDict:
    """Returns the data set as the Hub or its cache has it. Raises DataError that says what to do."""
    import datasets

    repo, _, config = name.partition(":")
    if not repo.strip("/") or repo.count("/") > 1:
        raise DataError("This is not the name of a data set on the Hub", got=name, fix="Write hub:OWNER/NAME.")
    reachable = hub_reachable()
    try:
        with _without_network(not reachable):
            loaded = datasets.load_dataset(repo, config or None)
    except Exception as error:  # a dozen kinds, from three libraries
        raise _explained(error, name, reachable) from error
    if not isinstance(loaded, datasets.DatasetDict):
        raise DataError("The data set has no splits that can be downloaded", got=name, fix="Choose another one.")
    return loaded


def tables_of(loaded: DatasetDict, name: str) -> dict[str, Table]:
    """Returns one table for each split that has a use."""
    if len(loaded) == 1:
        return {"train": _table(next(iter(loaded.values())))}
    tables = {SPLIT_OF[split]: _table(rows) for split, rows in loaded.items() if split in SPLIT_OF}
    if "train" not in tables:
        raise DataError(
            f"The data set {name} has no split called train", got=sorted(loaded), fix="Choose another one."
        )
    return tables


def _table(rows: Dataset) -> Table:
    import datasets

    notes = []
    numbers = list(range(len(rows)))
    if len(rows) > MAX_ROWS:
        numbers = sorted(random.Random(0).sample(numbers, MAX_ROWS))
        notes.append(f"Of {len(rows):,} rows a fixed sample of {MAX_ROWS:,} is used.")
        rows = rows.select(numbers)
    class_names = {
        column: feature.names
        for column, feature in rows.features.items()
        if isinstance(feature, datasets.ClassLabel)
    }
    values = []
    for row in rows:
        for column, names in class_names.items():
            row[column] = _class_name(row[column], names)
        values.append(row)
    numbered = tuple((number + 1, row) for number, row in zip(numbers, values, strict=True))
    return Table(tuple(rows.column_names), numbered, notes=tuple(notes))


def _class_name(value: Any, names: list[str]) -> str | None:
    """The name of a class id; None for -1, which is how the Hub writes that the label is kept secret."""
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else None


@contextmanager
def _without_network(wanted: bool) -> Iterator[None]:
    """While it lasts, `datasets` looks in its cache only, as under HF_HUB_OFFLINE=1."""
    import datasets

    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = before or wanted
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before


def _explained(error: Exception, name: str, reachable: bool) -> DataError:
    if not reachable:
        return DataError(
            "The Hub cannot be reached, and the data set is not in its cache",
            got=name,
            fix="Connect to the network, or use file:PATH or a bundled corpus.",
        )
    said = " ".join(str(error).split())[:300] or type(error).__name__
    if "onfig name is missing" in said:
        return DataError(
            f"The data set has several configurations: {said}", got=name, fix=f"Write hub:{name}:CONFIG."
        )
    return DataError(
        f"The Hub did not give this data set: {said}",
        got=name,
        fix="Check the name at huggingface.co/datasets; if it is gated, accept its terms and set HF_TOKEN.",
    )
