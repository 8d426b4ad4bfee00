"""What a report says of a reward model beside its metric: what its margins mean, and whether length fools it.

Knows values only, and imports no model, so that a page can read a report at once.
"""

from __future__ import annotations

from pydantic import Field

from eval.report.sections import CalibrationSide, Strict
from eval.statistics import Interval


class Correlation(Strict):
    """How two values of answers go together within pairs, -1 to 1."""

    value: float | None = Field(description="None where one of the two is the same for both answers of every pair.")
    interval: Interval | None = Field(
        default=None, description="95 % interval, by drawing the pairs again; none for fewer than 8 of them."
    )


class PairsOfLength(Strict):
    """Pair accuracy on some of the pairs."""

    n: int = Field(description="How many pairs.", ge=0)
    base: float | None = Field(description="The base's accuracy on them; none where there is no pair.")
    tuned: float | None = Field(description="The reward model's.")
    base_interval: Interval | None = Field(default=None, description="95 % interval of the base's.")
    tuned_interval: Interval | None = Field(default=None, description="95 % interval of the reward model's.")


class LengthBias(Strict):
    """Whether longer answers are preferred for being longer. Lengths are in characters."""

    labels: Correlation = Field(
        description="Of being the better answer with being the longer one: what a model that is always right would "
        "show of it."
    )
    base: Correlation = Field(description="Of the base's log-probability a token with length.")
    tuned: Correlation = Field(description="Of the reward with length.")
    longer: PairsOfLength = Field(description="Pairs whose better answer is the longer one.")
    shorter: PairsOfLength = Field(description="Pairs whose better answer is the shorter one.")
    same: int = Field(description="Pairs whose answers are of the same length.", ge=0)


class TellsKind(Strict):
    """The pairs whose worse answer has the same fault."""

    why: str = Field(description="What is wrong with it.")
    pairs: int = Field(description="How many there are.", ge=1)
    base: float = Field(description="Share of them whose better answer the base takes.", ge=0, le=1)
    tuned: float = Field(description="The same of the reward model.", ge=0, le=1)


class Rewards(Strict):
    """The rewards that a reward model gives."""

    mean: float = Field(description="Of all rewards; it has no meaning of its own.")
    spread: float = Field(description="Their standard deviation.", ge=0)
    margin: float = Field(description="How much more the better answer of a pair gets, the mean over the pairs.")
    calibration: CalibrationSide = Field(
        description="Whether sigmoid(margin), the probability that the answer with the higher reward is the better "
        "one, means what it says. The base claims no probabilities, so it has none."
    )
    length: LengthBias = Field(description="What length has to do with it.")
    kinds: list[TellsKind] = Field(
        default=[],
        description="Pair accuracy by what is wrong with the worse answer, where the rows say; few pairs each.",
    )
