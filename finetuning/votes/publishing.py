"""The votes of a page, copied to a dataset on the Hub while it is served, so that they outlive a Space's disk.

Only where somebody has asked for that by two variables of the environment: the dataset's name, and a token that may
write to it. The dataset is made private where there is none, for votes hold what visitors wrote. Nothing is taken
away there: a disk that was wiped begins a new folder in the dataset.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import lock_descriptor

from eval.vote_lines import FILE
from finetuning.runs.locks import locked, writing
from plumbing.errors import RunError
from plumbing.redaction import redact
from plumbing.writing import write_atomically

if TYPE_CHECKING:
    from huggingface_hub import CommitScheduler

DATASET = "BEFORE_AFTER_VOTES_DATASET"
"""Names the dataset: OWNER/NAME."""
TOKEN = "HF_TOKEN"
EVERY_MINUTES = 5.0
LOCK_FILE = ".copying"
ID_FILE = "id"
"""In the folder of the votes: what tells its file from those of other disks in the same dataset."""


def dataset_of(environment: Mapping[str, str] = os.environ) -> str | None:
    """The dataset that votes are copied to; None unless it and a token are given."""
    return environment.get(DATASET, "").strip() or None if environment.get(TOKEN, "").strip() else None


def start(
    folder: Path,
    environment: Mapping[str, str] = os.environ,
    *,
    endpoint: str | None = None,
    every_minutes: float = EVERY_MINUTES,
) -> CommitScheduler | None:
    """Copy the votes in `folder` to the dataset, now, every few minutes, and when the program ends.

    Args:
        folder: of the votes; of what is in it their file alone is copied.
        environment: names the dataset and holds the token.
        endpoint: another Hub.
        every_minutes: how often.

    Returns:
        What does it; None where nobody has asked for it.

    Raises:
        RunError: the dataset cannot be reached or made, the folder not written to, or another process does it.
    """
    dataset = dataset_of(environment)
    if dataset is None:
        return None
    from huggingface_hub import CommitScheduler, HfApi

    path = f"votes/{_id_of(folder)}"
    _take_on(folder)
    try:
        return CommitScheduler(
            repo_id=dataset,
            repo_type="dataset",
            folder_path=folder,
            path_in_repo=path,
            allow_patterns=FILE,
            every=every_minutes,
            private=True,
            hf_api=HfApi(endpoint=endpoint, token=environment[TOKEN].strip()),
        )
    except Exception as error:  # of the Hub's library, of the one that it speaks HTTP with, of the system
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise RunError(
            f"The votes are not copied to the Hub: {redact(why, environment)}",
            got=dataset,
            fix=f"Give a dataset in ${DATASET} and a token in ${TOKEN} that may write to it.",
        ) from None


_held: dict[Path, int] = {}
"""Of each folder whose votes this process copies, the file that it holds locked until it ends."""


def _take_on(folder: Path) -> None:
    """Make the copying of a folder's votes this process's, as long as it lives.

    Raises:
        RunError: it is another's.
    """
    if folder in _held:
        return
    with writing(folder):
        handle = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    if not lock_descriptor(handle, blocking=False):
        os.close(handle)
        raise RunError("Another process of this page copies the votes; this one does once that has ended")
    _held[folder] = handle


def _id_of(folder: Path) -> str:
    """What the folder is called in the dataset, drawn once."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            path = folder / ID_FILE
            if not path.exists():
                write_atomically(path, secrets.token_hex(8))
            return path.read_text(encoding="utf-8").strip()
