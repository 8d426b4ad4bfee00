"""Writing something that takes a while: told how far it is, stopped at any time, whole or not there at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from models.resolved import Progress
from plumbing.errors import RunError, UserError
from plumbing.writing import flush


class Stopped(UserError):
    """An export was stopped before its end; nothing of it is left."""


@dataclass(frozen=True)
class Work:
    """Who is told how far an export is, and who says whether it goes on."""

    on_progress: Progress | None = None
    should_stop: Callable[[], bool] | None = None

    def tell(self, what: str, done: int = 0, total: int = 0) -> None:
        """Say how far it is.

        Raises:
            Stopped: it is not to go on.
        """
        if self.should_stop is not None and self.should_stop():
            raise Stopped("The export was stopped", fix="Nothing of it is left; start it again.")
        if self.on_progress is not None:
            self.on_progress(what, done, total)


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """A place to write a file to, which stands at `target` once the block ends without an error.

    Raises:
        RunError: `target` is a folder, or there is no writing there.
    """
    if target.exists() and not target.is_file():
        raise RunError("There is something else in the place of the file", got=str(target), fix="Name another.")
    with _scratch(target) as scratch:
        making = scratch / target.name
        yield making
        flush(scratch)
        making.replace(target)


@contextmanager
def whole_folder(target: Path, *, is_earlier: Callable[[Path], bool]) -> Iterator[Path]:
    """An empty folder, which stands at `target` once the block ends without an error, in place of an earlier one.

    Args:
        target: where it is to stand.
        is_earlier: whether what stands there is an earlier export, which may be replaced.

    Raises:
        RunError: something else stands there, or there is no writing there.
    """
    require_free(target, is_earlier=is_earlier)
    with _scratch(target) as scratch:
        making = scratch / "new"
        making.mkdir()
        yield making
        flush(making)
        if target.exists():
            target.rename(scratch / "old")
        making.rename(target)


def require_free(target: Path, *, is_earlier: Callable[[Path], bool]) -> None:
    """Refuse the place of a folder where something else stands; see `whole_folder`.

    Raises:
        RunError: it does.
    """
    if target.exists() and not (target.is_dir() and (not any(target.iterdir()) or is_earlier(target))):
        raise RunError(
            "The folder holds something that is no export of this kind",
            got=str(target),
            fix="Name a new one, an empty one, or an earlier export.",
        )


@contextmanager
def _scratch(target: Path) -> Iterator[Path]:
    """A folder beside `target`, and so on its disk; gone at the end."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=target.parent, prefix=".exporting-"))
    except OSError as error:
        raise RunError(f"There is no writing there: {error.strerror or error}", got=str(target)) from None
    try:
        yield made
    except OSError as error:
        raise RunError(f"It cannot be written: {error.strerror or error}", got=str(target)) from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
