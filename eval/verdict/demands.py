"""What a verdict has to say for a gate to open: which tuned sides fail, and why.

The exit code of `python -m eval compare` and the failures of its JUnit file are both this, so they always agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from eval.verdict import words
from eval.verdict.schema import Comparison, SliceResult, Verdict
from plumbing.errors import UserError
from plumbing.printable import printable

Demand = Literal["better", "slices"]
DEMANDS: tuple[Demand, ...] = ("better", "slices")
"""better: every tuned side has to be better than the base. slices: on no slice may one be worse.

Both are decided by corrected p-values, those of `eval.verdict.pairs` and `eval.verdict.slices`. Margins are not
corrected for the number of sides, since every one has to hold: that the gate opens though a side is worse by the
margin is as seldom as it is for that side alone (an intersection-union test, Berger 1982, https://doi.org/10.1080/
00401706.1982.10487790).
"""


@dataclass(frozen=True)
class Failure:
    """Why a gate stays shut."""

    tuned: str
    """The key of the tuned side."""
    sentence: str
    """As a terminal may show it: names of sides and slices are somebody else's."""
    found: SliceResult | None = None
    """The slice that got worse; None where it is the verdict itself."""


def demands_named(names: Sequence[str]) -> list[Demand]:
    """Those of these names, each once.

    Raises:
        UserError: there is none of that name.
    """
    for name in names:
        if name not in DEMANDS:
            raise UserError("There is no such demand", got=name, fix=f"There are {' and '.join(DEMANDS)}.")
    return [demand for demand in DEMANDS if demand in names]


def failures(verdict: Verdict, demanded: Sequence[Demand] = ()) -> list[Failure]:
    """All that fails; empty where the gate is open.

    A tuned side fails that is worse than the base. Where a margin was asked for, the margin decides instead: a side
    fails that is not shown to be within it, and a loss that is shown to be smaller does not matter.
    """
    found = [
        Failure(each.tuned, printable(why))
        for each in verdict.comparisons
        if (why := _failing(each, verdict, demanded))
    ]
    if "slices" in demanded:
        found += [
            Failure(each.tuned, printable(_named(each, verdict) + words.slice_sentence(one, verdict)), one)
            for each in verdict.comparisons
            for one in each.slices
            if one.outcome == "worse"
        ]
    return found


def _failing(comparison: Comparison, verdict: Verdict, demanded: Sequence[Demand]) -> str:
    """Why one tuned side fails; empty where it does not."""
    outcome, who = words.outcome(verdict, comparison.tuned), _named(comparison, verdict)
    if "better" in demanded and outcome != "better":
        return f"{who}{metric_sentence(comparison, verdict)} It had to be better than the base."
    if comparison.margin is not None:
        return "" if comparison.margin.holds else f"{who}{words.margin_sentence(comparison.margin)}"
    return f"{who}{metric_sentence(comparison, verdict)}" if outcome == "worse" else ""


def metric_sentence(comparison: Comparison, verdict: Verdict) -> str:
    """The verdict on one tuned side, with its numbers."""
    outcome = words.outcome(verdict, comparison.tuned)
    said = "No evidence of a change" if outcome == "no evidence" else outcome.capitalize()
    after = None if words.is_one_pair(verdict) else words.corrected(verdict, comparison.tuned)
    return f"{said}: {words.metric_numbers(comparison.primary, after)}"


def _named(comparison: Comparison, verdict: Verdict) -> str:
    return "" if words.is_one_pair(verdict) else f"{words.titled(verdict, comparison.tuned)}: "
