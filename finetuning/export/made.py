"""What was taken elsewhere and stays: one file each, whole or not there, in the folder of the run that it is of.

    exports/NAME/made.json     what was asked for, and what there is to say of it, see `Made`
    exports/NAME/FILE

It is there until the run is deleted, or until it is made anew. What ships is in no run, and is the same for
everybody: its exports lie in `exports/` beside the runs, under its name and the beginning of its weights' hash.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from finetuning.export.forms import WRITTEN, Options
from finetuning.export.work import whole_folder
from finetuning.runs.folder import is_id, runs_folder
from models.tuned import bundled_folder, weights_sha256
from plumbing.errors import ModelError, RunError
from plumbing.reading import read_text
from plumbing.remembered import Remembered

EXPORTS = "exports"
MADE_FILE = "made.json"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,79}")
_MAX_BYTES = 2**20
_HASH_CHARACTERS = 8

Word = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,20}$")]


class What(BaseModel):
    """A form, and what was chosen of it: one file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    form: Word
    packing: Word = "f16"
    onto: Word = "trained"
    stored: Word = "bfloat16"
    adapter_alone: bool = False

    @classmethod
    def of(cls, form: str, options: Options) -> What:
        """What `options` come to in that form, which is one of `WRITTEN`."""
        known = asdict(WRITTEN[form].only_heeded(options))
        chosen = {name: known[name] for name in cls.model_fields if name in known}
        return cls(form=form, **chosen | {"packing": known["packing"].lower()})

    @property
    def options(self) -> Options:
        return Options(**self.model_dump(exclude={"form"}))

    @property
    def name(self) -> str:
        """Of its folder: the form, and whatever was chosen otherwise than usual."""
        usual = What(form=self.form)
        pairs = ((self.packing, usual.packing), (self.onto, usual.onto), (self.stored, usual.stored))
        chosen = [mine for mine, other in pairs if mine != other]
        return "-".join([self.form, *(["lora"] if self.adapter_alone else []), *chosen])


class Made(BaseModel):
    """What `made.json` holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    what: What
    file: Annotated[str, Field(min_length=1, max_length=255)]
    bytes: Annotated[int, Field(ge=0)]
    notes: tuple[str, ...] = ()
    check: str = ""
    """What came of asking it test rows, in a sentence; empty where it was not asked."""
    at: float = 0.0
    """When, in seconds since the epoch."""


def place_of(tuned: Path, runs: Path | None = None) -> Path:
    """The folder that holds what was made of a tuned model.

    Args:
        tuned: the folder of an adapter or a whole model, in a run or of those that ship.
        runs: the runs folder.

    Raises:
        ModelError: it is neither.
    """
    runs, tuned = (runs or runs_folder()).resolve(), tuned.resolve()
    if is_id(tuned.parent.name) and tuned.parent.parent == runs:
        return tuned.parent / EXPORTS
    if tuned.parent == bundled_folder().resolve():
        weights = sorted(tuned.glob("*.safetensors"))
        digest = _hashes(str(weights[0])) if weights else ""
        return runs / EXPORTS / f"{tuned.name}-{digest[:_HASH_CHARACTERS]}"
    raise ModelError("Only a run and what ships are exported by a job", got=str(tuned))


_hashes = Remembered(lambda path: weights_sha256(Path(path).parent), most=2**5)


def made_of(tuned: Path) -> list[tuple[Made, Path]]:
    """What there is of a tuned model with the file of each, the newest first; nothing that is damaged."""
    found, place = [], place_of(tuned)
    with contextlib.suppress(OSError):
        for entry in os.scandir(place):
            if _NAME.fullmatch(entry.name) and (one := _read(place / entry.name)) is not None:
                found.append(one)
    return sorted(found, key=lambda one: one[0].at, reverse=True)


def find_made(tuned: Path, what: What) -> tuple[Made, Path] | None:
    """The same of one; None where it is not there."""
    return _read(place_of(tuned) / what.name)


def keep(tuned: Path, made: Made, file: Path) -> None:
    """Move what was written to where it stays, in place of an earlier one.

    Args:
        tuned: what it was made of.
        made: what there is to say of it.
        file: on the disk of the runs.

    Raises:
        RunError: the run is gone, or there is no writing there.
    """
    place = place_of(tuned)
    if not tuned.is_dir():
        raise RunError("What was being exported was deleted meanwhile", got=tuned.parent.name)
    made = made.model_copy(update={"at": time.time()})
    with whole_folder(place / made.what.name, is_earlier=lambda folder: (folder / MADE_FILE).is_file()) as making:
        file.rename(making / made.file)
        (making / MADE_FILE).write_text(made.model_dump_json(indent=1), encoding="utf-8")


def forget_oldest_shipped(runs: Path, most_bytes: int) -> None:
    """Remove what was made of models that ship, the oldest first, until the rest has no more than `most_bytes`."""
    found = []
    for file in (runs / EXPORTS).glob(f"*/*/{MADE_FILE}"):
        if (one := _read(file.parent)) is not None:
            found.append((one[0].at, one[0].bytes, file.parent))
    excess = sum(size for _, size, _ in found) - most_bytes
    for _, size, folder in sorted(found):
        if excess <= 0:
            break
        shutil.rmtree(folder, ignore_errors=True)
        excess -= size


def _read(folder: Path) -> tuple[Made, Path] | None:
    try:
        made = Made.model_validate_json(read_text(folder / MADE_FILE, limit=_MAX_BYTES))
    except (OSError, ValueError):
        return None
    path = folder / made.file
    plain = path.parent == folder and path.name == made.file != MADE_FILE
    return (made, path) if plain and path.is_file() and not path.is_symlink() else None
