"""Which sides differ, all pairs of them judged at once, and a leaderboard that says ties as ties.

That two sides are not told apart is no order: A and B may be a tie, B and C too, and A better than C. So a place is
a range, from the number of sides that are better to the number that are worse, and sides that share a letter are
not told apart (Piepho 2004, https://doi.org/10.1198/1061860043515). Knows a verdict's values only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from string import ascii_lowercase

from eval.lab.judging import all_pairs, name_of_test
from eval.lab.schema import PairResult
from eval.metrics.metric import Metric
from eval.statistics import Interval
from eval.verdict.schema import Verdict


@dataclass(frozen=True)
class Scores:
    """A side's primary score of every row."""

    key: str
    scores: Sequence[float]


@dataclass(frozen=True)
class Place:
    """A side on the leaderboard."""

    key: str
    first: int
    """Its place if it wins all ties, from 1."""
    last: int
    """Its place if it loses them all."""
    value: float
    interval: Interval | None
    letters: str
    """Of the groups that it is in: sides with a letter in common are not told apart."""

    @property
    def place(self) -> str:
        """`2`, or of a tie `1–3`."""
        return str(self.first) if self.first == self.last else f"{self.first}–{self.last}"


def judge_pairs(
    scores: Mapping[str, Sequence[float]], metric: Metric, *, alpha: float = 0.05
) -> tuple[list[PairResult], str]:
    """All pairs of sides with Holm's correction, in the order of `scores`, and the test in words."""
    sides = [Scores(key, values) for key, values in scores.items()]
    return all_pairs(sides, metric, alpha=alpha), name_of_test(sides, metric)


def pair_of(verdict: Verdict, one: str, other: str) -> PairResult:
    """The pair of two sides, as `other` against `one`, whichever way the verdict holds it."""
    pair = next(pair for pair in verdict.pairs if {pair.one, pair.other} == {one, other})
    return pair if pair.one == one else turned(pair)


def turned(pair: PairResult) -> PairResult:
    """The same pair seen from the other side."""
    outcome = {"better": "worse", "worse": "better"}.get(pair.outcome, "no evidence")
    return pair.model_copy(
        update={
            "one": pair.other,
            "other": pair.one,
            "difference": -pair.difference + 0.0,
            "interval": Interval(low=-pair.interval.high + 0.0, high=-pair.interval.low + 0.0),
            "outcome": outcome,
        }
    )


def leaderboard(verdict: Verdict) -> list[Place]:
    """The sides by the verdict's metric, the best first; of equals the one that was given first."""
    scores = {side.info.key: side.scores[0] for side in verdict.sides}
    sign = -1 if verdict.by.higher_is_better else 1
    order = sorted(scores, key=lambda key: sign * scores[key].value)
    beaten = {key: [pair_of(verdict, other, key).outcome for other in order if other != key] for key in order}
    letters = _letters(order, verdict.pairs)
    return [
        Place(
            key,
            1 + beaten[key].count("worse"),
            len(order) - beaten[key].count("better"),
            scores[key].value,
            scores[key].interval,
            letters[key],
        )
        for key in order
    ]


def groups(order: Sequence[str], pairs: Sequence[PairResult]) -> list[list[str]]:
    """The largest groups of sides of which no two are told apart, each in the order of `order`; some overlap.

    By inserting and absorbing (Piepho 2004): all are one group until a pair that differs splits each that holds
    both.
    """
    found = [frozenset(order)]
    for pair in pairs:
        if pair.outcome == "no evidence":
            continue
        split = [
            part
            for group in found
            for part in (
                (group - {pair.one}, group - {pair.other}) if {pair.one, pair.other} <= group else (group,)
            )
        ]
        found = [one for one in dict.fromkeys(split) if not any(one < other for other in split)]
    place = {key: number for number, key in enumerate(order)}
    return sorted((sorted(group, key=place.__getitem__) for group in found), key=lambda one: [*map(place.get, one)])


def _letters(order: Sequence[str], pairs: Sequence[PairResult]) -> dict[str, str]:
    named = list(zip(_names(), groups(order, pairs), strict=False))
    return {key: "".join(name for name, group in named if key in group) for key in order}


def _names() -> list[str]:
    """a to z, then aa, ab …: more groups than there are sides are rare."""
    return [*ascii_lowercase, *(one + other for one, other in combinations(ascii_lowercase, 2))]
