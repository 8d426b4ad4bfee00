"""The sections of a report: what each holds, field by field. `schema` puts them together.

Knows values only, and imports no model, so that a page can read a report at once.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from data.tasks.task import Kind
from eval.calibration import ReliabilityBin
from eval.metrics import metric_named
from eval.metrics.metric import Metric
from eval.statistics import Interval, Judgement
from eval.text_quality import TextQuality

MOST_LABELS_DRAWN = 10
"""Of more labels a table of all answers is too wide to read."""


class Strict(BaseModel):
    """Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MetricResult(Strict):
    """One metric of both sides over the whole test set."""

    name: str = Field(description="Its name, as in `eval.metrics`.")
    primary: bool = Field(
        description="Whether the verdict is about this metric; exactly one is. The others are exploratory."
    )
    base: float = Field(
        description="The base model's value: 0 to 1, save for `perplexity`, which is nats a token, 0 or less, and "
        "`bits_per_byte`, 0 or more."
    )
    tuned: float = Field(description="The tuned model's value.")
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
    def tells(self) -> str:
        """Its name, and which way is better where that is not higher."""
        return self.title if self.metric.higher_is_better else f"{self.title}, lower is better"

    @property
    def difference(self) -> float:
        """Tuned minus base: that of the test where there is one, so that no two places round it differently."""
        return self.tuned - self.base if self.judgement is None else self.judgement.difference


class BaseModelInfo(Strict):
    """The base weights that both sides used."""

    name: str = Field(description="The base model's name as on the Hub, or its folder.")
    origin: str = Field(description="Where the files came from: folder, hub or package mirror.")
    revision: str = Field(description="The Hub's commit or the mirror's pinned package; empty for a folder.")
    weights_sha256: str = Field(description="SHA-256 over the weight files.")


class AdapterProofInfo(Strict):
    """That the adapter was really applied, measured before the comparison."""

    largest_change: float = Field(description="Largest absolute change of a logit on the probe prompt.")
    same_weights: bool = Field(description="Whether the base weights are byte for byte those of training.")
    sentence: str = Field(description="The proof in a sentence.")


class Selection(Strict):
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
    known_by: Literal["run", "recipe", "file"] | None = Field(
        description="Who knows what was trained on: the run's own record, a recipe that names a bundled corpus, or "
        "a file that a person gave."
    )
    eligible: int = Field(description="Rows that were left; of these a fixed sample may have been judged.", ge=1)
    notes: list[str] = Field(default=[], description="What else there is to say of the rows, in sentences.")


class Findings(Strict):
    """What is odd about the rows though each is valid; see `data.hygiene`."""

    repeated: int = Field(description="Rows of all splits whose text was there before.", ge=0)
    nearly_repeated: int = Field(description="Rows nearly the same as another.", ge=0)
    contradictory: int = Field(description="Rows whose text was there before with another label.", ge=0)
    leaked: int = Field(description="Test rows whose text is in training, too.", ge=0)
    nearly_leaked: int = Field(description="Test rows nearly the same as one in training.", ge=0)
    sentences: list[str] = Field(description="The same and more in words, the weightiest first.")


class DataInfo(Strict):
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


class Flips(Strict):
    """How many rows changed: for labels whether they are right, for texts their primary score."""

    gained: int = Field(description="Rows that went from wrong to right, or whose score got better.", ge=0)
    lost: int = Field(description="Rows that went from right to wrong, or whose score got worse.", ge=0)
    same: int = Field(description="The others.", ge=0)
    threshold: float = Field(
        default=0.0,
        description="The change from which a score counts as better or worse; 0: any change does.",
        ge=0,
    )


class Confusion(Strict):
    """How often each label was answered for each label that is right."""

    labels: list[str] = Field(description="The labels, in the order of the tables' rows and columns.")
    base: list[list[int]] = Field(description="Number of rows: right label, then the base's answer.")
    tuned: list[list[int]] = Field(description="Number of rows: right label, then the tuned model's answer.")

    @property
    def is_large(self) -> bool:
        """Whether the most confused pairs say more than a table of all."""
        return len(self.labels) > MOST_LABELS_DRAWN

    def most_confused(self, most: int = 10) -> list[ConfusedPair]:
        """The pairs of right label and wrong answer that are the most frequent on either side, of tuned first."""
        pairs = [
            ConfusedPair(right, answered, base, tuned)
            for index, right in enumerate(self.labels)
            for answered, base, tuned in zip(self.labels, self.base[index], self.tuned[index], strict=True)
            if right != answered and base + tuned
        ]
        return sorted(pairs, key=lambda pair: (-pair.tuned, -pair.base))[:most]


class ConfusedPair(NamedTuple):
    """How often each side answered one label where another was right."""

    right: str
    answered: str
    base: int
    tuned: int


class ClassSide(Strict):
    """One side's answers by one label."""

    precision: float = Field(description="Share of the rows that it gave this label to that have it, 0 to 1.")
    recall: float = Field(description="Share of the rows that have this label that it gave it to, 0 to 1.")
    f1: float = Field(description="Harmonic mean of the two; 0 where it never got the label right.")


class ClassScores(Strict):
    """How well both sides know one label."""

    label: str = Field(description="The label.")
    support: int = Field(description="Test rows that have it; of 0 rows recall says nothing.", ge=0)
    base: ClassSide = Field(description="The base model's.")
    tuned: ClassSide = Field(description="The tuned model's.")


