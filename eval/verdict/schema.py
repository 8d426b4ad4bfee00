"""A verdict: every field of `verdict.json` and of a line of its `rows.jsonl`, documented.

    python -m eval.verdict.schema > eval/verdict/verdict.schema.json

Every number of the table, the page, the Markdown, the HTML and the JUnit file is one of these. Knows values only.
"""

from __future__ import annotations

import json
from typing import Literal

from pydantic import Field

from eval.lab.schema import PairResult
from eval.metrics import metric_named
from eval.metrics.metric import Metric
from eval.report.schema import RowMessage
from eval.report.sections import (
    Calibration,
    ClassScores,
    Confusion,
    DataInfo,
    Flips,
    MetricResult,
    Strict,
    TaskInfo,
    Writing,
)
from eval.statistics import Interval, Judgement, Outcome

SCHEMA_VERSION = 1


class SideInfo(Strict):
    """What answered."""

    key: str = Field(description="Its short name, once in a verdict: base, tuned, tuned-2.")
    kind: Literal["model", "adapter", "run", "gguf", "classifier", "endpoint"] = Field(description="What it is.")
    name: str = Field(description="What a person calls it; holds no key.")
    base: str = Field(default="", description="Of an adapter, what it stands on.")
    weights_sha256: str = Field(default="", description="Of what answers; empty where it is not known.")
    scaled_by: str = Field(default="", description="Of an adapter, its settings that scale those weights.")
    revision: str = Field(default="", description="The Hub's commit; empty where there is none.")
    precision: str = Field(default="", description="float32, bfloat16, nf4, or what a file is packed in.")
    parameters: int | None = Field(default=None, description="Of the model; none where it is not known.")
    proof: str = Field(default="", description="How it is known that it is not the base, in a sentence.")
    notes: list[str] = Field(default=[], description="What a reader has to know besides, in sentences.")

    @property
    def model(self) -> tuple[str, str, str] | None:
        """Which model it is: two sides of which this is the same are one. None where it is not known."""
        return (self.weights_sha256, self.scaled_by, self.base) if self.weights_sha256 else None


class PromptInfo(Strict):
    """How a side was asked."""

    sha256: str = Field(description="Over everything that shapes its prompts.")
    where_from: Literal["contract", "borrowed", "template", "file", "server", "bare text"] = Field(
        description="The contract it was tuned with; of a base, the one that what is compared with it was tuned "
        "with; its own chat template and the task's instruction; a file; messages that a server renders; the bare "
        "text."
    )
    example: str = Field(description="The first row's prompt.")


class SpentInfo(Strict):
    """What a side's answers took."""

    seconds: float = Field(description="By the clock.", ge=0)
    prompt_tokens: int = Field(default=0, description="Tokens that it read.", ge=0)
    tokens: int = Field(default=0, description="Tokens that it wrote.", ge=0)
    requests: int = Field(default=0, description="Requests to a server that were answered.", ge=0)
    retries: int = Field(default=0, description="Requests that had to be made again.", ge=0)
    from_cache: int = Field(default=0, description="Answers that were there from an earlier time.", ge=0)
    dollars: float | None = Field(default=None, description="None where no price was given.")


class Known(Strict):
    """What is known of the rows that a side was trained on."""

    known_by: Literal["run", "recipe", "file"] | None = Field(
        description="Who says it: the run's own record, a recipe that names a bundled corpus, or a file of the "
        "person's; none where nobody does."
    )
    trained_on: int | None = Field(description="Test rows among them; none where it is not known.")


class SideScore(Strict):
    """A metric of one side over all rows."""

    name: str = Field(description="Its name, as in `eval.metrics`.")
    primary: bool = Field(description="Whether the verdict is about this metric.")
    value: float = Field(description="The mean over the rows, or the value of the whole set.")
    interval: Interval | None = Field(default=None, description="95 %; none where rows have no value of their own.")


class SideResult(Strict):
    """One side, judged by itself."""

    info: SideInfo = Field(description="What it is.")
    prompt: PromptInfo = Field(description="How it was asked.")
    spent: SpentInfo = Field(description="What its answers took.")
    known: Known = Field(description="Which of the rows it was trained on.")
    answered: Literal["chosen", "read", "written"] = Field(
        description="Labels by their probability; labels read out of what it wrote; answers in words."
    )
    unread: float | None = Field(
        default=None, description="Share of the rows whose answer names no label, where labels were read."
    )
    scores: list[SideScore] = Field(description="Every metric, the primary one first.", min_length=1)


