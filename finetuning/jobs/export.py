"""What a run has tuned, or what ships, written as one file that can be taken elsewhere.

A folder (`merged`, `ollama`) is packed into one zip: it is one download that keeps the folder together, whatever
the browser. Nothing in it is compressed, for weights do not get smaller; each file goes as soon as it is packed, so
the disk never holds all of it twice. It is written in the job's folder, and moved to where it stays when whole.
"""

from __future__ import annotations

import math
import shutil
import threading
import zipfile
from pathlib import Path
from typing import Annotated

from pydantic import Field

from finetuning.export.checking import ROWS, check_exported, require_checkable
from finetuning.export.forms import WRITTEN, Options, export
from finetuning.export.made import Made, What, find_made, forget_oldest_shipped, keep, place_of
from finetuning.export.tuned import Tuned
from finetuning.export.weights import FolderWeights
from finetuning.export.work import Stopped, Work
from finetuning.jobs.strangers import submit_within
from finetuning.limits import Limits, make_room
from finetuning.runs.folder import ACTIVE, Run, runs_folder
from finetuning.runs.jobs import Asked, asked_of, list_jobs, submit
from finetuning.runs.journal import Journal
from models.sources import in_reach
from plumbing.errors import RecipeError, RunError, UserError
from plumbing.writing import flush

EXPORT = "export"
MAKING = "making"
"""In the job's folder: what is being written."""
_BLOCK = 2**22
_BYTES_A_WEIGHT = {"float32": 4.0, "f32": 4.0, "bfloat16": 2.0, "float16": 2.0, "f16": 2.0, "q8_0": 34 / 32}
_ELSEWHERE = "There are no such limits on a machine of your own."
_submitting = threading.Lock()
"""Two clicks at once are one export."""


class Export(Asked):
    """What is to be written."""

    adapter: str
    """The folder of what was tuned."""
    what: What
    check_rows: Annotated[int, Field(ge=0)] = 0
    """Test rows that it is asked once it is written; 0 for none."""


# ---- asking for one ----------------------------------------------------------------------------------------


def asked_for(tuned: Tuned, form: str, options: Options | None = None, *, check: bool = False) -> Export:
    """What a person asks for, once it is known that it can be had, as far as that shows without fetching anything.

    Args:
        tuned: what is exported.
        form: one that is written to a file or a folder, by its name.
        options: those that the form does not heed are let be.
        check: ask it test rows once it is written; an adapter by itself is what was trained, and is not asked.

    Raises:
        UserError: it cannot be taken so, with the reason.
    """
    if form not in WRITTEN:
        raise RecipeError("There is no such form", got=form[:100], fix=f"There are {', '.join(WRITTEN)}.")
    known = WRITTEN[form]
    options = known.only_heeded(options or Options())
    known.require(tuned, options)
    asked_as = "" if options.adapter_alone else known.asked_as
    if check and asked_as and (asked_as != "gguf" or in_reach(tuned.origin.name)):
        require_checkable(tuned, as_gguf=asked_as == "gguf")
    what = What.of(form, options)
    return Export(
        title=f"{tuned.name}: {what.name}",
        adapter=str(tuned.folder),
        what=what,
        check_rows=ROWS if check and asked_as else 0,
    )


def ask(asked: Export, limits: Limits | None = None, *, owner: str = "") -> Run | None:
    """Let it be made, unless it is there or on its way; on a public page after every check.

    Args:
        asked: see `asked_for`.
        limits: of strangers; None on a page of one's own.
        owner: who asks.

    Returns:
        The job; None where it is made already, and was asked rows if that is asked for.

    Raises:
        RecipeError: the file would be too large.
        RunError: this owner has a job that is not over, the queue is full, or there is no room.
    """
    tuned = Tuned.of(Path(asked.adapter))
    with _submitting:
        before = jobs_for(tuned.folder, asked.what)
        for job in before:
            if job.state() in ACTIVE:
                return job
        found = find_made(tuned.folder, asked.what)
        if found is not None and (found[0].check or not asked.check_rows):
            return None
        if limits is not None:
            asked = _within(tuned, asked, limits)
        made = submit_within(EXPORT, asked, limits, owner=owner) if limits else submit(EXPORT, asked)
        for job in before:  # these are over, and what they made lies elsewhere; only now, or their id came again
            shutil.rmtree(job.folder, ignore_errors=True)
        return made


def jobs_for(tuned: Path, what: What | None = None) -> list[Run]:
    """The jobs that export this, or one file of it, the newest first; none that is damaged."""
    found = []
    for job in list_jobs({EXPORT}):
        try:
            asked = asked_of(job, Export)
        except RunError:
            continue
        if Path(asked.adapter) == tuned.resolve() and what in (None, asked.what):
            found.append(job)
    return found


