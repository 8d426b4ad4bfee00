"""The results of a lab: every field of its `results.json`, documented.

    python -m eval.lab.schema > eval/lab/results.schema.json

The score of each test row is kept, so that everything said of a lab can be computed again from this file alone.
"""

from __future__ import annotations

import json
from typing import Literal

from pydantic import Field

from eval.metrics import metric_named
from eval.metrics.metric import Metric
from eval.report.sections import Strict, TaskInfo
from eval.statistics import Interval, Outcome

SCHEMA_VERSION = 1


class TrialResult(Strict):
    """One setting that was tried for an option, and how it did on the validation rows."""

    settings: dict[str, str] = Field(description="Dotted setting → value, of those that were searched.")
    value: float | None = Field(description="What it was chosen by; none where the run gave no such number.")
    chosen: bool = Field(description="Whether it was the best, and the one that was judged.")
    run: str = Field(description="The run's id; empty where there was none.")
    said: str = Field(default="", description="Why there is no value, in a sentence.")


class SeedResult(Strict):
    """An option's score with one seed."""

    seed: int = Field(description="The seed of the training order, of drawn training rows, and of new weights.")
    score: float = Field(description="The mean over the test rows, in the units of the metric.")
    run: str = Field(default="", description="The run's id; empty where nothing was trained.")


class Elsewhere(Strict):
    """What an option cost on general text, as means over its seeds."""

    base_perplexity: float = Field(description="Of the base, where lower is better; 1 or more.", gt=0)
    tuned_perplexity: float = Field(description="Of what was tuned: the geometric mean over the seeds.", gt=0)

    @property
    def ratio(self) -> float:
        """Tuned by base: above 1 something was forgotten."""
        return self.tuned_perplexity / self.base_perplexity


class Cost(Strict):
    """What an option takes; none of a number that was not measured."""

    trainable: int | None = Field(default=None, description="Parameters that learn; 0 where nothing is trained.")
    parameters: int | None = Field(default=None, description="Parameters of the model that answers.")
    training_s: float | None = Field(default=None, description="Seconds of training, the mean over the seeds.")
    peak_memory_mb: int | None = Field(default=None, description="The most memory that a run took, in MiB.")
    disk_mb: float | None = Field(default=None, description="What was tuned, on the disk, in MiB.")
    prompt_tokens: float | None = Field(default=None, description="Tokens of a prompt, the mean over the rows.")
    answer_s: float | None = Field(default=None, description="Seconds an answer took, many at once.")


class OptionResult(Strict):
    """What one option came to, with one number of training rows."""

    key: str = Field(description="Its short name, once in a lab.")
    name: str = Field(description="Its name.")
    about: str = Field(description="What was done, in a few words: LoRA on SmolLM2-135M-Instruct.")
    base: str = Field(default="", description="The base model; empty where no model was asked.")
    trained: bool = Field(description="Whether something was trained.")
    rows: int | None = Field(default=None, description="Training rows; none where the lab draws no curve of them.")
    settings: dict[str, str] = Field(default={}, description="The searched settings that were chosen.")
    trials: list[TrialResult] = Field(default=[], description="All that were tried; empty where none was chosen.")
    seeds: list[SeedResult] = Field(default=[], description="Each seed's score; one where no seed matters.")
    scores: list[float] = Field(
        default=[], description="The score of each test row, the mean over the seeds, in the order of the test set."
    )
    mean: float | None = Field(default=None, description="The mean of `scores`; none where it failed.")
    interval: Interval | None = Field(default=None, description="Its 95 % interval, over the test rows.")
    gain: float | None = Field(
        default=None, description="Over its own base on the same rows; none where there is no base that answers."
    )
    gain_interval: Interval | None = Field(default=None, description="Its 95 % interval, over the test rows.")
    elsewhere: Elsewhere | None = Field(
        default=None, description="None where it was not measured, and of a classifier, which writes no text."
    )
    cost: Cost = Field(default=Cost(), description="What it takes.")
    failed: str = Field(default="", description="Why it has no score, in a sentence; empty where it has one.")


class PairResult(Strict):
    """Two options on the same test rows."""

    one: str = Field(description="The key of the one.")
    other: str = Field(description="The key of the other.")
    difference: float = Field(description="The other minus the one, the mean over the rows.")
    interval: Interval = Field(description="Its 95 % interval, of this pair alone: not corrected.")
    p_value: float = Field(description="Two-sided p-value of the paired test.", ge=0, le=1)
    corrected: float = Field(description="The same, corrected by Holm's method for all pairs.", ge=0, le=1)
    outcome: Outcome = Field(description="Whether the other is better or worse, by the corrected p-value.")


class LabResult(Strict):
    """What a lab found."""

    schema_version: Literal[1] = Field(default=1, description="Of this file.")
    name: str = Field(description="The lab's name.")
    title: str = Field(description="Its title.")
    question: str = Field(description="What it asks, in a sentence.")
    task: str = Field(description="The task's name.")
    about: TaskInfo = Field(description="What the task is.")
    metric: str = Field(description="The metric that options are compared by.")
    data: str = Field(description="Where the test rows come from.")
    n: int = Field(description="Test rows that every option answered.", ge=1)
    test_sha256: str = Field(description="SHA-256 over their inputs and targets, in order.")
    seeds: list[int] = Field(description="The seeds of every option that is trained.", min_length=1)
    budget: str = Field(description="What each run was given, in a few words; empty for the recipes' own.")
    chosen_by: str = Field(description="By what of the validation rows a setting was chosen; empty if none was.")
    options: list[OptionResult] = Field(description="Every option, in the lab's order.", min_length=1)
    pairs: list[PairResult] = Field(description="All pairs of options with the most training rows.")
    test: str = Field(description="The paired test, in words.")
    alpha: float = Field(default=0.05, description="The corrected p-value up to which options differ.", gt=0, lt=1)
    machine: dict[str, str] = Field(description="What it was measured on.")
    minutes: float = Field(description="How long all of it took, by the clock.", ge=0)
    created: str = Field(description="When it ended: UTC, ISO 8601.")
    notes: list[str] = Field(default=[], description="What else there is to know, in sentences.")

    @property
    def by(self) -> Metric:
        """The metric that options are compared by."""
        return metric_named(self.metric)

    @property
    def measured(self) -> list[OptionResult]:
        """The options that have a score."""
        return [option for option in self.options if option.mean is not None]

    @property
    def compared(self) -> list[OptionResult]:
        """Those that are compared with each other: of a curve, with the most training rows."""
        most = max((option.rows for option in self.measured if option.rows), default=None)
        return [option for option in self.measured if option.rows in (None, most)]

    @property
    def is_curve(self) -> bool:
        """Whether several numbers of training rows were tried."""
        return len({option.rows for option in self.options if option.rows}) > 1

    def option(self, key: str) -> OptionResult:
        """The option of that key."""
        return next(option for option in self.options if option.key == key)


def json_schema() -> str:
    """The schema as text, as it is in `results.schema.json`."""
    return json.dumps(LabResult.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(json_schema(), end="")
