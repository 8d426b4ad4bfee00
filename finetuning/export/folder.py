"""Taking elsewhere what a finished run has tuned: an adapter's folder, or a whole model's."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from finetuning.runs.folder import Run
from plumbing.errors import RunError


def copy_tuned(run: Run, target: Path) -> None:
    """Copy what the run has tuned, with its report in `eval/`, to `target`, replacing what is there in one rename.

    Raises:
        RunError: the run has tuned nothing, or has no report.
    """
    if not run.tuned.is_dir() or not (run.evaluation / "report.json").is_file():
        raise RunError("Only a finished run can be exported", got=f"{run.id}: {run.status().state}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".exporting-") as scratch:
        making = Path(scratch) / "new"
        shutil.copytree(run.tuned, making)
        shutil.copytree(run.evaluation, making / "eval")
        if target.exists():
            target.rename(Path(scratch) / "old")
        making.rename(target)
