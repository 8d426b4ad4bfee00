"""People's votes on two answers: which pair of answers, and which one is preferred.

Only votes of who could not know the sides count (`eval.vote_lines.blind_votes`); of several people's on the same
two answers what most of them say. A vote that both are bad prefers neither, and is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from eval.verdict.judge import Preferred
from eval.verdict.judge_prompt import Contest
from eval.vote_lines import Vote, blind_votes, read_lines
from plumbing.errors import DataError


@dataclass(frozen=True)
class Voted:
    """What people prefer."""

    pairs: list[tuple[Contest, Preferred]]
    notes: list[str]
    """Which lines of the file were left aside, in sentences."""


def read_voted(path: Path) -> Voted:
    """The pairs of answers that people have voted on without knowing the sides, and which one they prefer.

    Raises:
        DataError: the file cannot be read, or no vote of it counts.
    """
    try:
        kept = read_lines(path)
    except (OSError, ValueError) as error:
        raise DataError(f"The votes cannot be read: {error}", got=str(path)) from None
    pairs = most_of(blind_votes(kept.votes))
    if not pairs:
        raise DataError(
            " ".join(["No vote in this file prefers an answer blindly.", *kept.sentences()]).rstrip("."),
            got=str(path),
            fix="Vote on some with Blind in Compare, or leave the votes out.",
        )
    return Voted(pairs, kept.sentences())


def most_of(votes: Iterable[Vote]) -> list[tuple[Contest, Preferred]]:
    """What most people prefer of each two answers; a tie where as many prefer either."""
    by_contest: dict[str, tuple[Contest, Counter[Preferred]]] = {}
    for vote in votes:
        preferred = vote.preferred
        if preferred != "both bad":
            contest = _contest(vote)
            by_contest.setdefault(contest.key, (contest, Counter()))[1][preferred] += 1
    return [(contest, _most(counts)) for contest, counts in by_contest.values()]


def _contest(vote: Vote) -> Contest:
    alone = [role for role, _ in vote.asked] == ["user"]
    given = vote.prompt[0].content if alone else [message.model_dump() for message in vote.prompt]
    return Contest(given, vote.base.text, vote.tuned.text)


def _most(counts: Counter[Preferred]) -> Preferred:
    (first, most), *others = counts.most_common()
    return "tie" if others and others[0][1] == most else first
