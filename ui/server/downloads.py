"""What of a report or a lab can be downloaded: files of it, made once for all who look at it."""

from __future__ import annotations

import hashlib
import math
import shutil
import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from eval.lab.schema import LabResult
from eval.report.folder import MARKDOWN_FILE, REPORT_FILE, ROWS_FILE
from eval.report.schema import Report, RowResult
from finetuning.lab.results import write
from ui.drawing.flips import FLIPS_FILE, flips, to_csv
from ui.server import scratch

FILES = (REPORT_FILE, MARKDOWN_FILE, ROWS_FILE, FLIPS_FILE)
"""What can be downloaded."""


def copies(folder: Path, report: Report, rows: Sequence[RowResult]) -> list[str | None]:
    """Copies of `FILES` to be offered for download; None for one that is not there.

    Gradio serves files from its own folder, from where they lie; the runs folder itself is not opened to anybody.
    Made once for all who look at a report on the same day.
    """
    measured = (folder / REPORT_FILE).stat().st_mtime_ns
    made_at, found = _copies.get((folder, measured), (-math.inf, []))
    if time.monotonic() - made_at > scratch.LASTS_S / 2:
        found = _new_copies(folder, report, rows)
        while len(_copies) >= _REMEMBERED_COPIES:
            _copies.popitem(last=False)
        _copies[folder, measured] = time.monotonic(), found
    return found


_REMEMBERED_COPIES = 1000


_copies: OrderedDict[tuple[Path, int], tuple[float, list[str | None]]] = OrderedDict()
"""When the copies of a report were made, by its folder and when it was written, and where they are."""


def _new_copies(folder: Path, report: Report, rows: Sequence[RowResult]) -> list[str | None]:
    target = scratch.new_folder(served=True)
    found: list[str | None] = []
    for name in FILES:
        source, copy = folder / name, target / name
        if name == FLIPS_FILE:
            # With a mark of its encoding, without which Excel takes it for another.
            copy.write_text(to_csv(report, flips(report, rows)), encoding="utf-8-sig", newline="")
        elif source.is_file():
            shutil.copyfile(source, copy)
        found.append(str(copy) if copy.is_file() else None)
    return found


LAB_FILES = ("html", "md", "json")
"""What of a lab can be downloaded, by how its name ends."""


def files_of_lab(result: LabResult) -> list[str]:
    """The lab's HTML file, and the same as Markdown and as JSON, to be offered for download."""
    named = hashlib.sha256(result.model_dump_json().encode()).digest()
    made_at, found = _of_labs.get(named, (-math.inf, []))
    if time.monotonic() - made_at > scratch.LASTS_S / 2:
        target = scratch.new_folder(served=True)
        write(result, target, name=result.name)
        found = [str(target / f"{result.name}.{kind}") for kind in LAB_FILES]
        while len(_of_labs) >= _REMEMBERED_COPIES:
            _of_labs.popitem(last=False)
        _of_labs[named] = time.monotonic(), found
    return found


_of_labs: OrderedDict[bytes, tuple[float, list[str]]] = OrderedDict()
"""The same of labs, by a hash of all that they found: two visitors' labs may have one name, and end at once."""
