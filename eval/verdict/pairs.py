"""Which sides differ, all pairs of them judged at once, and a leaderboard that says ties as ties.

That two sides are not told apart is no order: A and B may be a tie, B and C too, and A better than C. So a place is
a range, from the number of sides that are better to the number that are worse. Knows a verdict's values only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eval.lab.judging import all_pairs, name_of_test
from eval.lab.schema import PairResult
from eval.lab.words import outcome_between
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


def leaderboard(verdict: Verdict) -> list[Place]:
    """The sides by the verdict's metric, the best first; of equals the one that was given first."""
    scores = {side.info.key: side.scores[0] for side in verdict.sides}
    sign = -1 if verdict.by.higher_is_better else 1
    order = sorted(scores, key=lambda key: sign * scores[key].value)
    found = []
    for key in order:
        outcomes = [outcome_between(verdict.pairs, other, key) for other in order if other != key]
        first, last = 1 + outcomes.count("worse"), len(order) - outcomes.count("better")
        found.append(Place(key, first, last, scores[key].value, scores[key].interval))
    return found
