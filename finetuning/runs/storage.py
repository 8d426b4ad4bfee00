"""Whether the folder of runs is on storage that can hold runs: locks, renames and appending have to hold there.

On a disk they do. On what is mounted over a network they may not: then two workers may take one run, or a reader
see half of a status, and nothing says so. Asked once, when a page starts.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from filelock import lock_descriptor

from finetuning.runs.locks import FULL
from plumbing.errors import RunError

_FIX = (
    "Keep runs elsewhere: set BEFORE_AFTER_RUNS to a folder on a disk. If this is a bucket's mount, mount it so "
    "that it has locks, renames and appending, or leave BEFORE_AFTER_RUNS unset: then runs last until the next "
    "restart."
)


def check_storage(folder: Path) -> None:
    """Refuse a folder of runs whose storage does not do what runs rely on.

    One that cannot be written to at all, or is full, is none of this: the page says so where it matters.

    Raises:
        RunError: what does not hold.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Not by this process's number, which in another container may be another's.
        probe = Path(tempfile.mkdtemp(prefix=".storage-", dir=folder))
        (probe / "lock").touch()
    except OSError:
        return
    try:
        for problem, holds in ((_LOCKS, _locks), (_RENAMES, _renames), (_APPENDS, _appends)):
            try:
                is_so, why = holds(probe), ""
            except OSError as error:
                if error.errno in FULL:
                    return
                is_so, why = False, f": {error.strerror or error}"
            if not is_so:
                raise RunError(f"{problem}{why}", got=str(folder), fix=_FIX)
    finally:
        shutil.rmtree(probe, ignore_errors=True)


_LOCKS = "The runs folder is on storage whose locks do not hold, so two processes could work on one run"
_RENAMES = "The runs folder is on storage where a file or a folder cannot be renamed as a whole"
_APPENDS = "The runs folder is on storage where nothing can be added to a file"


def _locks(probe: Path) -> bool:
    """Whether a second holder waits for the first, and gets the lock once that has ended."""
    path = probe / "lock"
    with path.open("a") as second:
        with path.open("a") as first:
            if not lock_descriptor(first.fileno(), blocking=False):
                return False
            if lock_descriptor(second.fileno(), blocking=False):
                return False
        return lock_descriptor(second.fileno(), blocking=False)


def _renames(probe: Path) -> bool:
    """Whether a file takes another's place, and a folder with what is in it another name."""
    old, new, folder = probe / "status", probe / "status.new", probe / "made"
    old.write_bytes(b"old")
    with new.open("wb") as handle:
        handle.write(b"new")
        handle.flush()
        os.fsync(handle.fileno())
    new.replace(old)
    folder.mkdir()
    (folder / "file").write_bytes(b"in it")
    folder.rename(probe / "named")
    with contextlib.suppress(FileNotFoundError):
        return (
            not new.exists() and old.read_bytes() == b"new" and (probe / "named" / "file").read_bytes() == b"in it"
        )
    return False


def _appends(probe: Path) -> bool:
    """Whether what is added to a file stands behind what was there."""
    path = probe / "metrics"
    for line in (b"1\n", b"2\n"):
        with path.open("ab") as handle:
            handle.write(line)
    return path.read_bytes() == b"1\n2\n"
