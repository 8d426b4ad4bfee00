"""What a run has tuned, as a folder: an adapter beside its base, or a whole model."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from models.adapter_files import WEIGHTS_FILE
from models.whole import is_whole, weight_files


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