def sweep(runs: Path | None = None) -> None:
    """Remove what exports that were ended by force have left half-written."""
    for job in list_jobs({EXPORT}, runs):
        if job.state() not in ACTIVE and (making := job.folder / MAKING).is_dir():
            shutil.rmtree(making, ignore_errors=True)


def size_bytes(tuned: Tuned, what: What) -> int:
    """About how large the file becomes; where the base is not on this machine, only what was trained is known."""
    own = sum(path.stat().st_size for path in tuned.folder.glob("*.safetensors"))
    if what.form == "adapter" or what.adapter_alone or (what.form == "merged" and tuned.is_whole):
        return own
    a_weight = _BYTES_A_WEIGHT.get(what.stored if what.form == "merged" else what.packing, 4.0)
    if tuned.is_whole:
        return round(_weights(tuned.folder) * a_weight)
    source = in_reach(tuned.origin.name)
    return round(_weights(source.path) * a_weight) if source else own


def _weights(folder: Path) -> int:
    return sum(math.prod(shape) for shape in FolderWeights(folder).shapes.values())


def _within(tuned: Tuned, asked: Export, limits: Limits) -> Export:
    """`asked` as a stranger may have it, once there is room for it.

    Raises:
        RecipeError: the file would be too large.
        RunError: there is no room.
    """
    size = size_bytes(tuned, asked.what)
    if size > limits.export_mb * 1_000_000:
        raise RecipeError(
            f"That makes a file of about {size / 1e6:,.0f} MB, and this public page makes them up to "
            f"{limits.export_mb:,}",
            fix=f"Take the adapter, which has a few. {_ELSEWHERE}",
        )
    runs, place = runs_folder().resolve(), place_of(tuned.folder)
    of_a_run = place.parent.parent == runs
    if not of_a_run:
        forget_oldest_shipped(runs, limits.exports_mb * 1_000_000 - size)
    elif make_room(limits, needed_bytes=size, spare=place.parent):
        raise RunError(
            f"There is no room on this public page for about {size / 1e6:,.0f} MB more",
            fix="Delete a run of yours, or take a smaller form.",
        )
    rows = min(asked.check_rows, limits.test_rows)
    return asked.model_copy(update={"check_rows": rows, "max_minutes": limits.export_minutes})


# ---- doing it ----------------------------------------------------------------------------------------------


def carry_out(job: Run, journal: Journal) -> None:
    """Write it, ask it, and keep it where it stays.

    Raises:
        UserError: it cannot be taken so, with the reason.
    """
    asked = asked_of(job, Export)
    if not Path(asked.adapter).is_dir():
        raise RunError("What was to be exported was deleted meanwhile", got=asked.title)
    sweep(job.folder.parent)
    making = job.folder / MAKING
    making.mkdir()
    try:
        made, file = _written(Tuned.of(Path(asked.adapter)), asked, making, Work(journal.tell))
        journal.check()
        keep(Path(asked.adapter), made, file)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _written(tuned: Tuned, asked: Export, making: Path, work: Work) -> tuple[Made, Path]:
    work.tell("Opening it")
    what = asked.what
    target = making / WRITTEN[what.form].usual(tuned, what.options)
    written = export(tuned.folder, what.form, target, options=what.options, work=work)
    check = _checked(tuned, written.path, asked.check_rows, work) if asked.check_rows else ""
    file = written.path if written.path.is_file() else pack(written.path, work)
    flush(making)
    size = file.stat().st_size
    return Made(what=what, file=file.name, bytes=size, notes=tuple(written.notes), check=check), file


def _checked(tuned: Tuned, path: Path, rows: int, work: Work) -> str:
    """What came of asking it; where that cannot be done, why: what was written is whole all the same."""
    try:
        return check_exported(tuned, path, work, rows=rows).sentence
    except Stopped:
        raise
    except UserError as error:
        return f"It was not checked: {error}"


def pack(folder: Path, work: Work) -> Path:
    """Make a zip of `folder` beside it, in it one folder of that name, and take the folder away.

    Returns:
        The zip.

    Raises:
        Stopped: see `Work`.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    done, total = 0, sum(path.stat().st_size for path in files)
    target = folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path in files:
            about = zipfile.ZipInfo.from_file(path, f"{folder.name}/{path.relative_to(folder).as_posix()}")
            with path.open("rb") as source, archive.open(about, "w") as place:
                while block := source.read(_BLOCK):
                    work.tell("Packing", done, total)
                    place.write(block)
                    done += len(block)
            path.unlink()
    shutil.rmtree(folder)
    return target
