"""Adapters where an engine can read them, each under a name that says what is in it.

A folder that both see, by the same path: `.engine` beside the runs. An entry of it is a folder with the two files
that PEFT wrote, or a `.gguf` file for llama.cpp. Names are made of a hash, so an entry never changes, and several
processes may put the same there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection
from pathlib import Path

from eval.sides.engine.forms import EngineError
from models.adapter_files import CONFIG_FILE, WEIGHTS_FILE
from models.tuned import weights_sha256
from plumbing.errors import UserError
from plumbing.remembered import Remembered

SHELF = ".engine"
"""Beside the runs."""
PREFIX = "before-after-"
FILES = (CONFIG_FILE, WEIGHTS_FILE)
GRACE_S = 600.0
"""What was put there so recently stays: a run may have ended since the list of runs was read."""
ToGguf = Callable[[Path, Path], object]
"""Writes the adapter in the first folder as the second, a GGUF file, whole or not at all."""


def name_of(adapter: Path) -> str:
    """What the adapter in a folder is called on an engine: by its weights and settings.

    Raises:
        OSError: its files cannot be read.
    """
    return f"{PREFIX}{_hashes(str(adapter / CONFIG_FILE), str(adapter / WEIGHTS_FILE))[:16]}"


def _hashes(config: str, weights: str) -> str:
    return hashlib.sha256(f"{_config_sha256(config)} {_weights_sha256(weights)}".encode()).hexdigest()


_config_sha256 = Remembered(lambda path: hashlib.sha256(Path(path).read_bytes()).hexdigest(), most=5000)
_weights_sha256 = Remembered(lambda path: weights_sha256(Path(path).parent), most=5000)


class Shelf:
    """The folder, and what writes GGUF files, where there is one."""

    def __init__(self, folder: Path, to_gguf: ToGguf | None = None) -> None:
        self.folder = folder.absolute()
        self._to_gguf = to_gguf

    def place(self, name: str) -> Path:
        """The folder of an entry."""
        return self.folder / name

    def add(self, adapter: Path, at: Path) -> None:
        """Put the adapter of a folder there, as a folder or a GGUF file by its name; one that is there stays.

        Raises:
            EngineError: it cannot be written, or nobody here writes GGUF files.
        """
        if at.exists():
            os.utime(at)  # so that it is not taken for forgotten
            return
        try:
            at.parent.mkdir(parents=True, exist_ok=True)
            if at.suffix != ".gguf":
                self._copy(adapter, at)
            elif self._to_gguf is not None:
                self._to_gguf(adapter, at)
            else:
                raise EngineError(
                    "llama.cpp takes adapters at its start only, and was started without this one",
                    fix=f"`python -m finetuning engine --gguf q8_0` writes {at.name} and says how it is started.",
                )
        except EngineError:
            raise
        except UserError as error:
            raise EngineError(error.problem, got=error.got, fix=error.fix) from None
        except OSError as error:
            raise EngineError(
                f"The adapter cannot be put where the engine reads it: {error.strerror or error}",
                got=str(self.folder),
            ) from None

    def names(self) -> set[str]:
        """What is there."""
        with contextlib.suppress(OSError):
            return {path.stem for path in self.folder.iterdir() if path.name.startswith(PREFIX)}
        return set()

    def holds(self, place: object) -> bool:
        """Whether what an engine has read lies here; of a number nobody can tell."""
        return isinstance(place, str) and Path(place).parent == self.folder

    def is_new(self, name: str, grace_s: float = GRACE_S) -> bool:
        """Whether an entry was put there so recently that it stays."""
        for path in (self.place(name), self.place(name).with_suffix(".gguf")):
            with contextlib.suppress(OSError):
                return time.time() - path.stat().st_mtime < grace_s
        return False

    def remove(self, names: Collection[str]) -> None:
        """Remove entries."""
        for name in names:
            shutil.rmtree(self.place(name), ignore_errors=True)
            with contextlib.suppress(OSError):
                self.place(name).with_suffix(".gguf").unlink()

    def _copy(self, adapter: Path, at: Path) -> None:
        making = Path(tempfile.mkdtemp(dir=self.folder, prefix=".making-"))
        try:
            making.chmod(0o755)  # an engine may be somebody else
            for file in FILES:
                shutil.copyfile(adapter / file, making / file)
            try:
                making.rename(at)
            except OSError:
                if not at.exists():  # else another process was first
                    raise
        finally:
            shutil.rmtree(making, ignore_errors=True)
