"""python -m finetuning.lab.worker FOLDER: the process that carries out one lab.

Its stdout and stderr are the lab's `lab.log`, without any token. An error that a person can mend is one sentence in
the lab's status; any other leaves its traceback in the log as well.
"""

from __future__ import annotations

import logging
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

from finetuning.lab.folder import LabFolder
from finetuning.lab.runner import Runner, Stopped
from plumbing import doors
from plumbing.errors import RunError, UserError
from plumbing.redaction import RedactedStream, redact


def main() -> int:
    lab = LabFolder(Path(sys.argv[1]).resolve())
    sys.stdout, sys.stderr = RedactedStream(sys.stdout), RedactedStream(sys.stderr)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    warnings.simplefilter("once")
    try:
        status = lab.claim()
    except RunError as error:
        print(f"This process leaves: {error}")
        return 3
    doors.enter(status.door)
    return carry_out(lab)


def carry_out(lab: LabFolder) -> int:
    """Carry the lab out in this process and write down how it ended: 0, or 2 and 1 as of a command."""
    from finetuning.lab.results import write_results

    runner: Runner | None = None

    def ended(**how: Any) -> None:
        worked = {"seconds": runner.seconds} if runner is not None else {}
        lab.update(phase="", ended=time.time(), **worked, **how)

    try:
        runner = Runner(lab)
        runner.carry_out()
        write_results(lab)
    except Stopped as stopped:
        ended(state="cancelled", error=str(stopped))
        return 0
    except UserError as error:
        print(error)
        ended(state="failed", error=redact(str(error)))
        return 2
    except Exception as error:
        traceback.print_exception(error)
        what = str(error).strip().splitlines() or [""]
        said = f"{type(error).__name__}: {what[0]} (the whole story is in lab.log)"
        ended(state="failed", error=redact(said))
        return 1
    ended(state="finished", done=lab.status().total, error=None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
