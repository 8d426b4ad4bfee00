"""Writing files so that no reader ever sees half of them, nor does one after a crash of the machine."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write `content` beside `path`, flush it to disk, and rename it over `path`; nothing stays if that fails.

    Raises an OSError where `path` is there and no file: a device that was renamed over would be gone.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "It is a folder, or no ordinary file")
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with scratch.open("wb") as handle:
            handle.write(content.encode("utf-8") if isinstance(content, str) else content)
            handle.flush()
            os.fsync(handle.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def flush(folder: Path) -> None:
    """Put every file in `folder` on the disk, not only on its way there."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("r+b") as handle:
                os.fsync(handle.fileno())
