"""Reading files whatever they are: no pipe is waited for, and nothing is read beyond a limit."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

READ_WITHOUT_WAITING = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def read_file(path: Path, *, limit: int, offset: int = 0) -> bytes:
    """At most `limit` bytes of `path`, after `offset`.

    Raises:
        OSError: there is none, or it is no regular file. A pipe is not waited for.
    """
    with open_regular(path) as handle:
        handle.seek(offset)
        return handle.read(limit)


def open_regular(path: Path) -> BinaryIO:
    """`path`, open for reading; errors as for `read_file`."""
    handle = os.fdopen(os.open(path, READ_WITHOUT_WAITING), "rb")
    if not stat.S_ISREG(os.fstat(handle.fileno()).st_mode):
        handle.close()
        raise OSError(f"{path.name} is not a regular file")
    return handle


def read_text(path: Path, *, limit: int) -> str:
    """The text of `path`, which is UTF-8 and no longer than `limit` bytes.

    Raises:
        OSError: there is none, it is no regular file, or longer.
        UnicodeDecodeError: it is not UTF-8.
    """
    data = read_file(path, limit=limit + 1)
    if len(data) > limit:
        raise OSError(f"{path.name} is longer than {limit} bytes")
    return data.decode("utf-8")
