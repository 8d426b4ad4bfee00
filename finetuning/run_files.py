"""Reading the files of a run folder, whatever they hold: a crash or a full disk may have written them."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

from data.files import READ_WITHOUT_WAITING
from data.writing import write_atomically

_MAX_METRICS_BYTES = 2**26
"""Read at once; a run of 300,000 steps has less."""


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
    """The values of a line; None unless it has a step and a loss, and nothing but numbers and nulls beside them."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict) or not {"step", "loss"} <= values.keys():
        return None
    step, loss = values["step"], values["loss"]
    if not isinstance(step, int) or step < 0 or loss is None:
        return None
    return values if all(value is None or _is_number(value) for value in values.values()) else None


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < 2**53 if isinstance(value, int) else math.isfinite(value)
