"""python -m finetuning.worker FOLDER: the process that carries out one run or job, or one of several that do.

Its stdout and stderr are the run's `worker.log`, without any token. An error that a person can mend is recorded as
one sentence; any other leaves its traceback in the log and its last line in the status. At its end it starts the
next run that waits, for there may be no page open that does.

Several are started by torchrun, which ends them all where one of them ends badly. The first takes the run and
writes its folder; another writes there only why it has failed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
import traceback
import warnings
from pathlib import Path

from finetuning.processes import end_by_force, end_this_process, rank, worker_pid, world_size
from finetuning.runs.folder import WORKING, Run, Status
from finetuning.runs.launch import cancel_is_overdue, reconcile
from plumbing import doors
from plumbing.errors import RunError, UserError
from plumbing.redaction import RedactedStream, redact

_RESERVE = ".reserve"
"""Room for the last words of a run that has filled the disk."""
_RESERVE_BYTES = 2**16
_ENDS_ALL = 4
"""With which one of several processes ends so that torchrun ends the others."""
_LOOKS_S = 0.5
"""How often it is looked whether this process was asked to stop."""


def main() -> int:
    run = Run(Path(sys.argv[1]).resolve())
    sys.stdout, sys.stderr = RedactedStream(sys.stdout), RedactedStream(sys.stderr)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    warnings.simplefilter("once")
    leads = rank() == 0
    try:
        status = run.claim() if leads else run.status()
    except RunError as error:
        print(f"Process {os.getpid()} leaves: {error}")
        return 3
    print(f"Process {os.getpid()} works on this run{_among(world_size())}")
    doors.enter(status.door)
    threading.Thread(target=_watch, args=(run, status), daemon=True).start()
    try:
        if leads:
            (run.folder / _RESERVE).write_bytes(bytes(_RESERVE_BYTES))
        _carry_out(run)
        if world_size() > 1 and leads and run.status().state == "cancelled":
            return _ENDS_ALL
    except Exception as error:
        leads = leads or run.is_mine()
        return _record(run, error)
    finally:
        if leads:
            with contextlib.suppress(RunError, OSError):
                (run.folder / _RESERVE).unlink(missing_ok=True)
                reconcile(run.folder.parent)
    return 0


def _carry_out(run: Run) -> None:
    if run.is_job:
        from finetuning.jobs.carrying_out import run_job

        run_job(run, run.cancel_requested)
    else:
        from finetuning.training import run_training

        run_training(run, run.cancel_requested)


def _among(processes: int) -> str:
    return f", {rank() + 1} of {processes}" if processes > 1 else ""


def _record(run: Run, error: Exception) -> int:
    """Write down why the run failed; 2 for an error that a person can mend, 1 for a bug.

    Of several processes that fail, the first says why. Where one is gone, the run was interrupted, and not by those
    that miss it.
    """
    from finetuning.runs.faults import explain, is_lost_peer

    if world_size() > 1 and (is_lost_peer(error) or not run.is_mine()):
        if not isinstance(error, UserError):  # which has been said by another
            traceback.print_exception(error)
        return _ENDS_ALL
    understood = explain(error, run)
    if understood is None or understood is not error:
        traceback.print_exception(error)
    if understood is None:
        what = str(error).strip().splitlines() or [type(error).__name__]
        sentence = f"{type(error).__name__}: {what[0]} (the whole story is in worker.log)"
    else:
        sentence = str(understood)
        print(sentence)
    run.remove_torn_checkpoints()
    (run.folder / _RESERVE).unlink(missing_ok=True)
    run.update(state="failed", phase="", error=redact(sentence), ended=time.time())
    return 1 if understood is None else 2


def _watch(run: Run, status: Status) -> None:
    """End this process by force where it was asked to stop and does not: it may hang, and nobody may be looking.

    One of several ends all of them, the first in time; and itself where what kept them together is gone.
    """
    keeper = worker_pid()
    while True:
        time.sleep(_LOOKS_S)
        if worker_pid() != keeper:
            end_this_process()
        with contextlib.suppress(RunError, OSError):
            if not (run.cancel_requested() and cancel_is_overdue(run, run.status(), late_s=5.0 * rank())):
                continue
            if run.status().state in WORKING:
                run.update(state="cancelled", phase="", ended=time.time())
                if world_size() > 1:
                    end_by_force(run.folder)
                reconcile(run.folder.parent)
            end_this_process()


if __name__ == "__main__":
    sys.exit(main())
