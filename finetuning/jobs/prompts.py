"""How each side of a comparison is asked, known before any of them answers: `prompts.json` in the job's folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from plumbing.reading import read_text
from plumbing.writing import write_atomically

if TYPE_CHECKING:
    from finetuning.runs.folder import Run

PROMPTS_FILE = "prompts.json"
_MAX_BYTES = 2**24


class Prompt(BaseModel):
    """How the first row is asked of a side."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str
    """The side's, among those that are compared."""
    name: str
    """What a person calls it."""
    where_from: str
    """See `eval.sides.side.Prompted`."""
    example: str


_SEVERAL = TypeAdapter(list[Prompt])


def write_prompts(job: Run, prompts: Sequence[Prompt]) -> None:
    write_atomically(job.folder / PROMPTS_FILE, _SEVERAL.dump_json(list(prompts), indent=1))


def read_prompts(job: Run) -> list[Prompt]:
    """Those that are known so far; none where the file is not there, or damaged."""
    try:
        return _SEVERAL.validate_json(read_text(job.folder / PROMPTS_FILE, limit=_MAX_BYTES))
    except (OSError, ValidationError, UnicodeDecodeError):
        return []
