"""How many rows does it take? For a difference that is worth finding, the rows that find it in 80 % of test sets.

It depends on how often the two sides disagree, or by how much their scores differ row by row: seen in an earlier
comparison, or assumed, and then said. Labels: the power of the exact McNemar test, by enumeration. Scores:
Student's quantiles and the standard deviation of the differences, as `Judgement.detectable` has it. Knows numbers
and files.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import stdev
from typing import Any

from eval.metrics import metric_named
from eval.paired_shares import POWER, detectable_share, fewest_flips, mcnemar_power
from eval.statistics import wilson
from plumbing.errors import DataError, UserError
from plumbing.reading import read_text

ASSUMED = 0.2
"""Share of rows that only one side has right, where nobody has seen or said any: between like models it is less."""
MOST_ROWS = 1_000_000
_LOOKED_AHEAD = 25
"""Rows: the power of an exact test does not rise with every row, so that of the next few has to be enough as
well."""
_MAX_BYTES = 2**28
_READ = 20_000
"""Rows of `rows.jsonl` that are read."""


@dataclass(frozen=True)
class Spread:
    """How differently two sides answer: what the rows that it takes depend on."""

    where_from: str
    """Where it was seen, or that it is assumed; for the middle of a sentence."""
    discordance: float | None = None
    """Of right and wrong answers: the share of rows that only one side has right."""
    deviation: float | None = None
    """Of scores: the standard deviation of the differences, row by row."""
    seen: int | None = None
    """Rows that it was seen on; None where it is assumed."""

    @property
    def wider(self) -> Spread | None:
        """The end of its 95 % interval that takes more rows: of few rows it is a rough guess. None if assumed.

        Wilson's interval of a share; that of a standard deviation by the chi-squared distribution.
        """
        from scipy import special

        if self.seen is None:
            return None
        if self.discordance is not None:
            return replace(self, discordance=wilson(round(self.discordance * self.seen), self.seen).high)
        low = special.chdtri(self.seen - 1, 0.975)
        return replace(self, deviation=(self.deviation or 0.0) * math.sqrt((self.seen - 1) / low))

    @property
    def sentence(self) -> str:
        if self.discordance is not None:
            return f"Only one side is right on {self.number} of the rows ({self.where_from})."
        return f"Scores differ from row to row with a standard deviation of {self.number} ({self.where_from})."

    @property
    def number(self) -> str:
        """It in figures."""
        return f"{self.deviation:.3f}" if self.discordance is None else f"{self.discordance:.1%}"


@dataclass(frozen=True)
class Plan:
    """Rows, and the difference that they find."""

    rows: int
    difference: float
    alpha: float
    power: float
    """How surely it is found, in its direction."""
    spread: Spread
    notes: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        return (
            f"{self.rows:,} rows find a difference of {self.difference:.3g} in {self.power:.0%} of test sets, at "
            f"p ≤ {self.alpha:.3g}."
        )


def plan_rows(difference: float, spread: Spread, *, alpha: float = 0.05, comparisons: int = 1) -> Plan:
    """How many rows find a `difference`, above 0, with a probability of 80 %.

    Args:
        difference: the true one, in the units of the metric; better or worse is all the same.
        spread: how differently the sides answer.
        alpha: up to which a p-value is a difference.
        comparisons: pairs that are judged together. Each is planned for alpha through their number, which is what
            Holm's correction asks of the first; so it is enough for every one.

    Raises:
        UserError: no number of rows finds it, or more than a million.
    """
    _check(alpha, comparisons)
    if not 0 < difference <= 1 and spread.discordance is not None:
        raise UserError("The difference of two shares is above 0, and 1 at most", got=difference, fix="Write 0.03.")
    if not (difference > 0 and math.isfinite(difference)):
        raise UserError("The difference is no number above 0", got=difference, fix="Write 0.03.")
    each = alpha / comparisons
    notes: list[str] = []
    if spread.discordance is not None and spread.discordance < difference:
        # A side cannot be better on more rows than it differs on.
        notes.append(
            f"A difference of {difference:.3g} takes as many rows on which the sides differ, so these are assumed."
        )

    def needed(spread: Spread) -> int | None:
        return _fewest(partial(_power, difference=difference, spread=spread, alpha=each), fewest_flips(each))

    rows = needed(spread)
    if rows is None:
        raise UserError(
            f"More than {MOST_ROWS:,} rows would be needed", got=difference, fix="Look for a larger difference."
        )
    if wider := spread.wider:
        more = needed(wider)
        takes = f"{more:,}" if more else f"more than {MOST_ROWS:,}"
        notes.append(_may_be(wider, f"it takes {takes} rows"))
    return Plan(rows, difference, each, _power(rows, difference, spread, each), spread, tuple(notes))


def plan_difference(rows: int, spread: Spread, *, alpha: float = 0.05, comparisons: int = 1) -> Plan:
    """What so many rows find: the inverse of `plan_rows`.

    Raises:
        UserError: so few rows show nothing, whatever the answers.
    """
    _check(alpha, comparisons)
    each = alpha / comparisons
    if rows < fewest_flips(each):
        raise UserError(
            "So few rows show nothing, whatever the answers",
            got=rows,
            fix=f"It takes {fewest_flips(each)} at least.",
        )

    def found(spread: Spread) -> float:
        if spread.discordance is None:
            return _quantiles(rows, each) * (spread.deviation or 0.0) / math.sqrt(rows)
        share = detectable_share(rows, spread.discordance, each)
        assert share is not None, "there are rows enough for some"
        return share

    notes: tuple[str, ...] = ()
    if wider := spread.wider:
        notes = (_may_be(wider, f"they find {found(wider):.3g}"),)
    return Plan(rows, found(spread), each, POWER, spread, notes)


def assumed(discordance: float | None = None) -> Spread:
    """A share of rows that only one side has right, as somebody has said, or as nobody has.

    Raises:
        UserError: it is no share.
    """
    if discordance is None:
        return Spread("assumed: nobody has seen or said it", discordance=ASSUMED)
    if not 0 < discordance <= 1:
        raise UserError(
            "Discordance is a share of the rows, above 0 and 1 at most", got=discordance, fix="Write 0.2."
        )
    return Spread("assumed", discordance=discordance)


def _may_be(wider: Spread, then: str) -> str:
    return f"Seen on {wider.seen:,} rows, it may as well be {wider.number}; then {then}."


def _check(alpha: float, comparisons: int) -> None:
    if not 0 < alpha < 1:
        raise UserError("Alpha is a probability, between 0 and 1", got=alpha, fix="Write 0.05.")
    if comparisons < 1:
        raise UserError("There is at least one comparison", got=comparisons, fix="Write 1.")


def _power(n: int, difference: float, spread: Spread, alpha: float) -> float:
    if spread.discordance is not None:
        return mcnemar_power(n, difference, max(spread.discordance, difference), alpha)
    from scipy import special

    if not spread.deviation:
        return 1.0
    # As in `Judgement.detectable`: where the difference is t(1 - alpha/2) + t(0.8) standard errors it is 0.8.
    errors = difference * math.sqrt(n) / spread.deviation
    return float(special.stdtr(n - 1, errors - special.stdtrit(n - 1, 1 - alpha / 2)))


def _quantiles(n: int, alpha: float) -> float:
    from scipy import special

    return float(special.stdtrit(n - 1, 1 - alpha / 2) + special.stdtrit(n - 1, POWER))


def _fewest(power: Callable[[int], float], least: int) -> int | None:
    """The fewest rows with enough power, as have the next few."""
    high = max(2, least)
    while power(high) < POWER:
        if high >= MOST_ROWS:
            return None
        high = min(MOST_ROWS, 2 * high)
    low = max(2, least)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle) >= POWER else (middle + 1, high)
    ahead = 0
    while ahead < _LOOKED_AHEAD:
        ahead += 1
        if power(low + ahead) < POWER:
            low, ahead = low + ahead + 1, 0
    return low


# ---- what was seen ---------------------------------------------------------------------------------------------


def seen_in(path: Path, *, tuned: str | None = None) -> Spread:
    """How differently the sides of an earlier comparison answer, by its verdict.json, report.json or rows.jsonl.

    Args:
        path: one of these.
        tuned: which of several tuned sides; left out, the one that differs most from the base, to be safe.

    Raises:
        DataError: it is none of these, or says nothing of how much scores differ.
    """
    try:
        if path.name.endswith(".jsonl"):
            return _of_rows(path, tuned)
        return _of_verdict(json.loads(read_text(path, limit=_MAX_BYTES)), path, tuned)
    except FileNotFoundError:
        raise DataError("There is no such file", got=str(path), fix="Give a verdict.json or rows.jsonl.") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        said = " ".join(str(error).split())[:200]
        raise DataError(
            f"{path.name} is no verdict and no rows of one: {type(error).__name__}: {said}",
            got=str(path),
            fix="Give the verdict.json, report.json or rows.jsonl of a comparison.",
        ) from None


def _of_verdict(found: Mapping[str, Any], path: Path, tuned: str | None) -> Spread:
    """Of a verdict, or of a run's report, which is one comparison."""
    comparisons = found.get("comparisons", [found])
    known = [one.get("tuned", "tuned") for one in comparisons]
    spreads = []
    for key, one in zip(known, comparisons, strict=True):
        if tuned not in (None, key):
            continue
        primary = next(metric for metric in one["metrics"] if metric["primary"])
        n, where = int(primary["judgement"]["n"]), f"seen on {primary['judgement']['n']:,} rows of {path.name}"
        if metric_named(primary["name"]).kind == "binary":
            changed = one["flips"]["gained"] + one["flips"]["lost"]
            spreads.append(Spread(where, discordance=changed / n, seen=n))
        elif (detectable := primary["judgement"]["detectable"]) is not None:
            alpha = float(primary["judgement"]["alpha"])
            deviation = float(detectable) * math.sqrt(n) / _quantiles(n, alpha)
            spreads.append(Spread(where, deviation=deviation, seen=n))
    return _widest(spreads, path, tuned, known)


