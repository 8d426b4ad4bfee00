"""What a comparison holds: every field of `report.json` and of a line of `rows.jsonl`, documented.

    python -m eval.report.schema > eval/report/report.schema.json

Knows values only; imports neither a model nor what computes a metric, so that a page can read a report at once.
"""

from __future__ import annotations

import json
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from data.tasks import TASKS
from data.tasks.task import Kind
from eval.calibration import ReliabilityBin
from eval.metrics.metric import Flip, Metric, flip_of, metric_named
from eval.statistics import Interval, Judgement
from eval.text_quality import TextQuality

_ROUNDING = 1e-12  # scores are of the order of 1; what differs by less differs by rounding


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MetricResult(_Strict):
    """One metric of both sides over the whole test set."""

    name: str = Field(description="Its name, as in `eval.metrics.metric`.")
    primary: bool = Field(
        description="Whether the verdict is about this metric; exactly one is. The others are exploratory."
    )
    base: float = Field(description="The base model's value, 0 to 1.")
    tuned: float = Field(description="The tuned model's value, 0 to 1.")
    base_interval: Interval | None = Field(
        default=None, description="95 % interval of the base's value; none where a row has no value of its own."
    )
    tuned_interval: Interval | None = Field(default=None, description="95 % interval of the tuned model's value.")
    judgement: Judgement | None = Field(
        default=None, description="The paired test of tuned against base; none where a row has no value of its own."
    )

    @property
    def metric(self) -> Metric:
        """What it is."""
        return metric_named(self.name)

    @property
    def title(self) -> str:
        """The metric's name as a person writes it."""
        return self.metric.title

    @property
    def difference(self) -> float:
        """Tuned minus base."""
        return self.tuned - self.base


class BaseModelInfo(_Strict):
    """The base weights that both sides used."""

    name: str = Field(description="The base model's name as on the Hub, or its folder.")
    origin: str = Field(description="Where the files came from: folder, hub or package mirror.")
    revision: str = Field(description="The Hub's commit or the mirror's pinned package; empty for a folder.")
    weights_sha256: str = Field(description="SHA-256 over the weight files.")


class AdapterProofInfo(_Strict):
    """That the adapter was really applied, measured before the comparison."""

    largest_change: float = Field(description="Largest absolute change of a logit on the probe prompt.")
    same_weights: bool = Field(description="Whether the base weights are byte for byte those of training.")
    sentence: str = Field(description="The proof in a sentence.")


class Selection(_Strict):
    """How the rows that were judged came out of those that were given."""

    given: int = Field(description="Usable rows of the test split, as they came.", ge=0)
    repeated: int = Field(description="Rows whose text another has, too: one a text is judged.", ge=0)
    merged: bool = Field(
        default=False,
        description="Whether that one has the references of them all, as of free text; else they are left out.",
    )
    contradictory: int = Field(description="Rows left out because their text has different labels.", ge=0)
    trained_on: int | None = Field(
        description="Rows, one a text, whose text the adapter was trained on; none where that is not known."
    )
    trained_kept: bool = Field(description="Whether those were judged all the same, because someone asked for it.")
    known_by: Literal["run", "recipe"] | None = Field(
        description="Who knows what was trained on: the run's own record, or a recipe that names a bundled corpus."
    )
    eligible: int = Field(description="Rows that were left; of these a fixed sample may have been judged.", ge=1)
    notes: list[str] = Field(default=[], description="What else there is to say of the rows, in sentences.")


class Findings(_Strict):
    """What is odd about the rows though each is valid; see `data.hygiene`."""

    repeated: int = Field(description="Rows of all splits whose text was there before.", ge=0)
    nearly_repeated: int = Field(description="Rows nearly the same as another.", ge=0)
    contradictory: int = Field(description="Rows whose text was there before with another label.", ge=0)
    leaked: int = Field(description="Test rows whose text is in training, too.", ge=0)
    nearly_leaked: int = Field(description="Test rows nearly the same as one in training.", ge=0)
    sentences: list[str] = Field(description="The same and more in words, the weightiest first.")


class DataInfo(_Strict):
    """The rows that both sides answered."""

    spec: str = Field(description="The source, such as corpus:reviews; empty where it is not known.")
    split: str = Field(description="Which split of the source.")
    test_sha256: str = Field(description="SHA-256 over the rows' inputs and targets, in order.")
    selection: Selection | None = Field(
        default=None, description="How the rows were chosen; none where it was not noted."
    )
    findings: Findings | None = Field(
        default=None, description="What is odd about the rows; none where nobody looked."
    )


