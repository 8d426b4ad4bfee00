"""What a comparison holds: every field of `report.json` and of a line of `rows.jsonl`, documented.

    python -m eval.report.schema > eval/report/report.schema.json

Its sections are in `sections`. Knows values only, and imports no model, so that a page can read a report at once.
"""

from __future__ import annotations

import json
from typing import Literal

from pydantic import Field

from data.tasks import TASKS
from data.tasks.task import Input
from eval.metrics.metric import Flip, flip_of
from eval.report.preferences import Preference, Thumbs
from eval.report.rewards import Rewards
from eval.report.sections import (
    AdapterProofInfo,
    BaseModelInfo,
    Calibration,
    ClassScores,
    Confusion,
    DataInfo,
    FewShot,
    Flips,
    FloorResult,
    Forgetting,
    MetricResult,
    Strict,
    TaskInfo,
    Texts,
    TurnLikelihood,
    WithContext,
    Writing,
)
from eval.statistics import Judgement

_ROUNDING = 1e-12  # scores are of the order of 1; what differs by less differs by rounding


class Report(Strict):
    """A comparison of base with tuned on the same rows."""

    task: str = Field(description="The task's name.")
    about: TaskInfo | None = Field(
        default=None, description="What the task is; none in reports of before, whose tasks all ship."
    )
    kind: Literal["causal", "classifier", "reward"] = Field(
        description="A language model, an encoder with a head of labels, or a reward model."
    )
    n: int = Field(description="Number of test rows.", ge=1)
    metrics: list[MetricResult] = Field(description="Every metric, the primary one first.", min_length=1)
    flips: Flips = Field(description="How many rows changed.")
    confusion: Confusion | None = Field(default=None, description="Labels only.")
    classes: list[ClassScores] | None = Field(
        default=None, description="Labels only: each label's own scores; none in reports of before."
    )
    calibration: Calibration | None = Field(default=None, description="Labels only.")
    near_ties: int | None = Field(
        default=None,
        description="Labels only: rows where either side's two best labels are within the step of bfloat16 at "
        "the size of logits (`models.scoring.ROUNDING`), so that other hardware may answer otherwise.",
    )
    writing: Writing | None = Field(default=None, description="Answers in words only.")
    turns: TurnLikelihood | None = Field(default=None, description="Chats only.")
    texts: Texts | None = Field(default=None, description="Raw texts only, of which nothing is answered.")
    preference: Preference | None = Field(
        default=None,
        description="Where each test row has a worse answer beside the better one, which is the reference.",
    )
    thumbs: Thumbs | None = Field(
        default=None,
        description="Where test rows have thumbs; what was written is compared with the liked answers.",
    )
    rewards: Rewards | None = Field(default=None, description="Reward models only.")
    floors: list[FloorResult] = Field(default=[], description="What needs no tuning, on the same rows.")
    few_shot: FewShot | None = Field(
        default=None,
        description="None where it was not asked for, where there were no training rows to take examples from, for "
        "a classifier, which has no prompt, for chats, and where `few_shot_left_out` says why. Of raw texts the "
        "examples are other texts, which the base reads before each.",
    )
    few_shot_left_out: str = Field(
        default="", description="Why it could not be measured, in a sentence; empty in reports of before."
    )
    context: WithContext | None = Field(
        default=None, description="None where no text was given, and where `context_left_out` says why."
    )
    context_left_out: str = Field(
        default="", description="Why it could not be measured, in a sentence; empty where there is nothing to say."
    )
    forgetting: Forgetting | None = Field(default=None, description="None where it was not asked for.")
    base: BaseModelInfo = Field(description="The base weights that both sides used.")
    precision: str = Field(description="float32, bfloat16 or nf4 (4 bit).")
    computed_in: str = Field(
        default="",
        description="float32 or bfloat16: what products were computed in, which for nf4 depends on the machine; "
        "empty in reports of before.",
    )
    strategy: str = Field(
        default="", description="What people call what was trained, such as QLoRA; empty where that is not known."
    )
    whole: bool = Field(
        default=False, description="Whether the tuned side is a whole model; else it is an adapter on the base."
    )
    adapter_proof: AdapterProofInfo = Field(description="That what was tuned acts.")
    adapter_sha256: str = Field(
        description="SHA-256 of the weights of the adapter, or of the whole model; empty where it is not known."
    )
    prompt_sha256: str = Field(description="Hash of the prompt contract, equal to that of training.")
    data: DataInfo = Field(description="The rows that both sides answered.")
    training: str = Field(
        default="", description="A sentence about the training that it came out of, where something was amiss."
    )
    train_rows: int = Field(description="Training rows that floors and few-shot examples come from; 0: none given.")
    batch_size: int = Field(description="Test rows a batch.", ge=1)
    tokenizer: str = Field(
        default="the letters a to z and digits",
        description="Answers in words only: what counted as a word for ROUGE and token F1. A report that does not "
        "say is of a time when no word of another script did.",
    )
    max_new_tokens: int | None = Field(description="Where an answer was cut off; none where labels were scored.")
    versions: dict[str, str] = Field(description="Versions of the libraries that the numbers depend on.")
    seconds: float = Field(description="How long both sides took to answer the test rows, in seconds.")
    created: str = Field(description="When it ended: UTC, ISO 8601.")

    @property
    def asked(self) -> TaskInfo:
        """What the task is."""
        if self.about is not None:
            return self.about
        known = TASKS.get(self.task)
        if known is None:
            return TaskInfo(
                kind="classification" if self.confusion else "generation", title=self.task, noun=("row", "rows")
            )
        return TaskInfo(kind=known.kind, title=known.title, noun=known.noun)

    @property
    def primary(self) -> MetricResult:
        """The metric that the verdict is about."""
        return next(metric for metric in self.metrics if metric.primary)

    @property
    def verdict(self) -> Judgement:
        """The paired test of the primary metric, which always has one."""
        judgement = self.primary.judgement
        assert judgement is not None
        return judgement

    @property
    def scored_by_all(self) -> list[str]:
        """Names of the metrics that all have that stand beside base and tuned: floors, and the base shown more."""
        shown = [each.scores for each in (self.few_shot, self.context) if each is not None]
        rivals = [*(floor.scores for floor in self.floors), *shown]
        return [metric.name for metric in self.metrics if all(metric.name in scores for scores in rivals)]

    @property
    def rows_judged(self) -> int:
        """How many rows of the test split were judged; of raw texts several may be one text."""
        return self.texts.passages if self.texts else self.n

    @property
    def tuned_is(self) -> str:
        """What the tuned side is, in a word or two."""
        return "whole model" if self.whole else "adapter"

    def flip(self, row: RowResult) -> Flip:
        """Whether a row of this report gained, lost or stayed the same, as `flips` counts."""
        return flip_of(row.change(self.primary.name), self.primary.metric, self.flips.threshold)


