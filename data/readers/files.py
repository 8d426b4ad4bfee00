"""A table out of one file: JSON Lines, JSON, CSV, TSV, other delimited text, each packed with gzip or not; Parquet.

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
from collections.abc import Collection
from pathlib import Path

from data.limits import MAX_FILE_BYTES, MAX_LINE_BYTES, MAX_LINES
from data.problems import Problem, ProblemsError
from data.readers.class_names import names_beside, with_class_names
from data.readers.delimited import read_delimited
from data.readers.json_files import read_json, read_json_lines
from data.readers.parquet import read_parquet
from data.readers.table import FEWER, Table, without_blank_rows
from plumbing.errors import DataError
from plumbing.reading import READ_WITHOUT_WAITING

__all__ = ["SUFFIXES", "Table", "is_readable", "names_a_file", "plain_content", "read_splits", "read_table"]

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt", ".parquet")
PACKED = ".gz"
SPREADSHEET = ("a spreadsheet", "Save its sheet as CSV in UTF-8 (in Excel: 'CSV UTF-8') and use that file.")
PACKAGE = ("an archive", "Unpack it, and use the file in it, or the folder.")
FOREIGN = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".xlsb", ".ods", ".numbers"), SPREADSHEET),
    **dict.fromkeys((".zip", ".tar", ".tgz", ".7z", ".rar", ".bz2", ".xz", ".zst"), PACKAGE),
    **dict.fromkeys(
        (".pkl", ".pickle", ".pt", ".pth"),
        ("a pickle, which could run a program", "Save it with df.to_parquet('data.parquet')."),
    ),
    **dict.fromkeys((".feather",), ("an Arrow file", "Save it with df.to_parquet('data.parquet').")),
}
"""Suffix → what people bring that is not read, and what to do."""
UTF8_FIX = "Save the file as UTF-8 (in Excel: 'CSV UTF-8')."
SHOWN_LINES = 1_000
"""Of the lines that are not UTF-8."""

BINARY_KINDS = {
    b"PK\x03\x04": "a ZIP archive or an Excel workbook",
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a Zstandard archive",
    b"PAR1": "a Parquet file",
    b"%PDF-": "a PDF document",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"\x7fELF": "a program",
    b"\x80\x02": "a pickle",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"\xd0\xcf\x11\xe0": "an old Office document",
    b"SQLite format 3": "a database",
}
UNICODE_KINDS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


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


def read_table(path: Path, *, header_names: Collection[str] = ()) -> Table:
    """Returns the table in `path`, or of a file with splits the one to train on. See `read_splits`."""
    return read_splits(path, header_names=header_names)["train"]


def read_splits(path: Path, *, header_names: Collection[str] = ()) -> dict[str, Table]:
    """Returns the tables in `path`, by its suffix: one, called train, or those of a JSON file with splits.

    A first row that has all `header_names` is a header. Raises DataError if the file is missing, empty, too large
    or of an unknown kind, ProblemsError if it is not UTF-8.
    """
    content, suffix, described = plain_content(path), _suffix(path), names_beside(path)
    if path.suffix.casefold() == PACKED:
        content = _unpacked(content, path)
    if suffix == ".parquet":
        tables = {"train": read_parquet(content, path.name, described)}
    else:
        _check_text(content, path, suffix)
        tables = _read_text(content.removeprefix(b"\xef\xbb\xbf"), path, suffix, header_names)
        tables = {split: with_class_names(table, described) for split, table in tables.items()}
    tables = {split: without_blank_rows(table, path.name) for split, table in tables.items()}
    if not tables["train"].rows and not tables["train"].problems:
        raise DataError("The file has no rows", got=str(path), fix="Choose a file with rows in it.")
    return tables


def _read_text(content: bytes, path: Path, suffix: str, header_names: Collection[str]) -> dict[str, Table]:
    if suffix == ".json":
        return read_json(content, path.name)
    if suffix in (".jsonl", ".ndjson"):
        return read_json_lines(content, path.name)
    return {"train": read_delimited(content, path.name, tabs=suffix == ".tsv", header_names=header_names)}


def _suffix(path: Path) -> str:
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


# ---- text --------------------------------------------------------------------------------------------------


def _check_text(content: bytes, path: Path, suffix: str) -> None:
    """Raises DataError unless `content` is UTF-8 text in lines of a bounded length."""
    for start, encoding in UNICODE_KINDS.items():
        if content.startswith(start):
            raise ProblemsError([Problem(f"The file is {encoding}, not UTF-8", UTF8_FIX)], source=path.name)
    for start, kind in BINARY_KINDS.items():
        if content.startswith(start):
            raise DataError(
                f"The file is named {path.suffix} but is {kind}",
                got=path.name,
                fix=f"Name it {path.name}.gz."
                if "gzip" in kind
                else "Save the table itself as CSV, JSON Lines or Parquet.",
            )
    if not content.removeprefix(b"\xef\xbb\xbf").strip():
        raise DataError("The file is empty", got=str(path), fix="Choose a file with rows in it.")
    if content.count(b"\n") > MAX_LINES:
        raise DataError(f"The file has more than {MAX_LINES:,} lines", got=path.name, fix=FEWER)
    is_list = suffix in (".jsonl", ".ndjson") and content.removeprefix(b"\xef\xbb\xbf")[:1] == b"["
    if suffix != ".json" and not is_list:
        _check_lines(content)
    _check_utf8(content, path)
    if b"\0" in content:
        line = content.count(b"\n", 0, content.index(b"\0")) + 1
        raise DataError(
            f"The file is not text: there is a null byte in line {line}",
            got=path.name,
            fix=f"If it is UTF-16, the encoding is the trouble. {UTF8_FIX}",
        )


def _check_lines(content: bytes) -> None:
    for number, line in enumerate(io.BytesIO(content), start=1):
        if len(line) > MAX_LINE_BYTES:
            raise DataError(
                f"Line {number} is longer than {MAX_LINE_BYTES // 1_000_000} MB",
                got=f"{len(line) / 1e6:,.1f} MB",
                fix="Write one row a line.",
            )


def _check_utf8(content: bytes, path: Path) -> None:
    try:
        content.decode("utf-8")
        return
    except UnicodeDecodeError:
        pass
    problems = []
    for number, line in enumerate(io.BytesIO(content), start=1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            byte, place = line[error.start], error.start + 1
            what = f"Not UTF-8: byte 0x{byte:02x} at position {place} of line {number}"
            problems.append(Problem(what, UTF8_FIX))
            if len(problems) == SHOWN_LINES:
                break
    raise ProblemsError(problems, source=path.name)