class Flips(_Strict):
    """How many rows changed: for labels whether they are right, for texts their primary score."""

    gained: int = Field(description="Rows that went from wrong to right, or whose score got better.", ge=0)
    lost: int = Field(description="Rows that went from right to wrong, or whose score got worse.", ge=0)
    same: int = Field(description="The others.", ge=0)
    threshold: float = Field(
        default=0.0,
        description="The change from which a score counts as better or worse; 0: any change does.",
        ge=0,
    )


class Confusion(_Strict):
    """How often each label was answered for each label that is right."""

    labels: list[str] = Field(description="The labels, in the order of the tables' rows and columns.")
    base: list[list[int]] = Field(description="Number of rows: right label, then the base's answer.")
    tuned: list[list[int]] = Field(description="Number of rows: right label, then the tuned model's answer.")


class CalibrationSide(_Strict):
    """Whether one side's probabilities mean what they say."""

    expected_calibration_error: float = Field(
        description="Mean distance of confidence from accuracy over ten bins, 0 to 1; lower is better.", ge=0, le=1
    )
    brier_score: float = Field(
        description="Half the squared distance of the labels' probabilities from 1 for the right label and 0 for "
        "the others, the mean over the rows; lower is better.",
        ge=0,
        le=1,
    )
    bins: list[ReliabilityBin] = Field(description="The reliability plot's points, lowest confidence first.")


class Calibration(_Strict):
    """Calibration of both sides."""

    base: CalibrationSide = Field(description="The base model's.")
    tuned: CalibrationSide = Field(description="The tuned model's.")


class Writing(_Strict):
    """How both sides' answers are written, apart from what they say; means over the rows."""

    base: TextQuality = Field(description="The base model's answers.")
    tuned: TextQuality = Field(description="The tuned model's answers.")


class FloorResult(_Strict):
    """What an answer scores that needs no tuning."""

    name: str = Field(description="The floor's name as in `eval.floors`.")
    sentence: str = Field(description="How it answers.")
    scores: dict[str, float] = Field(description="Its value of each metric, 0 to 1.")
    judgement: Judgement | None = Field(
        default=None,
        description="The paired test, on the primary metric, of tuned against it; none in reports of before.",
    )


class FewShot(_Strict):
    """The base model with examples in its prompt, beside the tuned one without."""

    examples: int = Field(description="Examples in the prompt, taken from the training rows.", ge=1)
    draws: list[dict[str, float]] = Field(
        default=[],
        description="The base's value of each metric with each draw of examples, which has an order of its own; "
        "empty in reports of before, which knew one.",
    )
    scores: dict[str, float] = Field(description="The means of these over the draws, 0 to 1.")
    judgement: Judgement = Field(
        description="The paired test, on the primary metric, of tuned without examples against base with them: of "
        "several draws, against the mean of each row's score over them."
    )
    prompt_tokens: float = Field(description="Mean prompt tokens an answer with the examples.")
    prompt_tokens_without: float = Field(
        description="Mean prompt tokens an answer without them, as both sides had."
    )

    def spread(self, metric: str) -> tuple[float, float]:
        """The lowest and the highest value of `metric` over the draws."""
        values = [scores[metric] for scores in self.draws] or [self.scores[metric]]
        return min(values), max(values)


class ChangedAnswer(_Strict):
    """What both sides answer to a general instruction."""

    instruction: str = Field(description="The instruction.")
    base: str = Field(description="The base model's answer.")
    tuned: str = Field(description="The tuned model's answer.")


class Forgetting(_Strict):
    """What tuning cost elsewhere: both sides on general text that the task is not about."""

    passages: int = Field(description="Passages of general text.", ge=1)
    tokens: int = Field(description="Tokens of them that were predicted.", ge=1)
    base_perplexity: float = Field(description="exp of the base's mean negative log-likelihood a token; 1 or more.")
    tuned_perplexity: float = Field(description="The same of the tuned model; higher is worse.")
    judgement: Judgement = Field(
        description="The paired test on the passages' log-likelihoods, long ones counting for more: the difference "
        "is that of the log-perplexities, in nats a token, and below 0 tuned is worse."
    )
    agreement: float = Field(description="Share of positions where both predict the same next token, 0 to 1.")
    answers: list[ChangedAnswer] = Field(description="Both sides' greedy answers to general instructions.")

    @property
    def changed(self) -> int:
        """How many of `answers` differ."""
        return sum(answer.base != answer.tuned for answer in self.answers)


