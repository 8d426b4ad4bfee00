"""Whether the bytes of a file are text that can be read: UTF-8, in lines of a bounded length."""

from __future__ import annotations

import io

from data.limits import MAX_LINE_BYTES, MAX_LINES
from data.problems import Problem, ProblemsError
from data.readers.table import FEWER
from plumbing.errors import DataError

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


def check_text(content: bytes, name: str, suffix: str) -> None:
    """Raises DataError unless `content`, of the file `name`, is UTF-8 text in lines of a bounded length."""
    for start, encoding in UNICODE_KINDS.items():
        if content.startswith(start):
            raise ProblemsError([Problem(f"The file is {encoding}, not UTF-8", UTF8_FIX)], source=name)
    for start, kind in BINARY_KINDS.items():
        if content.startswith(start):
            raise DataError(
                f"The file is named {suffix or name} but is {kind}",
                got=name,
                fix=f"Name it {name}.gz."
                if "gzip" in kind
                else "Save the table itself as CSV, JSON Lines or Parquet.",
            )
    if not content.removeprefix(b"\xef\xbb\xbf").strip():
        raise DataError("The file is empty", got=name, fix="Choose a file with rows in it.")
    if content.count(b"\n") > MAX_LINES:
        raise DataError(f"The file has more than {MAX_LINES:,} lines", got=name, fix=FEWER)
    is_list = suffix in (".jsonl", ".ndjson") and content.removeprefix(b"\xef\xbb\xbf")[:1] == b"["
    if suffix != ".json" and not is_list:
        _check_lines(content)
    _check_utf8(content, name)
    if b"\0" in content:
        line = content.count(b"\n", 0, content.index(b"\0")) + 1
        raise DataError(
            f"The file is not text: there is a null byte in line {line}",
            got=name,
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


def _check_utf8(content: bytes, name: str) -> None:
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
    raise ProblemsError(problems, source=name)
