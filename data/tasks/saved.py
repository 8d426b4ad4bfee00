"""A task in a file, beside what was tuned for it: whoever has the one can ask as it was asked in training."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from data.tasks.task import Task
from plumbing.errors import ModelError
from plumbing.reading import read_text
from plumbing.writing import write_atomically

TASK_FILE = "task.json"
VERSION = 1
_MAX_BYTES = 2**18


def save_task(task: Task, folder: Path) -> None:
    """Write `task` into `folder`."""
    values = {"version": VERSION} | task.as_dict()
    write_atomically(folder / TASK_FILE, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def load_task(folder: Path) -> Task | None:
    """What `save_task` wrote into `folder`; None where there is none, as of what an earlier version tuned.

    Raises:
        ModelError: the file is damaged, or of a version that this one does not know.
    """
    path = folder / TASK_FILE
    try:
        values = json.loads(read_text(path, limit=_MAX_BYTES))
        if not isinstance(values, dict) or values.pop("version", None) != VERSION:
            raise ValueError(f"it is not of version {VERSION}")
        task = TypeAdapter(Task).validate_python(values)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, ValidationError, RecursionError) as error:
        said = " ".join(str(error).split())[:200]
        raise ModelError(f"{TASK_FILE} cannot be read: {said}", got=str(path), fix="Train it again.") from None
    if task.is_classification and len(set(task.labels)) < 2:
        raise ModelError(f"{TASK_FILE} names fewer than two labels", got=str(path), fix="Train it again.")
    return task
