"""`/health`, for whatever watches the app: whether it can work, and how busy it is. No names, no secrets."""

from __future__ import annotations

import tempfile
import time
import tomllib
from pathlib import Path
from typing import Any

import anyio.to_thread

from finetuning.runs.folder import active_states, runs_folder
from ui.server import engine
from ui.server.models_in_use import MODELS

FRESH_S = 2.0
"""An answer is given again for so long, so that asking often costs nothing."""
_VERSION = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
_last: tuple[float, int, dict[str, Any]] | None = None


async def report() -> tuple[int, dict[str, Any]]:
    """An HTTP status, 200 or 503, and what to say."""
    global _last
    if _last is None or time.monotonic() - _last[0] > FRESH_S:
        status, said = await anyio.to_thread.run_sync(look)
        _last = time.monotonic(), status, said
    return _last[1], _last[2]


def look() -> tuple[int, dict[str, Any]]:
    """As `report`, looking now."""
    problem = _cannot_write()
    states = active_states()
    said = {
        "up": problem is None,
        "version": _VERSION["version"],
        "run_active": any(state != "queued" for state in states),
        "runs_waiting": states.count("queued"),
        "chat_waiting": len(MODELS.line) + engine.waiting(),
    }
    return (503, said | {"problem": problem}) if problem else (200, said)


def _cannot_write() -> str | None:
    """What is wrong with the runs folder; None if a run can be made in it."""
    folder = runs_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:  # of no name: another process of the page may look, too
            probe.write(b"x" * 4096)
            probe.flush()
    except OSError as error:
        return f"The runs folder cannot be written: {error.strerror}"
    return None
