"""A folder → its splits: what `datasets.save_to_disk` wrote, or files that are called train, validation, test.

The limits of one file hold for all files of the folder together.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from itertools import islice
from pathlib import Path

from data.limits import MAX_FILE_BYTES
from data.readers import raw_text
from data.readers.arrow_files import read_arrow
from data.readers.class_names import DESCRIPTION, names_beside
from data.readers.files import documents, is_readable, plain_content, read_table
from data.readers.several import Budget, by_name, joined, without_notes
from data.readers.table import FEWER, Table
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


def is_folder(path: Path) -> bool:
    """Returns whether `path` is a folder; what cannot be looked at is none."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def read_folder(folder: Path, *, header_names: Collection[str] = (), raw: bool | None = None) -> dict[str, Table]:
    """Returns split → table; one split is called train. See `data.readers.files.read_splits` for files and `raw`.

    Raises DataError if there is nothing to read, or more than there may be.
    """
    saved, files = _found(folder)
    if saved:
        splits = {split: sorted(place.glob("data-*.arrow")) for split, place in saved.items()}
    else:
        splits = by_name(files)
        if not splits.get("train") and (texts := _texts(folder)):
            _check_size(texts)
            if table := documents([(path, plain_content(path)) for path in texts], raw):
                return {"train": Budget().spend(table)}
    if "train" not in splits or not splits["train"]:
        raise _not_data(folder, files)
    _check_size(path for paths in splits.values() for path in paths)
    budget = Budget()
    return {
        split: joined([budget.spend(_read(path, header_names, raw)) for path in paths])
        for split, paths in splits.items()
        if paths
    }


def _texts(folder: Path) -> list[Path]:
    """The texts in a folder and in those in it, where nothing else there can be read. No link is followed."""
    found: list[Path] = []
    for place, inner, names in islice(os.walk(folder), MAX_FILES):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        paths = [Path(place) / name for name in sorted(names) if not name.startswith(".")]
        readable = [path for path in paths if is_readable(path) and path.is_file() and not path.is_symlink()]
        if any(path.suffix.casefold() not in raw_text.SUFFIXES for path in readable):
            return []
        found += readable
        if len(found) > MAX_FILES:
            got = f"{len(found):,} or more"
            raise DataError(
                f"The folder holds more than {MAX_FILES:,} texts", got=got, fix="Put them into one file."
            )
    return found


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
    return saved, without_notes(files)


def _not_data(folder: Path, files: list[Path]) -> DataError:
    return DataError(
        "The folder holds neither one file of examples nor one called train",
        got=[one_line(path.name) for path in files] or str(folder),
        fix=f"Name one of its files, file:{folder}/NAME, or call them train and test.",
    )


def _read(path: Path, header_names: Collection[str], raw: bool | None) -> Table:
    if path.suffix == ".arrow":
        return read_arrow(plain_content(path), path.name, names_beside(path))
    return read_table(path, header_names=header_names, raw=raw)


def _check_size(paths: Iterable[Path]) -> None:
    total = sum(path.stat().st_size for path in paths)
    if total > MAX_FILE_BYTES:
        got = f"{total // 1_000_000:,} MB"
        raise DataError(f"The folder holds more than {MAX_FILE_BYTES // 1_000_000} MB", got=got, fix=FEWER)
