"""Locks of the operating system on folders of runs, and what it means when one cannot be written to.

The system frees a lock when its holder ends, however it ends. Three kinds are taken, in this order: the chains',
by whoever takes up a chain's step; the runs folder's, by whoever starts, cancels, resumes, creates or deletes; and
a run's, by whoever writes its status.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import lock_descriptor

from plumbing.errors import RunError

LOCK_FILE = ".lock"
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system says when there is no room: on the disk, in the quota, under the limit for a file."""
_TIMEOUT_S = 30.0


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of `folder`; waits for whoever has it.

    Raises:
        RunError: whoever has it does not let go: it hangs, or was stopped.
        OSError: the folder cannot be written to.
    """
    with (folder / LOCK_FILE).open("a") as handle:
        deadline = time.monotonic() + _TIMEOUT_S
        while not lock_descriptor(handle.fileno(), blocking=False):
            if time.monotonic() > deadline:
                raise RunError(
                    "Another process has locked this folder and does not let go",
                    got=str(folder),
                    fix="End the other page or command that uses it.",
                )
            time.sleep(0.01)
        yield  # the lock is the open file's, and ends with it


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn the system's refusal to write in `folder` into a sentence.

    Raises:
        RunError: there is no space left, or the folder is read-only.
    """
    try:
        yield
    except OSError as error:
        raise refused(folder, error) from None


def refused(folder: Path, error: OSError) -> RunError:
    """The sentence for `error`, which the system gave for writing in `folder`."""
    if error.errno in FULL:
        return RunError(
            f"There is no space left for runs: {free_mb(folder):.0f} MB are free",
            got=str(folder),
            fix="Make space, or keep runs elsewhere: set BEFORE_AFTER_RUNS.",
        )
    return RunError(
        f"The runs folder cannot be written to: {error.strerror or error}",
        got=str(folder),
        fix="Make it writable, or keep runs elsewhere: set BEFORE_AFTER_RUNS.",
    )


def free_mb(folder: Path) -> float:
    """Free space where `folder` is, or would be, in MB."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free / 1e6