class Margin(Strict):
    """Whether the tuned side is no worse than the base by more than a margin."""

    margin: float = Field(description="In the units of the metric, above 0.", gt=0)
    limit: float = Field(
        description="The end of the one-sided 95 % interval of the difference on the worse side: non-inferior "
        "where it is within the margin."
    )
    holds: bool = Field(description="Whether it is shown to be non-inferior.")
    p_value: float = Field(description="One-sided: of a loss as large as the margin or larger.", ge=0, le=1)
    test: str = Field(description="The test, in words.")


class SliceResult(Strict):
    """The verdict on some of the rows."""

    by: str = Field(description="What the rows were divided by: a column's name, label, length.")
    value: str = Field(description="Which of them: the column's value, the label, a range of words.")
    n: int = Field(description="Rows.", ge=1)
    base: float = Field(description="The base's mean of the primary metric.")
    tuned: float = Field(description="The tuned side's.")
    judgement: Judgement = Field(description="Its paired test, by itself.")
    corrected: float = Field(
        description="The p-value corrected by Holm's method for all slices of all tuned sides.", ge=0, le=1
    )
    outcome: Outcome = Field(description="By the corrected p-value.")


class Comparison(Strict):
    """One tuned side against the base."""

    tuned: str = Field(description="The tuned side's key.")
    metrics: list[MetricResult] = Field(
        description="Every metric, the primary one first, each with its test by itself. Whether one of several "
        "sides is better or worse is in `pairs`, where that is corrected.",
        min_length=1,
    )
    flips: Flips = Field(description="How many rows changed.")
    confusion: Confusion | None = Field(default=None, description="Labels only.")
    classes: list[ClassScores] | None = Field(default=None, description="Labels only.")
    calibration: Calibration | None = Field(default=None, description="Where both sides give probabilities.")
    writing: Writing | None = Field(default=None, description="Answers in words only.")
    likelihood: Judgement | None = Field(
        default=None,
        description="Of the reference answers, nats a token, where both sides can tell and cut texts alike.",
    )
    margin: Margin | None = Field(default=None, description="Where a margin was asked for.")
    slices: list[SliceResult] = Field(default=[], description="The same by slice, the worst first.")
    differs: str = Field(description="The proof that the two sides are two, in a sentence.")
    doubt: str = Field(default="", description="Why they may be one, in a sentence; empty without a reason.")

    @property
    def primary(self) -> MetricResult:
        """The metric that the verdict is about."""
        return next(metric for metric in self.metrics if metric.primary)

    @property
    def verdict(self) -> Judgement:
        """The paired test of it."""
        judgement = self.primary.judgement
        assert judgement is not None
        return judgement


class Suspect(Strict):
    """A row to look at: all sides find its reference improbable, which may be wrong, or hard."""

    row: int = Field(description="Its number in the test set, from 1.", ge=1)
    reference: str = Field(description="What the row says.")
    instead: str = Field(description="The label that all sides give instead; empty of texts.")
    loss: float = Field(
        description="The mean of the sides' losses in nats: of the label, or of a text's mean token."
    )


class JudgePair(Strict):
    """A judge's opinion of one tuned side against the base."""

    tuned: str = Field(description="The tuned side's key.")
    wins: int = Field(description="Rows where the tuned side's answer is preferred in both orders.", ge=0)
    losses: int = Field(description="Rows where the base's is, in both orders.", ge=0)
    ties: int = Field(
        description="The others: the same answers, called equal, preferred by their place, or a winner not named.",
        ge=0,
    )
    judgement: Judgement = Field(
        description="The sign test of wins against losses; the difference is (wins - losses) / rows."
    )


class Judged(Strict):
    """What a language model made of the answers."""

    judge: SideInfo = Field(description="Which.")
    rubric: str = Field(description="What it was told to look for.")
    rubric_sha256: str = Field(description="Of the whole prompt's template.")
    pairs: list[JudgePair] = Field(description="One a tuned side.")
    answers: int = Field(description="Answers that it gave, two to each pair of answers that differ.", ge=0)
    first_place: float | None = Field(
        description="Share of the opinions, of all that prefer one, that prefer whatever stands first; 0.5 without "
        "a bias. None where no opinion prefers one."
    )
    consistent: float | None = Field(
        description="Share of the rows judged the same in both orders, of those where both opinions could be read; "
        "none where there is none."
    )
    unread: float | None = Field(description="Share of its answers that name no winner; none where it gave none.")
    human: int = Field(default=0, description="Pairs of answers that people have voted on, too.")
    kappa: float | None = Field(
        default=None, description="Cohen's kappa with them, over tuned, base and tie; none without."
    )
    kappa_interval: Interval | None = Field(default=None, description="95 %, a bootstrap over these pairs.")


