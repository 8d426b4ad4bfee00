"""Which side people prefer who were not told which is which: the win rate, its interval, and the exact sign test.

A vote is for one side; for neither, a tie, which counts as half of one for each in the rate and is left out of the
test; or it says that both answers are bad, which prefers nothing and is counted apart. Knows outcomes of votes, not
who gave them or where they are kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from eval.statistics import Interval, Outcome, fewest_rows, judge_labels

Preferred = Literal["tuned", "base", "tie", "both bad"]
"""What a vote says, once it is known which side stood where."""


class WinRate(BaseModel):
    """How often the tuned side is preferred."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tuned: int = Field(description="Votes for the tuned side.", ge=0)
    base: int = Field(description="Votes for the base.", ge=0)
    ties: int = Field(description="Votes that both are as good.", ge=0)
    both_bad: int = Field(description="Votes that both are bad, which are in none of the other numbers.", ge=0)
    rate: float | None = Field(description="(tuned + ties / 2) / votes; None without a vote.", ge=0, le=1)
    interval: Interval | None = Field(description="95 % interval of the rate: 0.5 is in it where nothing is shown.")
    p_value: float | None = Field(description="Of the exact sign test: ties say nothing.", ge=0, le=1)
    outcome: Outcome = Field(description="Whether the tuned side is preferred, or the base.")

    @property
    def votes(self) -> int:
        """Votes that the rate is of."""
        return self.tuned + self.base + self.ties


def win_rate(votes: Iterable[Preferred]) -> WinRate:
    """The win rate of the tuned side in `votes`, which are taken to be independent of each other.

    With a tie as half of a win the rate is 1/2 + (wins - losses) / 2n. So its interval is that of a difference of
    two shares (`statistics.judge_labels`: a score interval that holds 0 exactly where the exact McNemar test, which
    is the sign test of the votes for a side, says "no evidence").
    """
    counts = Counter(votes)
    tuned, base, ties = counts["tuned"], counts["base"], counts["tie"]
    found = {"tuned": tuned, "base": base, "ties": ties, "both_bad": counts["both bad"]}
    if not tuned + base + ties:
        return WinRate(**found, rate=None, interval=None, p_value=None, outcome="no evidence")
    won = [1] * tuned + [0] * (base + ties)
    lost = [0] * tuned + [1] * base + [0] * ties
    judged = judge_labels(lost, won)
    return WinRate(
        **found,
        rate=(1 + judged.difference) / 2,
        interval=Interval(low=(1 + judged.interval.low) / 2, high=(1 + judged.interval.high) / 2),
        p_value=judged.p_value,
        outcome=judged.outcome,
    )


_HEADLINES: dict[Outcome, str] = {
    "better": "Preferred",
    "worse": "Not preferred",
    "no evidence": "No evidence of a preference",
}


def headline(found: WinRate) -> str:
    """The win rate in a sentence: `Preferred: the tuned model won 0.71 of 24 votes (…), sign test p = 0.022.`"""
    if found.rate is None or found.interval is None or found.p_value is None:
        return "There are no votes for a side yet."
    said = _HEADLINES[found.outcome]
    votes = "1 vote" if found.votes == 1 else f"{found.votes:,} votes"
    p_value = "p < 0.001" if found.p_value < 0.001 else f"p = {found.p_value:.3f}"
    within = f"95 % interval {found.interval.low:.2f} to {found.interval.high:.2f}"
    return f"{said}: the tuned model won {found.rate:.2f} of {votes} ({within}), sign test {p_value}."


def counts(found: WinRate) -> str:
    """What the rate is of, and how each kind of vote counts, in a sentence; if they are few, what more it takes."""
    said = [f"{found.tuned:,} for tuned, {found.base:,} for base"]
    if found.ties:
        ties = "1 tie, which counts" if found.ties == 1 else f"{found.ties:,} ties, each of which counts"
        said.append(f"{ties} as half a vote for either and is left out of the test")
    if found.both_bad:
        said.append(f"both bad: {found.both_bad:,}, not counted")
    sentence = f"{'; '.join(said)}."
    decided, least = found.tuned + found.base, fewest_rows()
    if decided < least:
        more = least - decided
        sentence += f" {more} more vote{'s' * (more > 1)} for a side before they can show anything."
    return sentence
