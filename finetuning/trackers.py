"""Where else a run's numbers go: transformers' own trackers, by their names. None of them is required.

The run folder stays the truth: whatever a tracker is told is in `metrics.jsonl` as well. trackio and tensorboard
write to this machine and need no network; trackio's files lie where `TRACKIO_DIR` says, else in the user's cache.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

from plumbing.errors import RecipeError

Tracker = Literal["trackio", "tensorboard", "wandb", "mlflow", "comet_ml", "swanlab", "clearml", "dvclive"]
TRACKERS: tuple[str, ...] = get_args(Tracker)
PROJECT = "before-after"
_TENSORBOARD = "TENSORBOARD_LOGGING_DIR"


def require_tracker(name: Tracker | None) -> None:
    """Refuse a tracker that is not installed.

    Raises:
        RecipeError: says how to install it.
    """
    if name is None or is_installed(name):
        return
    raise RecipeError(
        "The tracker that training.report_to names is not installed",
        got=name,
        fix=f"Install it (pip install {name.replace('_', '-')}), or leave training.report_to out: the run folder "
        "holds all of it.",
    )


def is_installed(name: str) -> bool:
    """Whether there is a package of that name; it is not imported."""
    return importlib.util.find_spec(name) is not None


def tracker_arguments(name: Tracker | None, run_id: str) -> dict[str, Any]:
    """Keyword arguments for `TrainingArguments`; nothing is sent anywhere that the tracker was not told of.

    Args:
        name: the tracker, or None.
        run_id: what the run is called there.
    """
    if name is None:
        return {"report_to": "none"}
    # Without the last of these a push to the Hub would make a public page of the numbers.
    return {"report_to": name, "run_name": run_id, "project": PROJECT, "trackio_static_space_id": False}


@contextlib.contextmanager
def writing_beside(folder: Path) -> Iterator[None]:
    """Within it, a trainer is made whose tensorboard files go into a run's `folder`, if nobody says where."""
    if _TENSORBOARD in os.environ:
        yield
        return
    os.environ[_TENSORBOARD] = str(folder / "tensorboard")
    try:
        yield
    finally:
        del os.environ[_TENSORBOARD]
