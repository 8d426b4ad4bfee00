"""What is asked of a job, as `job.json` holds it; and the rows that this names.

Reads no model, so whoever asks may look at the rows at once, before the job has its turn.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from eval.asked.request import Request
from finetuning import limits as limiting
from finetuning.limits import Limits
from finetuning.runs.jobs import Asked

if TYPE_CHECKING:
    from datasets import Dataset

    from data.tasks import Task
    from eval.asked.comparing import Check
    from eval.sides.endpoint import Settings
    from finetuning.judged_rows import JudgedRows

EVALUATION, VERDICT = "evaluation", "verdict"
"""The kinds of job that judge: a tuned model by its base, and any models."""


class Evaluation(Asked):
    """A tuned model and its base on a test set."""

    model: str
    """The tuned model as a page names it: `bundled:NAME` or `run:ID`."""
    adapter: str
    """Its folder."""
    source: str | None = None
    """See `finetuning.judged_rows.choose_rows`, as of all that says which rows and how they are read."""
    columns: dict[str, str] | None = None
    labels: dict[str, str | None] | None = None
    skip_empty: bool = False
    rows: int | None = None
    few_shot: int = 0
    """Examples in the prompt of a base that is compared as well."""
    forgetting: bool = False
    """Whether it is measured what tuning cost on general text."""
    limits: Limits | None = None
    """A stranger's."""

    def judged(self) -> JudgedRows:
        """The rows that are judged.

        Raises:
            UserError: they cannot be read, or are beyond the limits.
        """
        from finetuning.judged_rows import choose_rows
        from models.prompting import PromptContract, task_of

        adapter = Path(self.adapter)
        check = rows_check(self.limits)
        task = task_of(adapter, PromptContract.load(adapter))
        return choose_rows(
            adapter,
            self.source,
            columns=self.columns,
            labels=self.labels,
            skip_empty=self.skip_empty,
            rows=self.rows,
            check=None if check is None else lambda given: check(given, task),
        )


class Servers(BaseModel):
    """How servers are asked for a stranger, and which."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    given: tuple[str, ...]
    """Addresses that the operator has named."""
    answer_s: float
    tries: int

    def settings(self) -> Settings:
        from eval.sides.endpoint import Settings
        from eval.sides.endpoint.client import Limits as Patience

        return Settings(given=self.given, limits=Patience(answer_s=self.answer_s, tries=self.tries))


class AnyModels(Asked):
    """Any models on the same rows; see `eval.asked.request.Request`."""

    base: str
    tuned: tuple[str, ...]
    data: str | None = None
    task: str | None = None
    settings: tuple[str, ...] = ()
    metric: str | None = None
    instruction: str | None = None
    options: tuple[str, ...] = ()
    rows: int | None = None
    margin: float | None = None
    limits: Limits | None = None
    """A stranger's."""
    servers: Servers | None = None
    """None where any may be asked."""

    def request(self) -> Request:
        """The same, as whoever compares takes it."""
        said = self.model_dump(exclude={"title", "max_minutes", "limits", "servers"})
        return Request(**said)


def rows_check(limits: Limits | None) -> Check | None:
    """What refuses rows beyond a stranger's limits; None without any."""
    if limits is None:
        return None

    def check(rows: Dataset, task: Task) -> None:
        limiting.check_rows({"test": rows}, task, limits)

    return check
