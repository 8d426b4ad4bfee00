"""What was made of a file, kept until the file changes: a poll over thousands of runs reads none of them again."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
_SETTLED_S = 2.5
"""A file that changed so recently may change again without a new time or number: it is read, and not kept."""


class Remembered(Generic[T]):
    """`make(path)` of any number of files; of a file that did not change, made once."""

    def __init__(self, make: Callable[[str], T], *, most: int) -> None:
        """Args:
        make: reads a file. What it raises is raised each time.
        most: files that are kept; of more, the one that was read longest ago is forgotten.
        """
        self._make, self._most = make, most
        self._kept: dict[str, tuple[tuple[int, ...], T]] = {}
        self._lock = threading.Lock()

    def __call__(self, path: str) -> T:
        """What `make` says of `path` now."""
        try:
            found = os.stat(path)  # noqa: PTH116  # ten times as fast as a Path's, and asked for each run
        except (OSError, ValueError):
            return self._make(path)
        stamp = (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev)
        kept = self._kept.get(path)
        if kept is not None and kept[0] == stamp:
            return kept[1]
        made = self._make(path)
        if time.time() - max(found.st_mtime, found.st_ctime) > _SETTLED_S:
            with self._lock:
                self._kept.pop(path, None)
                self._kept[path] = (stamp, made)
                if len(self._kept) > self._most:
                    self._kept.pop(next(iter(self._kept)))
        return made