class StandardTask(Strict):
    """A task of lm-evaluation-harness."""

    name: str = Field(description="Its name there.")
    metric: str = Field(description="Which of its metrics, and after a comma its filter of answers, if it has one.")
    n: int = Field(description="Questions.", ge=1)
    few_shot: int = Field(default=0, description="Examples in each prompt.", ge=0)
    comparisons: dict[str, Judgement] = Field(description="Tuned side's key → the paired test against the base.")
    corrected: dict[str, float] = Field(
        description="Tuned side's key → its p-value, corrected by Holm's method for all of these tasks and sides."
    )
    values: dict[str, float] = Field(description="Side's key → its mean.")


class Verdict(Strict):
    """Any sides on the same rows."""

    schema_version: Literal[1] = Field(default=1, description="Of this file.")
    task: str = Field(description="The task's name.")
    about: TaskInfo = Field(description="What the task is.")
    labels: list[str] = Field(default=[], description="Of a classification.")
    metric: str = Field(description="The metric that the verdict is about.")
    n: int = Field(description="Test rows that every side answered.", ge=1)
    data: DataInfo = Field(description="The rows.")
    sides: list[SideResult] = Field(description="The base first, then the tuned ones as given.", min_length=2)
    comparisons: list[Comparison] = Field(description="Each tuned side against the base.", min_length=1)
    pairs: list[PairResult] = Field(description="All pairs of sides, with Holm's correction.", min_length=1)
    test: str = Field(description="The paired test of the primary metric, in words.")
    alpha: float = Field(default=0.05, description="Up to which a corrected p-value is a difference.", gt=0, lt=1)
    suspects: list[Suspect] = Field(
        default=[], description="Rows whose reference all sides find improbable, the most improbable first."
    )
    judged: Judged | None = Field(default=None, description="Where a judge was asked.")
    standard: list[StandardTask] = Field(default=[], description="Where standard benchmarks were asked for.")
    notes: list[str] = Field(default=[], description="What else there is to know, in sentences.")
    max_new_tokens: int | None = Field(default=None, description="Where answers were cut off; none of labels.")
    versions: dict[str, str] = Field(description="Of the libraries that the numbers depend on.")
    created: str = Field(description="When it ended: UTC, ISO 8601.")

    @property
    def by(self) -> Metric:
        """The metric that the verdict is about."""
        return metric_named(self.metric)

    def side(self, key: str) -> SideResult:
        """The side of that key."""
        return next(side for side in self.sides if side.info.key == key)


class Answer(Strict):
    """What one side answered to one row."""

    text: str = Field(description="The answer, or the label; empty where what was written names none.")
    written: str | None = Field(default=None, description="What was written, where a label was read out of it.")
    scores: dict[str, float] = Field(description="This row's value of each metric that has one.")
    probabilities: dict[str, float] | None = Field(default=None, description="Of each label, where known.")
    log_likelihood: float | None = Field(default=None, description="Of the reference, nats a token, where known.")
    tokens: int | None = Field(default=None, description="Tokens that were written.")
    cut_off: bool = Field(default=False, description="Whether it ends at the limit.")


class VerdictRow(Strict):
    """One test row with the answers of all sides."""

    input: str = Field(description="What every side was given; of a chat each message after its role.")
    references: list[str] = Field(description="The right label, or the reference answers.", min_length=1)
    messages: list[RowMessage] | None = Field(default=None, description="Chats only: the input as messages.")
    slices: dict[str, str] = Field(default={}, description="What the row was divided by → its value.")
    answers: dict[str, Answer] = Field(description="Side's key → its answer.", min_length=2)
    preferred: dict[str, Literal["tuned", "base", "tie"]] = Field(
        default={}, description="Tuned side's key → whose answer a judge prefers in both orders; tie for neither."
    )


def json_schema() -> str:
    """The JSON schemas of a verdict and of a row, as `verdict.schema.json` holds them."""
    schemas = {"verdict.json": Verdict.model_json_schema(), "rows.jsonl, a line": VerdictRow.model_json_schema()}
    return json.dumps(schemas, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(json_schema(), end="")