class TaskInfo(_Strict):
    """What a report says of its task."""

    kind: Kind = Field(description="classification, generation, chat or text.")
    title: str = Field(description="Its name as a person reads it.")
    noun: tuple[str, str] = Field(description="What a row is called: one, several.")


class Report(_Strict):
    """A comparison of base with tuned on the same rows."""

    task: str = Field(description="The task's name.")
    about: TaskInfo | None = Field(
        default=None, description="What the task is; none in reports of before, whose tasks all ship."
    )
    kind: Literal["causal", "classifier"] = Field(description="A language model, or an encoder with a head.")
    n: int = Field(description="Number of test rows.", ge=1)
    metrics: list[MetricResult] = Field(description="Every metric, the primary one first.", min_length=1)
    flips: Flips = Field(description="How many rows changed.")
    confusion: Confusion | None = Field(default=None, description="Labels only.")
    calibration: Calibration | None = Field(default=None, description="Labels only.")
    near_ties: int | None = Field(
        default=None,
        description="Labels only: rows where either side's two best labels are within the step of bfloat16 at "
        "the size of logits (`models.scoring.ROUNDING`), so that other hardware may answer otherwise.",
    )
    writing: Writing | None = Field(default=None, description="Texts only.")
    floors: list[FloorResult] = Field(default=[], description="What needs no tuning, on the same rows.")
    few_shot: FewShot | None = Field(
        default=None,
        description="None where it was not asked for, where there were no training rows to take examples from, for "
        "a classifier, which has no prompt, and where `few_shot_left_out` says why.",
    )
    few_shot_left_out: str = Field(
        default="", description="Why it could not be measured, in a sentence; empty in reports of before."
    )
    forgetting: Forgetting | None = Field(default=None, description="None where it was not asked for.")
    base: BaseModelInfo = Field(description="The base weights that both sides used.")
    precision: str = Field(description="float32, bfloat16 or nf4 (4 bit).")
    computed_in: str = Field(
        default="",
        description="float32 or bfloat16: what products were computed in, which for nf4 depends on the machine; "
        "empty in reports of before.",
    )
    adapter_proof: AdapterProofInfo = Field(description="That the adapter acts.")
    adapter_sha256: str = Field(description="SHA-256 of the adapter's weights file; empty where it is not known.")
    prompt_sha256: str = Field(description="Hash of the prompt contract, equal to that of training.")
    data: DataInfo = Field(description="The rows that both sides answered.")
    training: str = Field(
        default="", description="A sentence about the training that it came out of, where something was amiss."
    )
    train_rows: int = Field(description="Training rows that floors and few-shot examples come from; 0: none given.")
    batch_size: int = Field(description="Test rows a batch.", ge=1)
    tokenizer: str = Field(
        default="the letters a to z and digits",
        description="Texts only: what counted as a word for ROUGE. A report that does not say is of a time when no "
        "word of another script did.",
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

    def flip(self, row: RowResult) -> Flip:
        """Whether a row of this report gained, lost or stayed the same, as `flips` counts."""
        return flip_of(row.change(self.primary.name), self.primary.metric, self.flips.threshold)


class SideResult(_Strict):
    """What one side answered to one row."""

    answer: str = Field(description="The generated text, or the most probable label.")
    scores: dict[str, float] = Field(description="This row's value of each metric that has one, 0 to 1.")
    probabilities: dict[str, float] | None = Field(
        default=None, description="Probability of each label; none where a text was generated."
    )
    tokens: int | None = Field(
        default=None,
        description="Generated tokens, the end of turn not counted; none where labels were scored.",
    )


class RowResult(_Strict):
    """One test row with the answers of both sides."""

    input: str = Field(description="What both sides were given.")
    references: list[str] = Field(description="The right label, or the reference answers.", min_length=1)
    base: SideResult = Field(description="The base model's answer.")
    tuned: SideResult = Field(description="The tuned model's answer.")

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
