"""What a run has tuned, as a folder: an adapter beside its base, or a whole model."""

from __future__ import annotations

import hashlib
from pathlib import Path

from models.adapter_files import WEIGHTS_FILE
from models.whole import is_whole, weight_files


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
