"""Any models on the same rows: what `python -m eval compare` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eval.asked.comparing import compared
from eval.verdict.folder import save
from finetuning.jobs.asked import AnyModels, rows_check
from finetuning.jobs.prompts import Prompt, write_prompts
from finetuning.runs.folder import Run
from finetuning.runs.jobs import asked_of
from finetuning.runs.journal import Journal

if TYPE_CHECKING:
    from eval.sides.side import About, Prompted


def carry_out(job: Run, journal: Journal) -> None:
    """Compare them, and leave the verdict where a run has its report.

    Raises:
        UserError: a side cannot be opened or asked, or the rows cannot be used.
    """
    asked = asked_of(job, AnyModels)
    told: list[Prompt] = []

    def on_prompt(key: str, about: About, prompted: Prompted) -> None:
        told.append(Prompt(key=key, name=about.name, where_from=prompted.where_from, example=prompted.example))
        write_prompts(job, told)
        journal.phase(f"{about.name} is open")

    journal.phase("Reading the rows")
    found, rows = compared(
        asked.request(),
        on_progress=journal.tell,
        on_fetch=journal.tell,
        on_prompt=on_prompt,
        servers=asked.servers.settings() if asked.servers else None,
        check=rows_check(asked.limits),
    )
    save(found, rows, job.evaluation)
