"""What a reward model says that an earlier run has trained (`way: reward`).

It reads question and answer as its own prompt has them, so it has to be of the same task; and it has to read the
tokens that the policy writes, or what it learned to like would be another text (`models.reward`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from data.tasks.task import Task
from finetuning.rewards.reward import Answered, Reward, Scorer
from plumbing.errors import RunError


class OfRun(Reward):
    """The number that a run's reward model gives; only differences between answers to one question count."""

    name: Literal["run"] = "run"
    run: Annotated[str, Field(min_length=1, max_length=200)]
    """The id of a finished run of the way `reward`, for the same task."""

    @property
    def runs(self) -> tuple[str, ...]:
        return (self.run,)

    def require(self, task: Task, runs: Path) -> None:
        from models.reward import require_reward

        require_reward(self._folder(runs), task=task)

    def scorer(self, task: Task, tokenizer: Any, runs: Path) -> Scorer:
        from models.reward import load_reward

        model = load_reward(self._folder(runs), task=task, tokenizer=tokenizer)

        def score(answers: Sequence[Answered]) -> list[float]:
            return model.score([one.asked for one in answers], [one.answer for one in answers])

        return score

    def _folder(self, runs: Path) -> Path:
        """What the run tuned.

        Raises:
            RunError: there is no such run, or it has not finished.
        """
        from finetuning.runs.folder import open_run

        run = open_run(self.run, runs)
        if not run.tuned.is_dir():
            raise RunError(
                "The run that way.rewards names has no reward model yet",
                got=f"{run.id}, {run.state()}",
                fix="Let it finish first, or name another.",
            )
        return run.tuned


REWARD = OfRun
