"""Starting a lab, stopping it, letting it go on. Its process is its own, as a run's is: no page holds it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator

from finetuning.lab import strangers
from finetuning.lab.fitting import require_bases, require_fit
from finetuning.lab.folder import ACTIVE, LabFolder, create_lab
from finetuning.lab.lab import Lab
from finetuning.lab.plan import Plan, make_plan
from finetuning.lab.rows import open_rows
from finetuning.limits import Limits
from finetuning.runs import launch as runs
from finetuning.runs.folder import open_run
from plumbing import doors
from plumbing.errors import RunError

_WAITS_S = 60.0
"""A lab has had its process by then."""
_started_here: list[subprocess.Popen[bytes]] = []
"""Processes whose end this one has to collect."""


def planned(lab: Lab, limits: Limits | None = None) -> Plan:
    """The plan of `lab`, once it is known that its runs fit together and can be made here. Loads no model.

    Raises:
        UserError: they do not, or cannot.
    """
    plan = make_plan(lab)
    require_fit(plan)
    if limits is not None:
        plan = strangers.within(plan, limits)
    require_bases(plan)
    return plan


def begin(lab: Lab, plan: Plan, *, owner: str = "", limits: Limits | None = None) -> LabFolder:
    """Make the lab's folder and start its process.

    Raises:
        UserError: its rows cannot be read, are not the same for all options, or it is beyond the limits.
    """
    rows = open_rows(plan)
    if limits is not None:
        strangers.require_room(plan, rows, limits, owner)
        strangers.forget_oldest(limits)
    made = create_lab(lab, plan, owner=owner, limits=limits, door=doors.current())
    _start(made)
    return made


def go_on(lab: LabFolder) -> None:
    """Let a lab go on that ended early, or with options that failed: what was measured is not measured again.

    Raises:
        RunError: it is being worked on, or has nothing left to do.
    """
    settle(lab)
    lab.put_back(doors.current())
    _start(lab)


def cancel(lab: LabFolder) -> None:
    """Ask a lab to stop: its run keeps a checkpoint, and no other is started. One that is over stays as it is.

    Of one whose process is gone the run may still go on by itself: it is stopped all the same.
    """
    settle(lab)
    if (state := lab.status().state) in ACTIVE:
        lab.request_cancel()
    elif state == "interrupted":
        for run_id in lab.record().runs.values():
            with contextlib.suppress(RunError):  # it was deleted
                runs.cancel(open_run(run_id, lab.runs))


def settle(lab: LabFolder) -> None:
    """Write down the end of a lab whose process is gone."""
    _started_here[:] = [process for process in _started_here if process.poll() is None]
    with contextlib.suppress(RunError, OSError):
        status = lab.status()
        if status.state == "waiting":  # whoever made it was ended before there was a process
            gone = time.time() - (lab.folder / "status.json").stat().st_mtime > _WAITS_S
        else:
            gone = status.state == "running" and not lab.process_alive()
        if not gone:
            return
        said = "Its process was ended from outside. It goes on where it was."
        lab.update(state="interrupted", phase="", ended=time.time(), error=said)


def wait(lab: LabFolder, poll_s: float = 0.5) -> Iterator[None]:
    """Yield every `poll_s` seconds until the lab has ended."""
    while lab.status().state in ACTIVE:
        yield
        time.sleep(poll_s)
        settle(lab)


def _start(lab: LabFolder) -> None:
    """Start the lab's process; where that is impossible, the lab has failed."""
    folder = lab.folder.resolve()
    try:
        with lab.log_file.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "finetuning.lab.worker", str(folder)],
                cwd=runs.ROOT,
                env=runs.worker_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        lab.update(state="failed", ended=time.time(), error=f"Its process cannot be started: {error}")
        return
    _started_here.append(process)
    lab.note_started(process.pid)