class SideResult(Strict):
    """What one side answered to one row."""

    answer: str = Field(
        description="The generated text, or the most probable label; of a pair the answer that is taken for the "
        "better one, empty where neither is."
    )
    scores: dict[str, float] = Field(description="This row's value of each metric that has one.")
    probabilities: dict[str, float] | None = Field(
        default=None, description="Probability of each label; none where a text was generated."
    )
    tokens: int | None = Field(
        default=None,
        description="Generated tokens, the end of turn not counted; none where labels were scored.",
    )
    perplexity: float | None = Field(
        default=None, description="Raw texts only: of this whole text, as this side finds it; lower is better."
    )
    rewards: tuple[float, float] | None = Field(
        default=None,
        description="Reward models only: what the better and the worse answer get. Of the base, which gives no "
        "rewards, each answer's mean log-probability a token.",
    )


class RowMessage(Strict):
    """A message of a chat."""

    role: str = Field(description="system, user, assistant or tool.")
    content: str = Field(description="What was said.")
    weight: int = Field(default=1, description="0 where it is read only: its likelihood does not count.")


class RowResult(Strict):
    """One test row with the answers of both sides."""

    input: str = Field(
        description="What both sides were given; of a chat each message after its role, of a raw text its opening."
    )
    references: list[str] = Field(
        description="The right label, or the reference answers; of a raw text how it goes on, from the very sign "
        "after the opening.",
        min_length=1,
    )
    rejected: str | None = Field(default=None, description="The worse answer, of a pair.")
    base: SideResult = Field(description="The base model's answer.")
    tuned: SideResult = Field(description="The tuned model's answer.")
    messages: list[RowMessage] | None = Field(default=None, description="Chats only: the input as messages.")

    @property
    def asked(self) -> Input:
        """What both sides were given, as a model is asked."""
        return self.input if self.messages is None else [message.model_dump() for message in self.messages]

    def change(self, metric: str) -> float:
        """Tuned minus base of this row's `metric`; 0 where they differ by rounding, as in `eval.statistics`."""
        difference = self.tuned.scores[metric] - self.base.scores[metric]
        return difference if abs(difference) > _ROUNDING else 0.0


def json_schema() -> str:
    """The JSON schemas of a report and of a row, as `report.schema.json` holds them."""
    schemas = {"report.json": Report.model_json_schema(), "rows.jsonl, a line": RowResult.model_json_schema()}
    return json.dumps(schemas, indent=2) + "\n"


if __name__ == "__main__":
    print(json_schema(), end="")
