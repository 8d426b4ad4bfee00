"""Answers kept in a file, so that a run that broke goes on where it was and pays for nothing twice.

One file a server and model, a line an answer, written as it arrives and only ever added to; whatever ends the
process, what was written stays. A line that is half, or that somebody else wrote, is passed over. In a line is the
hash of a question, never the question, nor a key. A file that has grown too large loses its older half, and the
folder the files that were not used for longest. Several processes may write: one at a time, and whole lines.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from eval.sides.endpoint.replies import Reply
from models.resolved import cache_folder
from plumbing.doors import side_option
from plumbing.errors import UserError
from plumbing.reading import READ_WITHOUT_WAITING
from plumbing.writing import write_atomically

MOST_MB, MOST_MB_OF_ALL = 64, 512
OLDEST_DAYS = 7
"""An older answer is asked for again: who knows what stands behind an address by now."""
_APPENDING = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
_LOCK_S = 30.0
_KEY = "key"
_NONSENSE = (ValueError, ValidationError, KeyError, TypeError, AttributeError, RecursionError)


def answers_folder() -> Path:
    """Where answers are kept if nobody says otherwise."""
    return cache_folder() / "answers"


class Kept:
    """The answers of one server's model."""

    def __init__(self, folder: Path, name: str) -> None:
        """
        Args:
            folder: of all answers; it is made.
            name: of this file, without an ending.

        Raises:
            UserError: nothing can be kept there.
        """
        self.path = folder / f"{name}.jsonl"
        self.stopped = ""
        """Why nothing is kept any more, where something is in the way."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with self._alone():
                self._shorten()
                os.close(os.open(self.path, _APPENDING, 0o600))
                self._known = dict(self._read())
            self._forget_others()
        except OSError as error:
            raise UserError(
                f"Answers cannot be kept: {error.strerror or error}",
                got=str(folder),
                fix=f"Set BEFORE_AFTER_CACHE to another folder, or ask with {side_option('cache', 'off')}.",
            ) from None

    def find(self, key: str) -> Reply | None:
        """What was answered to the question of that hash, if it is not too old."""
        reply = self._known.get(key)
        return reply if reply and reply.at > time.time() - 86_400 * OLDEST_DAYS else None

    def add(self, key: str, reply: Reply) -> None:
        """Keep an answer. For a full disk no run is lost: nothing more is kept then, and `stopped` says so."""
        self._known[key] = reply
        if self.stopped:
            return
        line = json.dumps({_KEY: key} | reply.model_dump(mode="json", exclude_defaults=True)) + "\n"
        try:
            with self._alone():
                handle = os.open(self.path, _APPENDING, 0o600)
                try:
                    if _is_torn(handle):
                        line = "\n" + line
                    _write(handle, line.encode())
                finally:
                    os.close(handle)
                if self.path.stat().st_size > 1e6 * MOST_MB:
                    self._shorten()
        except OSError as error:
            self.stopped = error.strerror or str(error)

    def _read(self) -> Iterator[tuple[str, Reply]]:
        with os.fdopen(os.open(self.path, READ_WITHOUT_WAITING), "rb") as handle:
            for line in handle.read(int(2e6 * MOST_MB)).split(b"\n"):
                with contextlib.suppress(*_NONSENSE):
                    fields = json.loads(line)
                    key = fields.pop(_KEY)
                    yield str(key), Reply.model_validate(fields)

    def _shorten(self) -> None:
        """Leave the newer half of a file that is too large."""
        if not self.path.exists() or self.path.stat().st_size <= 1e6 * MOST_MB:
            return
        with self.path.open("rb") as handle:
            handle.seek(-int(5e5 * MOST_MB), os.SEEK_END)
            handle.readline()  # the rest of one that is cut
            write_atomically(self.path, handle.read())

    def _forget_others(self) -> None:
        """Remove the files that were written to longest ago, as long as all are larger than they may be."""
        found = [(path.stat(), path) for path in self.path.parent.glob("*.jsonl") if path != self.path]
        total = self.path.stat().st_size + sum(stat.st_size for stat, _ in found)
        for stat, path in sorted(found, key=lambda each: each[0].st_mtime):
            if total <= 1e6 * MOST_MB_OF_ALL:
                return
            with contextlib.suppress(OSError):
                path.unlink()
                total -= stat.st_size

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """While nobody else writes to the file."""
        from filelock import FileLock, Timeout

        try:
            with FileLock(self.path.with_suffix(".lock"), timeout=_LOCK_S):
                yield
        except Timeout:
            raise OSError("another process has locked the file and does not let go") from None


def _is_torn(handle: int) -> bool:
    """Whether the last line of a file has no end."""
    size = os.lseek(handle, 0, os.SEEK_END)
    if not size:
        return False
    os.lseek(handle, size - 1, os.SEEK_SET)
    return os.read(handle, 1) != b"\n"


def _write(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]
