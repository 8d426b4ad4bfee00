"""Processes: telling one from a later one with its number, and ending a worker with everything it started.

The one place that uses what only some systems have: sessions of processes, the cores that this one may use, and the
most memory one has taken.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

import psutil

RUN_VARIABLE = "BEFORE_AFTER_RUN"
"""Names the run's folder in the environment of its worker, and so of everything that the worker starts."""


def process_started(pid: int) -> float | str | None:
    """What tells process `pid` from a later one of that number; None if there is none (or only its remains).

    On Linux it is the boot and the clock ticks since: the start in seconds since the epoch, which other systems
    keep, is computed there from a clock that may have been moved meanwhile.
    """
    try:
        after_name = (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        )
        if after_name[0] in "ZX":
            return None
        return f"{boot_id()}+{after_name[19]}"
    except (OSError, IndexError):
        if Path("/proc/self/stat").exists():
            return None
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.Error:
        return None


def worker_pid() -> int:
    """The process that stands for the worker that this one is, or is one of.

    Of several that is torchrun's, whose children they are; where it is gone it is another number, and no worker.
    """
    return os.getppid() if world_size() > 1 else os.getpid()


def rank() -> int:
    """Which of the processes that carry out a run this one is; the first, 0, writes its folder."""
    return int(os.environ.get("RANK", "0")) if world_size() > 1 else 0


def world_size() -> int:
    """How many processes carry out the run that this one does, as torchrun has told it."""
    return int(os.environ.get("WORLD_SIZE", "1")) if RUN_VARIABLE in os.environ else 1


def cores() -> int:
    """How many of the machine's cores this process may use."""
    with contextlib.suppress(AttributeError):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def boot_id() -> str:
    """What tells this boot of the machine from another, where the system says."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    return "boot"


def end_by_force(folder: Path, pid: int | None = None, timeout_s: float = 5.0) -> bool:
    """Kill the worker `pid` of the run in `folder` and all that it started; True once nothing of it is left.

    Found are its descendants, its session, and whatever carries the run's name in its environment: a child whose
    parent has ended is nobody's descendant any more. Give `pid` only if it is still the worker's. One that is no
    worker (a page that carries out the run itself) is let live.
    """
    marked = str(folder.resolve())
    worker = pid if pid is not None and _is_worker(pid) else None
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            in_session = worker is not None and _session(process.pid) == worker
            if process.pid == worker or in_session or process.environ().get(RUN_VARIABLE) == marked:
                found[process.pid] = process
                found |= {child.pid: child for child in process.children(recursive=True)}
    found.pop(os.getpid(), None)
    for process in found.values():
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(found.values(), timeout=timeout_s)
    left = {*found, *([pid] if pid is not None else [])}
    return all(process_started(number) is None for number in left)


def end_this_process() -> None:
    """End this process by force, and with it everything of its session, or else what it has started."""
    if sys.platform != "win32" and os.getsid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.kill()
    os._exit(1)


def peak_memory_mb() -> int:
    """The most memory that this process has had at a time, in MiB."""
    if sys.platform == "win32":
        return round(psutil.Process().memory_info().peak_wset / 2**20)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / 2**20 if sys.platform == "darwin" else peak / 2**10)  # in bytes there, else in KiB


def _session(pid: int) -> int | None:
    """The session that a process belongs to, where the system has such."""
    return None if sys.platform == "win32" else os.getsid(pid)


def _is_worker(pid: int) -> bool:
    with contextlib.suppress(psutil.Error, OSError):
        return "finetuning.worker" in psutil.Process(pid).cmdline()
    return False
