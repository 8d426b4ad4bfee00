"""A ZIP archive → what is in it: the names and the bytes of its files, which are never written to a disk.

What an archive says of its own size is checked before anything is unpacked, and again while it is.
"""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath

from data.limits import MAX_FILE_BYTES
from data.readers.table import FEWER
from plumbing.errors import DataError
from plumbing.printable import one_line

MAX_MEMBERS = 1_000
PACKED_BY = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""The ways of packing whose memory is small."""
NO_FILES_OF_OURS = ("__MACOSX/",)


@contextmanager
def opened_archive(content: bytes, name: str, *, most: int = MAX_MEMBERS) -> Iterator[zipfile.ZipFile]:
    """The archive in `content`, once it has been found to hold no more than may be unpacked.

    Raises DataError if it is damaged, packed with a password, too large, or has names that lead out of it; also
    while it is open.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _check(archive.infolist(), name, most)
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, KeyError) as error:
        said = one_line(" ".join(str(error).split()) or type(error).__name__, longest=200)
        raise DataError(f"The archive cannot be unpacked: {said}", got=name, fix="Pack it again.") from None
    except (ValueError, IndexError, struct.error):
        raise DataError("The archive cannot be unpacked: it is damaged", got=name, fix="Pack it again.") from None


def files_in(content: bytes, name: str) -> list[tuple[str, bytes]]:
    """Returns (path, bytes) of the files in the archive, in the order of their paths, without hidden ones."""
    with opened_archive(content, name) as archive:
        members = [member for member in archive.infolist() if not member.is_dir() and _is_shown(member.filename)]
        return [
            (member.filename, unpacked(archive, member, name))
            for member in sorted(members, key=lambda member: member.filename)
        ]


def unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> bytes:
    """Returns the bytes of one file. Raises DataError if they are more than the archive says."""
    with archive.open(member) as file:
        found = file.read(member.file_size + 1)
    if len(found) > member.file_size:
        raise DataError("The archive holds more than it says", got=name, fix="Pack it again.")
    return found


def _check(members: list[zipfile.ZipInfo], name: str, most: int) -> None:
    if len(members) > most:
        raise DataError(f"The archive holds more than {most:,} files", got=f"{len(members):,}", fix=FEWER)
    total = sum(member.file_size for member in members)
    if total > MAX_FILE_BYTES:
        got = f"{one_line(name)}, {total // 1_000_000:,} MB"
        raise DataError(
            f"Unpacked, the archive would take more than {MAX_FILE_BYTES // 1_000_000} MB", got=got, fix=FEWER
        )
    for member in members:
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[:1]:
            raise DataError(
                "The archive holds a path that leads out of it", got=member.filename, fix="Pack the files again."
            )
        if stat.S_ISLNK(member.external_attr >> 16):
            raise DataError("The archive holds a link", got=member.filename, fix="Pack the file itself.")
        if member.flag_bits & 0x1:
            raise DataError("The archive is packed with a password", got=name, fix="Pack it without one.")
        if member.compress_type not in PACKED_BY:
            raise DataError(
                "The archive is packed in an unusual way", got=name, fix="Pack it as an ordinary ZIP (deflate)."
            )


def _is_shown(path: str) -> bool:
    return not path.startswith(NO_FILES_OF_OURS) and not any(
        part.startswith(".") for part in PurePosixPath(path).parts
    )
