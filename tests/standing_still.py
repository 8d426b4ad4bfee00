"""A run whose worker does nothing for a while, as on a machine that is busy: it leaves the processor to others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from finetuning.runs.folder import Run


@contextmanager
def standing_still(run: Run) -> Iterator[None]:
    """The process that works on `run` is stopped meanwhile; the clock goes on."""
    worker = psutil.Process(run.status().pid)
    with run.locked():  # else it might hold that lock, and whoever cancels the run would wait for it
        worker.suspend()
    try:
        yield
    finally:
        worker.resume()
