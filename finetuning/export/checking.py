"""The verdict on the exported thing: the adapter and what was written of it, asked the same rows.

Both are sides of `eval.sides`, so what is compared is what a person would get who opens either.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from finetuning.export.ollama import MODEL_FILE
from finetuning.export.tuned import Tuned
from finetuning.export.work import Work
from plumbing.errors import ModelError

if TYPE_CHECKING:
    from eval.verdict.schema import Verdict, VerdictRow

ROWS = 8
"""Of the test rows, where nobody says how many."""
_NEW_TOKENS = 64


@dataclass(frozen=True)
class Agreement:
    """How far two sides answer alike."""

    rows: int
    same: int
    """Answers that are the same, letter for letter; of labels, the label."""
    metric: str
    scores: tuple[float, float]
    """The adapter's, and the exported thing's."""
    headline: str
    """The verdict of the paired test between them."""
    computed: str
    """In what the exported thing was computed."""

    @property
    def sentence(self) -> str:
        noun = "row" if self.rows == 1 else "rows"
        return (
            f"Asked {self.rows:,} test {noun}, it answers {self.same:,} exactly as what was trained "
            f"({self.metric} {self.scores[0]:.3f} before, {self.scores[1]:.3f} exported; computed here in "
            f"{self.computed}). {self.headline}"
        )


def check_exported(
    tuned: Tuned, exported: Path, work: Work, *, rows: int = ROWS, data: str | None = None
) -> Agreement:
    """Ask both the same rows.

    Args:
        tuned: what was exported.
        exported: a merged folder, a GGUF file, or a folder for Ollama, of which the file is asked.
        work: told how far it is.
        rows: how many; a sample of the test rows of the run.
        data: another source of rows, in place of those.

    Raises:
        UserError: there are no rows, or one of them cannot be opened.
    """
    from eval.asked.comparing import compared
    from eval.asked.request import Request
    from eval.verdict.words import headline

    file = exported / MODEL_FILE if (exported / MODEL_FILE).is_file() else exported
    require_checkable(tuned, as_gguf=file.is_file())
    with tempfile.TemporaryDirectory() as scratch:
        request = Request(
            base=str(tuned.folder),
            tuned=[str(file)],
            data=data or rows_to_ask(tuned, rows, Path(scratch)),
            task=str(task_file(tuned, Path(scratch))),
            rows=rows,
            max_new_tokens=_NEW_TOKENS,
            keep_trained=data is None,  # those that were trained on are left out already
        )
        verdict, found = compared(request, on_progress=lambda *said: work.tell(*said))
    return agreement(verdict, found, headline(verdict))


def agreement(verdict: Verdict, rows: Sequence[VerdictRow], said: str) -> Agreement:
    """What a verdict on two sides comes to."""
    base, other = (side.info for side in verdict.sides[:2])
    scores = [
        sum(row.answers[side.key].scores[verdict.metric] for row in rows) / len(rows) for side in (base, other)
    ]
    return Agreement(
        rows=len(rows),
        same=sum(row.answers[base.key].text == row.answers[other.key].text for row in rows),
        metric=verdict.metric,
        scores=(scores[0], scores[1]),
        headline=said,
        computed=other.precision,
    )


def require_checkable(tuned: Tuned, *, as_gguf: bool) -> None:
    """Refuse what cannot be asked here, before it is written.

    Args:
        tuned: what is exported.
        as_gguf: whether it is asked as a GGUF file, which transformers reads.

    Raises:
        ModelError: says why.
    """
    if tuned.origin.kind == "reward":
        raise ModelError("A reward model gives no answers that could be compared", got=tuned.name)
    if not as_gguf:
        return
    tuned.require_writer("A GGUF file")
    from transformers import AutoConfig

    from finetuning.export.gguf.architectures import architecture_of
    from models.sources import resolve

    config = AutoConfig.from_pretrained(resolve(tuned.origin.name).path, local_files_only=True)
    if why := architecture_of(config).not_read(config):
        raise ModelError(
            f"transformers does not read {why} from a GGUF file, so it cannot be asked here",
            got=tuned.name,
            fix="Write it without --check, and ask it through llama.cpp's server: python -m eval compare.",
        )


def rows_to_ask(tuned: Tuned, rows: int, folder: Path) -> str:
    """So many of the rows that the run is judged on, as a file in `folder`; a source of data."""
    import json

    from finetuning.judged_rows import choose_rows

    judged = choose_rows(tuned.folder, rows=rows)
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in judged.rows), encoding="utf-8")
    return f"file:{path}"


def task_file(tuned: Tuned, folder: Path) -> Path:
    """The task, as a file in `folder`."""
    from data.tasks.saved import TASK_FILE, save_task

    save_task(tuned.task, folder)
    return folder / TASK_FILE
