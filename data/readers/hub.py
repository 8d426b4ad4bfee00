"""A data set on the Hugging Face Hub → one table a split, its class ids written as their names.

Knows `datasets` and the Hub, and no task. The Hub is probed first (`plumbing.network`).
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.limits import MAX_CELLS, MAX_DOWNLOAD_BYTES, MAX_FILE_BYTES, MAX_ROWS
from data.readers.cells import TEXTS_KEYS, cell_of
from data.readers.conversations import Refused, keys_of_turn
from data.readers.parquet import length
from data.readers.table import Table, check_columns
from data.splits import SPLIT_OF
from plumbing import doors
from plumbing.errors import DataError
from plumbing.network import hub_reachable
from plumbing.printable import printable

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
CONFIGURATION = re.compile(r"[\w.+-]{0,200}", re.ASCII)


def read_hub(name: str) -> dict[str, Table]:
    """Returns the splits of `name` (OWNER/NAME or OWNER/NAME:CONFIG), called train, validation and test.

    A data set with one split of any name gives it as train. Raises DataError if it cannot be reached or read.
    """
    return tables_of(load(name), name)


def load(name: str) -> DatasetDict:
    """Returns the data set as the Hub or its cache has it. Raises DataError that says what to do."""
    import datasets

    repo, config = checked_name(name)
    reachable = hub_reachable()
    try:
        with _without_network(not reachable):
            # The library runs no code that comes with a data set: since its version 4 it cannot.
            builder = datasets.load_dataset_builder(repo, config or None)
            _check_size(builder, name)
            builder.download_and_prepare()
            loaded = builder.as_dataset()
    except DataError:
        raise
    except Exception as error:  # a dozen kinds, from three libraries
        raise _explained(error, name, reachable) from error
    if not isinstance(loaded, datasets.DatasetDict):
        raise DataError("The data set has no splits that can be downloaded", got=name, fix="Choose another one.")
    return loaded


def checked_name(name: str) -> tuple[str, str]:
    """Returns the repository and the configuration in `name`, OWNER/NAME or OWNER/NAME:CONFIG.

    Raises DataError for anything else, and where a folder here has that name: it would be read in place of the
    data set.
    """
    repo, _, config = name.partition(":")
    if not REPOSITORY.fullmatch(repo) or ".." in repo or not CONFIGURATION.fullmatch(config):
        raise DataError("This is not the name of a data set on the Hub", got=name, fix="Write hub:OWNER/NAME.")
    if Path(repo).exists():
        raise DataError(
            "A folder here has the name of the data set",
            got=name,
            fix=f"Start from another folder, or use {doors.own_file()}.",
        )
    return repo, config


def _check_size(builder: Any, name: str) -> None:
    """Raises DataError if the files of the data set are more than we download."""
    from fsspec.core import url_to_fs

    size = builder.info.download_size or 0
    for files in (builder.config.data_files or {}).values():
        for url in files:
            system, path = url_to_fs(url)
            size += system.size(path) or 0
            if size > MAX_DOWNLOAD_BYTES:
                break
    if size > MAX_DOWNLOAD_BYTES:
        raise DataError(
            f"The files of the data set take more than {MAX_DOWNLOAD_BYTES // 1_000_000_000} GB",
            got=name,
            fix="Choose a smaller one, or a smaller configuration of it: hub:OWNER/NAME:CONFIG.",
        )


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
    chance = random.Random(0)
    numbers = list(range(len(rows)))
    # Pictures and sounds would be decoded, and other nested values held, for nothing.
    columns = check_columns([name for name, feature in rows.features.items() if _is_read(feature)])
    rows = rows.select_columns(list(columns))
    most = min(MAX_ROWS, MAX_CELLS // max(1, len(columns)))
    if len(rows) > most:
        numbers = sorted(chance.sample(numbers, most))
        notes.append(f"Of {len(rows):,} rows a fixed sample of {most:,} is used.")
        rows = rows.select(numbers)
    class_names = {
        column: feature.names
        for column, feature in rows.features.items()
        if isinstance(feature, datasets.ClassLabel)
    }
    kept: list[tuple[float, int, int, dict[str, Any]]] = []  # a chance of its own, characters, number, values
    chars, share = 0, 1.0
    for number, row in zip(numbers, rows, strict=True):
        if (its_chance := chance.random()) >= share:
            continue
        row = {column: _cell(value) for column, value in row.items()}
        size = sum(length(value) for value in row.values())
        chars += size
        for column, names in class_names.items():
            row[column] = _class_name(row[column], names)
        kept.append((its_chance, size, number + 1, row))
        while chars > MAX_FILE_BYTES and len(kept) > 1:  # of all rows fewer: the first ones may be of one label
            share /= 2
            kept = [each for each in kept if each[0] < share]
            chars = sum(each[1] for each in kept)
    if len(kept) < len(numbers):
        notes.append(f"The texts are long: of {len(numbers):,} rows a fixed sample of {len(kept):,} is used.")
    classes = {column: tuple(names) for column, names in class_names.items()}
    rows_read = tuple((number, row) for _, _, number, row in kept)
    return Table(columns, rows_read, notes=tuple(notes), classes=classes)


def _is_read(feature: Any) -> bool:
    """Whether a column holds single values, lists of texts, conversations or answers; see `data.readers.cells`."""
    import datasets

    if isinstance(feature, datasets.List):
        inner = feature.feature
        pairs = isinstance(inner, datasets.List) and _is_text(inner.feature)
        return pairs or _is_text(inner) or (isinstance(inner, dict) and keys_of_turn(list(inner)) is not None)
    if isinstance(feature, dict):
        return any(key in feature for key in TEXTS_KEYS) or keys_of_turn(list(feature)) is not None
    return isinstance(feature, (datasets.Value, datasets.ClassLabel)) and "binary" not in feature.dtype


def _is_text(feature: Any) -> bool:
    import datasets

    return isinstance(feature, datasets.Value) and feature.dtype in ("string", "large_string")


def _cell(value: Any) -> Any:
    if not isinstance(value, (list, dict)):
        return value
    try:
        return cell_of(value)
    except Refused:
        return [None]


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
            fix=f"Connect to the network, or use {doors.own_file()} or the bundled examples.",
        )
    said = printable(" ".join(str(error).split()))[:300] or type(error).__name__
    if "onfig name is missing" in said:
        return DataError(
            f"The data set has several configurations: {said}", got=name, fix=f"Write hub:{name}:CONFIG."
        )
    return DataError(
        f"The Hub did not give this data set: {said}",
        got=name,
        fix="Check the name at huggingface.co/datasets; if it is gated, accept its terms and set HF_TOKEN.",
    )
