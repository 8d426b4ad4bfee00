"""Taking elsewhere what a finished run has tuned: an adapter's folder, or a whole model's."""

from __future__ import annotations

import shutil
from pathlib import Path

from finetuning.export.work import require_free, whole_folder
from finetuning.runs.folder import Run
from models.adapters import ORIGIN_FILE
from plumbing.errors import RunError


def copy_tuned(run: Run, target: Path) -> None:
    """Copy what the run has tuned, with its report in `eval/`, to `target`, in place of an earlier copy.

    Raises:
        RunError: the run has tuned nothing, or has no report; or something else stands there.
    """
    if not run.tuned.is_dir() or not (run.evaluation / "report.json").is_file():
        raise RunError("Only a finished run can be exported", got=f"{run.id}: {run.status().state}")
    with whole_folder(target, is_earlier=_is_earlier) as making:
        shutil.copytree(run.tuned, making, dirs_exist_ok=True)
        shutil.copytree(run.evaluation, making / "eval")


def require_place(target: Path) -> None:
    """Refuse a place to copy to that holds something else, before anything is trained for it.

    Raises:
        RunError: it does.
    """
    require_free(target, is_earlier=_is_earlier)


def _is_earlier(folder: Path) -> bool:
    return (folder / ORIGIN_FILE).is_file()
