"""This machine: a worker's process, or several that torchrun keeps together, one a GPU where there are some.

Whichever it is, it is a process of its own with its own session, so it outlives the page, the app and the shell
that started it. Several are children of torchrun, which stands for all of them: where one ends badly it ends the
others, and where it is gone itself they end.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from finetuning.launchers.launcher import Begun, Job
from finetuning.processes import RUN_VARIABLE, cores, end_by_force, process_started
from plumbing.errors import RecipeError

if TYPE_CHECKING:
    from finetuning.recipe import Recipe

ROOT = Path(__file__).resolve().parents[2]
MOST = 64
"""Processes of one run; what a machine has is asked when one is made."""
_FOLDERS = ("BEFORE_AFTER_RUNS", "BEFORE_AFTER_CACHE", "BEFORE_AFTER_BUNDLED", "HF_HOME", "XDG_CACHE_HOME")
"""What in the environment names a folder."""
_GIVEN = "BEFORE_AFTER_GIVEN"
"""Holds, for a worker, what is changed for it as it was before: at its end it starts the next run."""
_CHANGED = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
_OF_TORCHRUN = re.compile(r"((LOCAL|GROUP|ROLE)_)?(RANK|WORLD_SIZE)|ROLE_NAME|MASTER_(ADDR|PORT)|TORCHELASTIC_\w+")
"""What torchrun tells the processes that it starts: a run that one of them starts is none of these."""
_started_here: list[subprocess.Popen[bytes]] = []
"""Workers whose end this process has to collect, so that they do not stay as zombies. Nothing else relies on it."""


@dataclass(frozen=True)
class Here:
    """This machine."""

    processes: int = 1
    takes_turns: bool = True

    def require(self, recipe: Recipe) -> None:
        from finetuning.trainers.arguments import require_shares

        require_shares(recipe, self.processes)
        if self.processes == 1:
            return
        has, what = _devices()
        if self.processes > has:
            raise RecipeError(
                f"A run of {self.processes} processes needs as many {what}s, and this machine has {has}",
                got=f"where={recipe.where}",
                fix=f"Set where=here:{has}, or leave it out for one process." if has > 1 else "Leave where out.",
            )

    def start(self, folder: Path, log: Path) -> Job:
        with log.open("ab") as output:
            worker = subprocess.Popen(
                [*self._command(), str(folder)],
                cwd=ROOT,
                env=worker_environment(self.processes) | {RUN_VARIABLE: str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        _started_here.append(worker)
        return Job(pid=worker.pid, pid_started=process_started(worker.pid))

    def look(self, folder: Path, begun: Begun) -> bool:
        return begun.pid is not None and process_started(begun.pid) == begun.pid_started

    def cancel(self, folder: Path, begun: Begun) -> bool:
        return end_by_force(folder, begun.pid if self.look(folder, begun) else None)

    def fetch(self, folder: Path, begun: Begun) -> None:
        """It is here."""

    def _command(self) -> list[str]:
        if self.processes == 1:
            return [sys.executable, "-m", "finetuning.worker"]
        together = ["--standalone", "--local_addr", "127.0.0.1", "--nproc_per_node", str(self.processes)]
        return [sys.executable, "-m", "torch.distributed.run", *together, "-m", "finetuning.worker"]


def launcher(rest: str) -> Here:
    """Of `here:REST`: how many processes; nothing means one.

    Raises:
        ValueError: that is no number of processes.
    """
    if not rest:
        return Here()
    if not (rest.isascii() and rest.isdigit()) or not 1 <= int(rest[:9]) <= MOST:
        raise ValueError(f"what follows here: is a number of processes, from 1 to {MOST}, as in here:2")
    return Here(int(rest))


def places() -> list[tuple[str, str]]:
    """This machine; and with more than one of its GPUs, twice as many each time, where it has several."""
    has = len(list(Path("/dev").glob("nvidia[0-9]*")))
    if (chosen := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        has = min(has, len([each for each in chosen.split(",") if each]))
    counts = sorted({2, 4, 8, has} & set(range(2, has + 1)))
    return [("This machine", "here"), *((f"{count} GPUs of this machine", f"here:{count}") for count in counts)]


def collect() -> None:
    """Let go of workers that have ended."""
    _started_here[:] = [worker for worker in _started_here if worker.poll() is None]


def worker_environment(processes: int = 1) -> dict[str, str]:
    """The environment that a worker runs in: the present one, with settings that make training fast.

    The worker's folder is another than that of whoever starts it, so folders are named by their whole paths. It
    sees one GPU, the first: a trainer spreads a model over all that it sees, and TRL's refuses one in 4 bits then.
    Several processes see as many, of which each takes its own, and share the cores.
    """
    outside = _outside()
    named = {name: outside.get(name, "~") for name in _FOLDERS}
    folders = {name: str(Path(value).absolute()) for name, value in named.items() if value and value[0] != "~"}
    every = ",".join(map(str, range(processes)))
    fast = {
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "GLIBC_TUNABLES": outside.get("GLIBC_TUNABLES", _allocator()),
        "CUDA_VISIBLE_DEVICES": ",".join(outside.get("CUDA_VISIBLE_DEVICES", every).split(",")[:processes]),
        _GIVEN: json.dumps({name: outside.get(name) for name in _CHANGED}),
    }
    if processes > 1:
        fast["OMP_NUM_THREADS"] = outside.get("OMP_NUM_THREADS", str(max(1, cores() // processes)))
        if sys.platform == "linux":  # gloo takes the address of the machine's name, which may have none
            fast["GLOO_SOCKET_IFNAME"] = outside.get("GLOO_SOCKET_IFNAME", "lo")
    return outside | folders | fast


def _outside() -> dict[str, str]:
    """The present environment, as it was before a worker was made of it, if this is one."""
    now = {name: value for name, value in os.environ.items() if not _OF_TORCHRUN.fullmatch(name)}
    for name, value in json.loads(now.pop(_GIVEN, "{}")).items():
        now.pop(name, None)
        if value is not None:
            now[name] = value
    return now


def _devices() -> tuple[int, str]:
    """How many processes can work side by side here, each with a device of its own, and what that is."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.device_count(), "GPU"
    return (1, "GPU") if torch.backends.mps.is_available() else (cores(), "core")


def _allocator() -> str:
    """How glibc's malloc serves a worker: in huge pages, and what was freed is kept for the next step.

    A training step allocates and frees gigabytes. Left alone, malloc gives them back to the system at its end, and
    the next step is made of fresh pages again, a fifth of its time. A setting that is not known is ignored.
    """
    name, version = platform.libc_ver()
    keep = {"hugetlb": 1, "trim_threshold": 1 << 40, "mmap_threshold": 1 << 30}
    if name == "glibc" and [int(part) for part in version.split(".")[:2]] < [2, 35]:
        keep["mmap_threshold"] = 1 << 25  # the most that it takes: a larger one would leave it at 128 kB
    return ":".join(f"glibc.malloc.{key}={value}" for key, value in keep.items())
