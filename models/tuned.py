"""What a run has tuned, as a folder: an adapter beside its base, or a whole model."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from models.adapter_files import WEIGHTS_FILE
from models.whole import is_whole, weight_files
from plumbing.errors import RunError


def bundled_folder() -> Path:
    """Where the adapters that ship lie, by their recipes' names: `$BEFORE_AFTER_BUNDLED`, else `bundled/` here."""
    return Path(os.environ.get("BEFORE_AFTER_BUNDLED", Path(__file__).parent / "bundled"))


def weights_sha256(folder: Path) -> str:
    """SHA-256 of the adapter's weights file, or over those of a whole model in the order of their names.

    Raises:
        ModelError: the folder of a whole model has no weights.
    """
    digest = hashlib.sha256()
    for path in weight_files(folder) if is_whole(folder) else [folder / WEIGHTS_FILE]:
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()


def tuned_in(run: Path) -> Path:
    """What was tuned in the folder of a finished run: a whole model, or an adapter.

    Raises:
        RunError: it has neither.
    """
    for name in ("model", "adapter"):
        if (run / name).is_dir():
            return run / name
    raise RunError("This run has no adapter and no model", got=str(run), fix="Give the folder of a finished run.")
