"""`metrics.jsonl` as it grows: every byte is read once, however often somebody looks, and little of it is held."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from plumbing.reading import open_regular, read_file
from plumbing.writing import write_atomically

CHUNK_BYTES = 2**20
"""Read and given out at once. What has no end of line within that is no metric line, and left out."""
_MOST_BYTES = 2**26
"""Read in one go, of whatever the file is; the next go reads on. A run of 250,000 steps has less."""
_TAIL_BYTES = 256


class MetricsReader:
    """Reads on where it stopped. A file that was cut or replaced, as resuming a run does, is read anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes_read = 0
        """So far, of all files that this path has been."""
        self._forget()

    def _forget(self) -> None:
        self._offset = 0
        """After the last whole line that was read."""
        self._tail = b""
        """The bytes before the offset."""
        self._stamp: tuple[int, ...] = ()
        """What the file was when it was read last."""
        self._read_all = False

    def new_lines(self) -> Iterator[tuple[bool, list[dict[str, Any]]]]:
        """Yields (whether it starts anew, lines), some thousand lines at a time; nothing if nothing is new.

        Where it starts anew, the lines of earlier calls no longer count. A line that is still being written waits.
        """
        try:
            handle = open_regular(self.path)
        except OSError:
            if self._offset:
                self._forget()
                yield True, []
            return
        with handle:
            found = os.fstat(handle.fileno())
            stamp = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
            if stamp == self._stamp and self._read_all:
                return
            if self._offset and not self._is_same_file(handle, stamp):
                self._forget()
                yield True, []
            self._stamp = stamp
            for lines in self._read_on(handle):
                yield False, lines

    def _is_same_file(self, handle: BinaryIO, stamp: tuple[int, ...]) -> bool:
        """Whether what was read is still there. A number of a file that is gone may be given to another."""
        if self._stamp[:2] != stamp[:2] or stamp[2] < self._offset:
            return False
        handle.seek(self._offset - len(self._tail))
        self.bytes_read += len(self._tail)
        return handle.read(len(self._tail)) == self._tail

    def _read_on(self, handle: BinaryIO) -> Iterator[list[dict[str, Any]]]:
        handle.seek(self._offset)
        waiting, left = b"", _MOST_BYTES
        while left > 0 and (data := handle.read(CHUNK_BYTES)):
            left -= len(data)
            self.bytes_read += len(data)
            data = waiting + data
            end = data.rfind(b"\n") + 1
            if end == 0 and len(data) > CHUNK_BYTES:
                end = len(data)
            whole, waiting = data[:end], data[end:]
            if whole:
                self._offset += len(whole)
                self._tail = (self._tail + whole[-_TAIL_BYTES:])[-_TAIL_BYTES:]
                yield [line for line in map(metric_line, whole.split(b"\n")) if line is not None]
        self._read_all = left > 0


_MAX_METRICS_BYTES = 2**26
"""Read at once; a run of 300,000 steps has less."""


def read_metrics(path: Path, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """The metric lines after byte `offset`, and the offset to go on from.

    A line that is still being written waits; one that is no metric line is left out.
    """
    try:
        data = read_file(path, limit=_MAX_METRICS_BYTES, offset=offset)
    except OSError:
        return [], offset
    if len(data) == _MAX_METRICS_BYTES and b"\n" not in data:
        return [], offset + len(data)
    whole = data[: data.rfind(b"\n") + 1]
    lines = [line for line in map(metric_line, whole.split(b"\n")) if line is not None]
    return lines, offset + len(whole)


def append_metrics(path: Path, values: dict[str, Any]) -> None:
    """Add a line."""
    with path.open("a", encoding="utf-8") as handle:
        handle.write(json.dumps(values) + "\n")


def write_metrics(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    """Replace all lines."""
    write_atomically(path, "".join(json.dumps(line) + "\n" for line in lines))


def metric_line(line: bytes) -> dict[str, Any] | None:
    """The values of a line: of a trained step, which has a `loss`, or of a measurement, which has an `eval_loss`.

    None unless it has a step and one of the two, and nothing but numbers and nulls beside them.
    """
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict) or all(values.get(loss) is None for loss in ("loss", "eval_loss")):
        return None
    step = values.get("step")
    if isinstance(step, bool) or not isinstance(step, int) or step < 0:
        return None
    return values if all(value is None or _is_number(value) for value in values.values()) else None


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < 2**53 if isinstance(value, int) else math.isfinite(value)
