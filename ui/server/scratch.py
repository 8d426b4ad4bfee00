"""Folders for files that are made for one visitor's page: reports to download, evaluations. They last a day."""

from __future__ import annotations

import getpass
import secrets
import shutil
import tempfile
import time
from pathlib import Path

from gradio.utils import abspath, get_upload_folder

LASTS_S = 24 * 3600


def new_folder(*, served: bool = False) -> Path:
    """An empty folder with a name that nobody guesses, readable by nobody else on this machine; removes those that
    are older than a day.

    Args:
        served: inside the folder that Gradio serves files from, so that it copies none of them elsewhere.
    """
    place = get_upload_folder() if served else tempfile.gettempdir()
    root = abspath(place) / f"before-after-{getpass.getuser()}"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in root.iterdir():
        try:
            if time.time() - folder.stat().st_mtime > LASTS_S:
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # somebody else has just removed it
    folder = root / secrets.token_urlsafe(16)
    folder.mkdir(mode=0o700)
    return folder
