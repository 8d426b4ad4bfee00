"""A folder → its splits: what `datasets.save_to_disk` wrote, or files that are called train, validation, test.

The limits of one file hold for all files of the folder together.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from data.limits import MAX_FILE_BYTES
from data.problems import Problem
from data.readers.arrow_files import read_arrow
from data.readers.class_names import DESCRIPTION, names_beside
from data.readers.files import is_readable, plain_content, read_table
from data.readers.parquet import length
from data.readers.table import FEWER, Table, check_columns, check_size
from data.splits import SPLIT_OF
from plumbing.errors import DataError
from plumbing.printable import one_line

MAX_FILES = 1_000
STATE = "state.json"
"""What `save_to_disk` writes into the folder of each split."""
ALL_SPLITS = "dataset_dict.json"
"""What it writes beside the folders of several splits."""
ABOUT = frozenset({DESCRIPTION, "dataset_infos.json", ALL_SPLITS, STATE})
"""What stands beside rows and holds none."""
IN_A_NAME = re.compile(rf"(?:^|[^a-z])({'|'.join(sorted(SPLIT_OF, key=len, reverse=True))})(?:[^a-z]|$)")


def is_folder(path: Path) -> bool:
    """Returns whether `path` is a folder; what cannot be looked at is none."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def read_folder(folder: Path, *, header_names: Collection[str] = ()) -> dict[str, Table]:
    """Returns split → table; one split is called train. See `data.readers.files.read_table` for files.

    Raises DataError if there is nothing to read, or more than there may be.
    """
    saved, files = _found(folder)
    if saved:
        splits = {split: sorted(place.glob("data-*.arrow")) for split, place in saved.items()}
    else:
        splits = _by_name(files)
    if "train" not in splits or not splits["train"]:
        raise _not_data(folder, files)
    _check_size(path for paths in splits.values() for path in paths)
    budget = _Budget()
    return {
        split: _joined([budget.spend(_read(path, header_names)) for path in paths])
        for split, paths in splits.items()
        if paths
    }


def _found(folder: Path) -> tuple[dict[str, Path], list[Path]]:
    """Folders that `save_to_disk` wrote, by split; and files that can be read, here or in `data/`."""
    try:
        entries = sorted(folder.iterdir())[:MAX_FILES]
        if (folder / STATE).is_file():
            return {"train": folder}, []
        inner = [entry for entry in entries if (entry / STATE).is_file()]
        if (folder / "data").is_dir():
            entries += sorted((folder / "data").iterdir())[:MAX_FILES]
    except OSError as error:
        raise DataError(
            f"The folder cannot be read: {error.strerror}", got=str(folder), fix="Choose another."
        ) from None
    if len(inner) == 1 and (folder / ALL_SPLITS).is_file():
        return {"train": inner[0]}, []
    saved = {SPLIT_OF[place.name.casefold()]: place for place in inner if place.name.casefold() in SPLIT_OF}
    files = [entry for entry in entries if is_readable(entry) and entry.name not in ABOUT and entry.is_file()]
    return saved, files


def _by_name(files: list[Path]) -> dict[str, list[Path]]:
    if len(files) == 1:
        return {"train": files}
    splits: dict[str, list[Path]] = {}
    for path in files:
        found = IN_A_NAME.search(path.name.casefold())
        if found:
            splits.setdefault(SPLIT_OF[found[1]], []).append(path)
    return splits


def _not_data(folder: Path, files: list[Path]) -> DataError:
    return DataError(
        "The folder holds neither one file of examples nor one called train",
        got=[one_line(path.name) for path in files] or str(folder),
        fix=f"Name one of its files, file:{folder}/NAME, or call them train and test.",
    )


def _read(path: Path, header_names: Collection[str]) -> Table:
    if path.suffix == ".arrow":
        return read_arrow(plain_content(path), path.name, names_beside(path))
    return read_table(path, header_names=header_names)


def _check_size(paths: Iterable[Path]) -> None:
    total = sum(path.stat().st_size for path in paths)
    if total > MAX_FILE_BYTES:
        got = f"{total // 1_000_000:,} MB"
        raise DataError(f"The folder holds more than {MAX_FILE_BYTES // 1_000_000} MB", got=got, fix=FEWER)


class _Budget:
    """What may still be read of the folder."""

    def __init__(self) -> None:
        self._rows = self._cells = self._chars = 0

    def spend(self, table: Table) -> Table:
        self._rows += len(table.rows)
        self._cells += len(table.rows) * len(table.columns)
        self._chars += sum(length(cell) for _, row in table.rows for cell in row.values())
        check_size(rows=self._rows, cells=self._cells)
        if self._chars > MAX_FILE_BYTES:
            raise DataError(f"The folder holds more than {MAX_FILE_BYTES // 1_000_000} MB of text", fix=FEWER)
        return table


def _joined(tables: list[Table]) -> Table:
    """The tables of one split one after the other; rows are numbered through."""
    if len(tables) == 1:
        return tables[0]
    columns = check_columns(list(dict.fromkeys(name for table in tables for name in table.columns)))
    rows: list[tuple[int, dict[str, Any]]] = []
    problems: list[Problem] = []
    before = 0
    for table in tables:
        rows += [(before + number, row) for number, row in table.rows]
        problems += [replace(problem, row=before + (problem.row or 0)) for problem in table.problems]
        before += len(table.rows) + len(table.problems)
    notes = dict.fromkeys(note for table in tables for note in table.notes)
    return Table(columns, tuple(rows), tuple(problems), tuple(notes))
