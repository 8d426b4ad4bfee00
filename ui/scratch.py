"""Folders for files that are made for one visitor's page: reports to download, evaluations. They last a day."""

from __future__ import annotations

import getpass
import shutil
import tempfile
import time
from pathlib import Path

LASTS_S = 24 * 3600


def new_folder() -> Path:
    """An empty folder of its own, readable by nobody else; removes those that are older than a day."""
    root = Path(tempfile.gettempdir()) / f"before-after-{getpass.getuser()}"
    root.mkdir(mode=0o700, exist_ok=True)
    for folder in root.iterdir():
        try:
            if time.time() - folder.stat().st_mtime > LASTS_S:
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # somebody else has just removed it
    return Path(tempfile.mkdtemp(dir=root))