def _of_rows(path: Path, tuned: str | None) -> Spread:
    lines = (line for line in read_text(path, limit=_MAX_BYTES).split("\n") if line.strip())
    rows = [json.loads(line) for line in islice(lines, _READ)]
    if not rows:
        raise ValueError("it is empty")
    if "answers" not in rows[0]:  # of a run, whose rows have a base and a tuned side
        rows = [{"answers": {"base": row["base"], "tuned": row["tuned"]}} for row in rows]
    base, *others = rows[0]["answers"]
    metric = next(iter(rows[0]["answers"][base]["scores"]))  # the task's own is the first
    spreads = []
    for key in others:
        if tuned not in (None, key):
            continue
        changes = [
            float(row["answers"][key]["scores"][metric]) - float(row["answers"][base]["scores"][metric])
            for row in rows
        ]
        where = f"seen on {len(rows):,} rows of {path.name}, by {metric_named(metric).title}"
        if metric_named(metric).kind == "binary":
            changed = sum(change != 0 for change in changes)
            spreads.append(Spread(where, discordance=changed / len(rows), seen=len(rows)))
        elif len(changes) > 1 and (deviation := stdev(changes)):
            spreads.append(Spread(where, deviation=deviation, seen=len(rows)))
    return _widest(spreads, path, tuned, others)


def _widest(spreads: Sequence[Spread], path: Path, tuned: str | None, known: Sequence[str]) -> Spread:
    if tuned is not None and tuned not in known:
        raise DataError(f"There is no such side in {path.name}", got=tuned, fix=f"There are: {', '.join(known)}.")
    differing = [one for one in spreads if one.discordance or one.deviation]
    if not differing:
        raise DataError(
            f"In {path.name} every row differs by the same, so it does not tell how much scores spread",
            got=str(path),
            fix="Give another comparison, or the share of rows that only one side will have right.",
        )
    return max(differing, key=lambda one: one.discordance or one.deviation or 0.0)
