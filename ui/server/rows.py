"""The rows that were opened last, for all visitors together: each part of the page asks for the same ones.

A file is known by its path and by when it was written, and what is remembered of it is how it was read as well.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from models import libraries

if TYPE_CHECKING:
    from data.sources import Opened
    from data.tasks import Task

REMEMBERED = 4
MOST_ROWS = 50_000
"""Of more rows nothing is remembered: they are read again."""

Key = tuple[object, ...]


class RowsInUse:
    """Opened sources by what was asked for; the one used last is at the end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[Key, Opened] = OrderedDict()

    def open(
        self,
        source: str,
        task: Task,
        *,
        columns: Mapping[str, str] | None = None,
        labels: Mapping[str, str | None] | None = None,
        skip_empty: bool = False,
        besides: Sequence[str] = (),
        read: Callable[[], Opened] | None = None,
    ) -> Opened:
        """As `data.sources.open_source`; `read` is how, where these rows were read in another way."""
        libraries.ready()
        from data.sources import open_source

        def as_usual() -> Opened:
            return open_source(source, task, columns=columns, labels=labels, skip_empty=skip_empty, besides=besides)

        key = (source, _stamp(source), task, _items(columns), _items(labels), skip_empty, tuple(besides))
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        opened = (read or as_usual)()
        if sum(map(len, opened.splits.values())) <= MOST_ROWS:
            with self._lock:
                self._known[key] = opened
                while len(self._known) > REMEMBERED:
                    self._known.popitem(last=False)
        return opened


def _items(mapping: Mapping[str, str | None] | None) -> tuple[tuple[str, str | None], ...]:
    return tuple(sorted(mapping.items())) if mapping else ()


def _stamp(source: str) -> tuple[int, int] | None:
    """When a file was written, and its size; None of whatever is no file."""
    kind, _, place = source.partition(":")
    try:
        found = Path(place).stat() if kind == "file" else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size) if found else None


ROWS = RowsInUse()
