"""python -m finetuning.worker RUN_DIR: the process that carries out one run.

Its stdout and stderr are the run's `worker.log`. An error that a person can mend is recorded as one sentence; any
other leaves its traceback in the log and its last line in the status.
"""

from __future__ import annotations

import logging
import os
import sys
import time
import traceback
import warnings
from pathlib import Path

from data.errors import RunError, UserError
from finetuning.runs import Run


def main() -> int:
    run = Run(Path(sys.argv[1]).resolve())
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    warnings.simplefilter("once")
    try:
        run.claim()
    except RunError as error:
        print(f"Process {os.getpid()} leaves: {error}")
        return 3
    print(f"Process {os.getpid()} works on this run")
    try:
        from finetuning.training import run_training

        run_training(run, run.cancel_requested)
    except UserError as error:
        print(error)
        run.update(state="failed", phase="", error=str(error), ended=time.time())
        return 2
    except Exception as error:
        traceback.print_exc()
        what = str(error).strip().splitlines() or [type(error).__name__]
        sentence = f"{type(error).__name__}: {what[0]} (the whole story is in worker.log)"
        run.update(state="failed", phase="", error=sentence, ended=time.time())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
