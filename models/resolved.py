"""A base model's files on this machine, and where they came from: what `models.sources` finds."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Origin = Literal["folder", "hub", "package mirror"]


Progress = Callable[[str, int, int], None]
"""Called with what is being fetched, bytes done, bytes in all (0 where unknown)."""


@dataclass(frozen=True)
class ResolvedModel:
    """Where a base model's files lie on this machine."""

    name: str
    path: Path
    origin: Origin
    revision: str
    """The Hub's commit, the mirror's pinned package, or an empty string for a local folder."""
    gguf: str = ""
    """The name of its one file, weights and tokenizer, where that is a GGUF file in `path`."""

    @property
    def weights_sha256(self) -> str:
        """SHA-256 over the weight files, in the order of their names. Reads them once a process."""
        return _hash_weights(self.path, self.gguf)

    def describe(self) -> str:
        """`SmolLM2-135M-Instruct · package mirror`: for badges and reports."""
        return f"{self.name.rsplit('/', 1)[-1]} · {self.origin}"


def cache_folder() -> Path:
    """Where fetched and converted models are kept: `$BEFORE_AFTER_CACHE`, else the user's cache folder."""
    if chosen := os.environ.get("BEFORE_AFTER_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "before-after"


@functools.cache
def _hash_weights(path: Path, gguf: str = "") -> str:
    digest = hashlib.sha256()
    for file in [path / gguf] if gguf else sorted(path.glob("*.safetensors")):
        with file.open("rb") as handle:
            while block := handle.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()
