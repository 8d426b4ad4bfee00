"""A tuned model and its base on a test set."""

from __future__ import annotations

from pathlib import Path

from eval.report.folder import save
from finetuning.evaluation import evaluate_adapter
from finetuning.jobs.asked import Evaluation
from finetuning.runs.folder import Run
from finetuning.runs.jobs import asked_of
from finetuning.runs.journal import Journal


def carry_out(job: Run, journal: Journal) -> None:
    """Compare them, and leave the report where a run has its own.

    Raises:
        UserError: the model, its base or the rows cannot be used.
    """
    asked = asked_of(job, Evaluation)
    journal.phase("Reading the rows")
    result = evaluate_adapter(
        Path(asked.adapter),
        asked.judged(),
        few_shot=asked.few_shot,
        forgetting=asked.forgetting,
        on_progress=journal.tell,
    )
    save(result.report, result.rows, job.evaluation)