class CalibrationSide(Strict):
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


class Calibration(Strict):
    """Calibration of both sides."""

    base: CalibrationSide = Field(description="The base model's.")
    tuned: CalibrationSide = Field(description="The tuned model's.")


class Writing(Strict):
    """How both sides' answers are written, apart from what they say; means over the rows."""

    base: TextQuality = Field(description="The base model's answers.")
    tuned: TextQuality = Field(description="The tuned model's answers.")


class FloorResult(Strict):
    """What an answer scores that needs no tuning."""

    name: str = Field(description="The floor's name as in `eval.floors`.")
    sentence: str = Field(description="How it answers.")
    scores: dict[str, float] = Field(description="Its value of each metric, 0 to 1.")
    judgement: Judgement | None = Field(
        default=None,
        description="The paired test, on the primary metric, of tuned against it; none in reports of before.",
    )
    doing: str = Field(
        default="",
        description="What it does, after `No better than`, where it reads nothing of what is asked; else empty, "
        "and in reports of before.",
    )


class FewShot(Strict):
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


class WithContext(Strict):
    """The base model with a text in every prompt that holds what is asked for, beside the tuned one without."""

    name: str = Field(description="The text's name.")
    text_sha256: str = Field(description="SHA-256 of the text.")
    scores: dict[str, float] = Field(description="The base's value of each metric with the text in its prompt.")
    judgement: Judgement = Field(
        description="The paired test, on the primary metric, of tuned without the text against base with it."
    )
    prompt_tokens: float = Field(description="Mean prompt tokens an answer with the text.")
    prompt_tokens_without: float = Field(description="Mean prompt tokens an answer without it, as both sides had.")


class TurnLikelihood(Strict):
    """How probable both sides find all that the assistant says in the chats, not only its last answer."""

    tokens: int = Field(description="Tokens of all its turns that are trained on.", ge=1)
    base_perplexity: float = Field(description="exp of the base's mean negative log-likelihood a token; 1 or more.")
    tuned_perplexity: float = Field(description="The same of the tuned model; lower is better.")


class TextSide(Strict):
    """How probable one side finds texts that were not trained on."""

    perplexity: float = Field(description="exp of the mean negative log-likelihood a token; 1 or more.")
    perplexity_interval: Interval = Field(description="95 % interval of it, over other texts of this kind.")
    bits_per_byte: float = Field(description="Bits that a byte takes by what this side expects; lower is better.")
    bits_per_byte_interval: Interval = Field(description="95 % interval of it, over other texts of this kind.")


class Texts(Strict):
    """How probable both sides find whole texts. Each row of the report is one of them.

    A row's scores are in proportion to its length, so that their mean is that of all tokens, or bytes.
    """

    passages: int = Field(description="Rows of the test split that the texts were put together from.", ge=1)
    documents: int | None = Field(
        default=None,
        description="Documents that they are of; fewer than texts where each text is a passage. None where that is "
        "not known.",
        ge=1,
    )
    tokens: int = Field(
        description="Tokens that were predicted: of each piece read at once all but the first.", ge=1
    )
    bytes: int = Field(description="UTF-8 bytes of these tokens.", ge=1)
    window: int = Field(description="Tokens that are read at once, at most; a longer text is read in pieces.", ge=2)
    base: TextSide = Field(description="The base model's.")
    tuned: TextSide = Field(description="The tuned model's.")


class ChangedAnswer(Strict):
    """What both sides answer to a general instruction."""

    instruction: str = Field(description="The instruction.")
    base: str = Field(description="The base model's answer.")
    tuned: str = Field(description="The tuned model's answer.")


class Forgetting(Strict):
    """What tuning cost elsewhere: both sides on general text that the task is not about."""

    passages: int = Field(description="Passages of general text.", ge=1)
    tokens: int = Field(description="Tokens of them that were predicted.", ge=1)
    bytes: int | None = Field(
        default=None, description="UTF-8 bytes of these tokens; None in a report of before.", ge=1
    )
    base_perplexity: float = Field(description="exp of the base's mean negative log-likelihood a token; 1 or more.")
    tuned_perplexity: float = Field(description="The same of the tuned model; higher is worse.")
    judgement: Judgement = Field(
        description="The paired test on the passages' log-likelihoods, long ones counting for more: the difference "
        "is that of the log-perplexities, in nats a token, and below 0 tuned is worse."
    )
    agreement: float = Field(description="Share of positions where both predict the same next token, 0 to 1.")
    answers: list[ChangedAnswer] = Field(description="Both sides' greedy answers to general instructions.")

    @property
    def bits_per_byte(self) -> tuple[float, float] | None:
        """Of base and tuned, as their perplexities over all tokens make them; None in a report of before."""
        if self.bytes is None:
            return None
        a_byte = self.tokens / self.bytes
        return a_byte * math.log2(self.base_perplexity), a_byte * math.log2(self.tuned_perplexity)

    @property
    def changed(self) -> int:
        """How many of `answers` differ."""
        return sum(answer.base != answer.tuned for answer in self.answers)


class TaskInfo(Strict):
    """What a report says of its task."""

    kind: Kind = Field(description="classification, generation, chat or text.")
    title: str = Field(description="Its name as a person reads it.")
    noun: tuple[str, str] = Field(description="What a row is called: one, several.")
