"""Starting, cancelling and re-attaching runs. One at a time on a device; more wait in their folders.

The worker is its own process and session, so it outlives the page, the app and the shell that started it. Who may
start it is decided under a lock of the operating system on the runs folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from data.errors import RunError
from finetuning.recipe import Recipe
from finetuning.runs import ACTIVE, RESUMABLE, Run, create_run, list_runs, runs_folder

ROOT = Path(__file__).resolve().parent.parent
_STARTING_S = 60.0
"""A worker that has not written its process id after this long never started."""
_started_here: list[subprocess.Popen[bytes]] = []
"""Workers whose end this process has to collect, so that they do not stay as zombies. Nothing else relies on it."""


def submit(recipe: Recipe, folder: Path | None = None) -> Run:
    """Make a run of `recipe` and start it, or leave it queued behind the one that is running."""
    run = create_run(recipe, folder)
    reconcile(folder)
    return run


def cancel(run: Run) -> None:
    """Ask the run to stop; one that has not begun is cancelled at once."""
    run.request_cancel()
    with _lock(run.folder.parent):
        if run.status().state == "queued":
            run.update(state="cancelled", ended=time.time())


def resume(run: Run) -> None:
    """Put a run that ended early back into the queue; it goes on from its last whole checkpoint.

    Raises:
        RunError: the run is still being worked on, or has finished.
    """
    with _lock(run.folder.parent):
        state = run.status().state
        if state not in RESUMABLE:
            what = "has finished" if state == "finished" else "is not over yet"
            raise RunError(f"Only a run that ended early can go on, and this one {what}", got=f"{run.id}: {state}")
        run.withdraw_cancel()
        run.update(state="queued", phase="", pid=None, pid_started=None, error=None, ended=None, done=0, total=0)
    reconcile(run.folder.parent)


def reconcile(folder: Path | None = None) -> None:
    """Bring the folder's states in line with the processes that exist, and start the next queued run."""
    folder = (folder or runs_folder()).resolve()
    if not folder.is_dir():
        return
    _started_here[:] = [worker for worker in _started_here if worker.poll() is None]
    with _lock(folder):
        queued: list[Run] = []
        busy = False
        for run in list_runs(folder):
            try:
                status = run.status()
            except RunError:
                continue  # a damaged run must not stop the others
            if status.state == "queued":
                queued.append(run)
            elif status.state in ACTIVE:
                starting = status.pid is None and time.time() - (status.started or 0) < _STARTING_S
                if starting or run.process_alive():
                    busy = True
                elif run.status().state in ACTIVE:  # read again: it may have ended meanwhile
                    run.update(state="interrupted", phase="", ended=time.time())
        if queued and not busy:
            _start(queued[-1])


def wait(run: Run, poll_s: float = 0.5) -> Iterator[None]:
    """Yield every `poll_s` seconds until the run has ended; starts it when its turn comes."""
    while run.status().state in ACTIVE:
        yield
        time.sleep(poll_s)
        reconcile(run.folder.parent)


def _start(run: Run) -> None:
    # No process id yet: the worker writes its own, and from then on it is the only writer.
    run.update(state="running", phase="Starting", started=time.time())
    with run.log_file.open("ab") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "finetuning.worker", str(run.folder)],
            cwd=ROOT,
            env=worker_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _started_here.append(worker)


def worker_environment() -> dict[str, str]:
    """The environment that a worker runs in: the present one, with settings that make training fast."""
    return os.environ | {
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "false",
        # Large tensors in huge pages: a training step allocates and frees gigabytes, and 4 KiB page faults
        # cost up to a third of it.
        "GLIBC_TUNABLES": os.environ.get("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"),
        # Threads that wait for each other spin for a moment, not for long: with a busy neighbour on the same cores
        # (a chat beside the training) long spinning makes a step four times slower, short spinning twice.
        "GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", "1000"),
    }


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold the runs folder's lock; the operating system frees it whatever happens to us."""
    with (folder / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
