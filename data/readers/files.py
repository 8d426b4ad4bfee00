"""Tables out of one file: JSON Lines, JSON, CSV, TSV, other delimited text, raw text, Excel, Parquet, each packed
with gzip or not; and a ZIP archive of any of them.

The door for files: it opens nothing but plain files of a bounded size (`data.limits`), knows suffixes and
encodings, and leaves each format to its module. What is wrong with single lines is collected in
`Table.problems`, so that a person sees all of it at once; what makes the whole file unreadable is a DataError.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import zlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path, PurePath

from data.limits import MAX_FILE_BYTES
from data.readers import raw_text
from data.readers.archives import files_in
from data.readers.cells import with_conversations
from data.readers.class_names import ClassNames, names_beside, with_class_names
from data.readers.delimited import is_delimited, read_delimited
from data.readers.encodings import check_text
from data.readers.json_files import read_json, read_json_lines
from data.readers.parquet import read_parquet
from data.readers.several import Budget, by_name, joined, without_notes
from data.readers.table import FEWER, Table, without_blank_rows
from data.readers.workbooks import read_workbook
from plumbing.errors import DataError
from plumbing.reading import READ_WITHOUT_WAITING

__all__ = ["SUFFIXES", "Table", "is_readable", "names_a_file", "plain_content", "read_splits", "read_table"]

ARCHIVE = ".zip"
IN_ARCHIVES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt", ".md", ".parquet", ".xlsx")
SUFFIXES = (*IN_ARCHIVES, ARCHIVE)
PACKED = ".gz"
SPREADSHEET = (
    "a spreadsheet of another kind than .xlsx",
    "Save it as .xlsx, without macros, or its sheet as CSV in UTF-8 (in Excel: 'CSV UTF-8').",
)
PACKAGE = ("an archive of another kind than .zip", "Unpack it, and use the file in it, or the folder.")
FOREIGN = {
    **dict.fromkeys((".xls", ".xlsm", ".xlsb", ".ods", ".numbers"), SPREADSHEET),
    **dict.fromkeys((".tar", ".tgz", ".7z", ".rar", ".bz2", ".xz", ".zst"), PACKAGE),
    **dict.fromkeys(
        (".pkl", ".pickle", ".pt", ".pth"),
        ("a pickle, which could run a program", "Save it with df.to_parquet('data.parquet')."),
    ),
    **dict.fromkeys((".feather",), ("an Arrow file", "Save it with df.to_parquet('data.parquet').")),
    **dict.fromkeys(
        (".docx", ".doc", ".odt", ".rtf", ".pdf", ".html", ".htm"),
        ("a document", "Save its text as .txt or .md, in UTF-8."),
    ),
}
"""Suffix → what people bring that is not read, and what to do."""


def is_readable(path: Path) -> bool:
    """Returns whether a file of this name can hold a table: by its suffix, packed with gzip or not."""
    return _suffix(path) in SUFFIXES


def names_a_file(written: str) -> bool:
    """Returns whether `written` is the name of a file or a folder, of whatever kind, and not of something else."""
    try:
        path = Path(written).expanduser()
        return bool(written) and (is_readable(path) or path.suffix.casefold() in FOREIGN or path.exists())
    except (OSError, ValueError, RuntimeError):
        return False


def read_table(path: Path, *, header_names: Collection[str] = (), raw: bool | None = None) -> Table:
    """Returns the table in `path`, or of a file with splits the one to train on. See `read_splits`."""
    return read_splits(path, header_names=header_names, raw=raw)["train"]


def read_splits(path: Path, *, header_names: Collection[str] = (), raw: bool | None = None) -> dict[str, Table]:
    """Returns the tables in `path`, by its suffix: one, called train, or those of a file with splits.

    A first row that has all `header_names` is a header. A .txt is read as `raw` text, or as a table; None asks the
    file: as a table where nearly all of its lines are cut alike by one delimiter. Raises DataError if the file is
    missing, empty, too large or of an unknown kind, ProblemsError if it is not UTF-8.
    """
    content, described = plain_content(path), names_beside(path)
    if path.suffix.casefold() == PACKED:
        content = _unpacked(content, path)
    if _suffix(path) == ARCHIVE:
        tables = _read_archive(content, path.name, header_names, raw)
    else:
        tables = read_content(content, path, header_names=header_names, raw=raw, described=described)
    if not tables["train"].rows and not tables["train"].problems:
        raise DataError("The file has no rows", got=str(path), fix="Choose a file with rows in it.")
    return tables


def read_content(
    content: bytes,
    path: PurePath,
    *,
    header_names: Collection[str] = (),
    raw: bool | None = None,
    described: ClassNames | None = None,
) -> dict[str, Table]:
    """Returns the tables in `content`, the unpacked bytes of a file that is called `path`; see `read_splits`."""
    suffix, described = _suffix(path), described or {}
    if suffix == ".parquet":
        tables = {"train": read_parquet(content, path.name, described)}
    elif suffix == ".xlsx":
        _check_workbook(content, path.name)
        tables = read_workbook(content, path.name, header_names)
    else:
        check_text(content, path.name, suffix)
        tables = _read_text(content.removeprefix(b"\xef\xbb\xbf"), path, suffix, header_names, raw)
    tables = {split: with_class_names(table, described) for split, table in tables.items()}
    return {split: with_conversations(without_blank_rows(table, path.name)) for split, table in tables.items()}


def _read_text(
    content: bytes, path: PurePath, suffix: str, header_names: Collection[str], raw: bool | None
) -> dict[str, Table]:
    if suffix == ".json":
        return read_json(content, path.name)
    if suffix in (".jsonl", ".ndjson"):
        return read_json_lines(content, path.name)
    if suffix in raw_text.SUFFIXES and is_raw(content, suffix, raw):
        return {"train": raw_text.read_raw(content)}
    return {"train": read_delimited(content, path.name, tabs=suffix == ".tsv", header_names=header_names)}


def is_raw(content: bytes, suffix: str, raw: bool | None) -> bool:
    """Whether the text of a .txt or .md is no table; `raw` as for `read_splits`."""
    return suffix == ".md" or (not is_delimited(content) if raw is None else raw)


def _read_archive(content: bytes, name: str, header_names: Collection[str], raw: bool | None) -> dict[str, Table]:
    """The tables of an archive: of one file or of files called train and test, or of texts, each a document."""
    files = [(PurePath(path), found) for path, found in files_in(content, name)]
    tables = without_notes([path for path, _ in files if _suffix(path) in IN_ARCHIVES])
    known = [(path, found) for path, found in files if path in tables]
    if not known:
        got = ", ".join(path.name for path, _ in files[:5]) or "nothing"
        raise DataError(
            "The archive holds no file that can be read", got=got, fix=f"Pack one of: {', '.join(IN_ARCHIVES)}."
        )
    if table := documents(known, raw):
        return {"train": table}
    if len(known) == 1:
        return read_content(known[0][1], known[0][0], header_names=header_names, raw=raw)
    contents, budget = dict(known), Budget()
    splits = by_name(list(contents))
    if not splits.get("train"):
        raise DataError(
            "The archive holds neither one file of examples nor one called train",
            got=[path.name for path, _ in known[:20]],
            fix="Pack one file, or call them train and test.",
        )

    def read(path: PurePath) -> Table:
        return budget.spend(read_content(contents[path], path, header_names=header_names, raw=raw)["train"])

    return {split: joined([read(path) for path in paths]) for split, paths in splits.items()}


def documents(files: Sequence[tuple[PurePath, bytes]], raw: bool | None) -> Table | None:
    """The table of several texts, a row each; None where they are not all texts, or are called train and test."""
    if any(_suffix(path) not in raw_text.SUFFIXES for path, _ in files) or raw is False:
        return None
    if len(files) < 2 or by_name([path for path, _ in files]).get("train"):
        return None
    tables = []
    for path, content in files:
        if not content.strip():
            continue
        check_text(content, path.name, _suffix(path))
        text = content.removeprefix(b"\xef\xbb\xbf")
        if raw is None and not is_raw(text, _suffix(path), None):
            return None
        tables.append(raw_text.read_raw(text))
    if not tables:
        return None
    table = joined(tables)
    return replace(table, notes=(*table.notes, f"{len(tables):,} texts are read, each as a document."))


def _check_workbook(content: bytes, name: str) -> None:
    if content.startswith(b"\xd0\xcf\x11\xe0"):
        fix = "Save it as .xlsx, without a password."
        raise DataError("The file is named .xlsx but is an old workbook, or has a password", got=name, fix=fix)


def _suffix(path: PurePath) -> str:
    """The suffix that says what the file holds, which for a.csv.gz is .csv."""
    suffix = path.suffix.casefold()
    return path.with_suffix("").suffix.casefold() if suffix == PACKED else suffix


def _unpacked(content: bytes, path: Path) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as packed:
            unpacked = packed.read(MAX_FILE_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"The file cannot be unpacked: {error}", got=path.name, fix="Pack it again.") from None
    if len(unpacked) > MAX_FILE_BYTES:
        most = f"{MAX_FILE_BYTES // 1_000_000} MB"
        raise DataError(f"Unpacked, the file is larger than {most}", got=path.name, fix=FEWER)
    return unpacked


def plain_content(path: Path) -> bytes:
    """Returns the bytes of a plain file. Neither pipe nor device is opened: that could keep us waiting for ever."""
    try:
        if (known := FOREIGN.get(path.suffix.casefold())) is not None:
            raise DataError(f"This is {known[0]}", got=path.name, fix=known[1])
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise _no_file("This is a folder, not a file", path)
        if not is_readable(path) and path.suffix != ".arrow":
            raise DataError(
                "A file of this kind cannot be read", got=path.name, fix=f"Use one of: {', '.join(SUFFIXES)}."
            )
        if not stat.S_ISREG(kind):
            raise _no_file("This is not a plain file", path)
        with os.fdopen(os.open(path, READ_WITHOUT_WAITING), "rb") as file:
            status = os.fstat(file.fileno())
            if status.st_size > MAX_FILE_BYTES:
                raise DataError(
                    f"The file is larger than {MAX_FILE_BYTES // 1_000_000} MB",
                    got=f"{path.name}, {status.st_size // 1_000_000:,} MB",
                    fix=FEWER,
                )
            content = file.read(status.st_size + 1)
    except FileNotFoundError:
        raise _no_file("There is no such file", path) from None
    except (
        OSError,
        ValueError,
    ) as error:  # no permission, a name that is too long or holds a null byte, a bad disk
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DataError(f"The file cannot be read: {said}", got=str(path), fix="Choose another file.") from None
    if len(content) != status.st_size:
        raise DataError("The file changed while it was read", got=str(path), fix="Try again once it is written.")
    return content


def _no_file(what: str, path: Path) -> DataError:
    return DataError(what, got=str(path), fix=f"Paths are relative to {Path.cwd()}.")
