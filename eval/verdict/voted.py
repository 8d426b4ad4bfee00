"""People's votes on two answers, as `votes.jsonl` holds them: which pair of answers, and which one is preferred.

Only votes of who could not know the sides count, and of each person the first on a question; of several people's on
the same two answers what most of them say. A vote that both are bad prefers neither, and is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from eval.verdict.judge import Preferred
from eval.verdict.judge_prompt import Contest
from eval.votes import Preferred as Voted
from plumbing.errors import DataError
from plumbing.reading import read_text

_MOST_BYTES = 2**26


class _Message(BaseModel):
    role: str
    content: str


class _Answer(BaseModel):
    text: str


class _Models(BaseModel):
    tuned: str


class _Vote(BaseModel):
    """What of a line is needed here; there is more."""

    prompt: list[_Message]
    base: _Answer
    tuned: _Answer
    models: _Models
    left: Literal["base", "tuned"]
    vote: Literal["left", "right", "tie", "both bad"]
    seen: bool = False
    owner: str = ""

    @property
    def contest(self) -> Contest:
        alone = len(self.prompt) == 1 and self.prompt[0].role == "user"
        given = self.prompt[0].content if alone else [one.model_dump() for one in self.prompt]
        return Contest(given, self.base.text, self.tuned.text)

    @property
    def preferred(self) -> Voted:
        if self.vote in ("tie", "both bad"):
            return "tie" if self.vote == "tie" else "both bad"
        if self.base.text.strip() == self.tuned.text.strip():
            return "tie"
        other: Voted = "tuned" if self.left == "base" else "base"
        return self.left if self.vote == "left" else other


def read_voted(path: Path) -> list[tuple[Contest, Preferred]]:
    """The pairs of answers that people have voted on without knowing the sides, and which one they prefer.

    Raises:
        DataError: the file cannot be read, a line is no vote, or no vote of it counts.
    """
    try:
        lines = read_text(path, limit=_MOST_BYTES).splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"The votes cannot be read: {error}", got=str(path)) from None
    votes: list[_Vote] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            votes.append(_Vote.model_validate_json(line))
        except ValidationError as error:
            found = error.errors(include_url=False)[0]
            where = ".".join(map(str, found["loc"]))
            raise DataError(
                f"Line {number:,} of the votes is no vote: {where}: {found['msg']}",
                got=str(path),
                fix="Give the file votes.jsonl of the folder of votes, or leave that line out.",
            ) from None
    counted = most_of(first_blind(votes))
    if not counted:
        raise DataError(
            "No vote in this file prefers an answer blindly",
            got=str(path),
            fix="Vote on some with Blind in Compare, or leave the votes out.",
        )
    return counted


def first_blind(votes: Iterable[_Vote]) -> list[tuple[Contest, Voted]]:
    """Each person's first vote on two answers, where that person had not seen which side is which."""
    first: dict[tuple[str, str, str], _Vote] = {}
    for vote in votes:
        first.setdefault((vote.owner, vote.models.tuned, vote.contest.key), vote)
    return [(vote.contest, vote.preferred) for vote in first.values() if not vote.seen]


def most_of(votes: Sequence[tuple[Contest, Voted]]) -> list[tuple[Contest, Preferred]]:
    """What most people prefer of each two answers; a tie where as many prefer either."""
    by_contest: dict[str, tuple[Contest, Counter[Preferred]]] = {}
    for contest, vote in votes:
        if vote != "both bad":
            by_contest.setdefault(contest.key, (contest, Counter()))[1][vote] += 1
    return [(contest, _most(counts)) for contest, counts in by_contest.values()]


def _most(counts: Counter[Preferred]) -> Preferred:
    (first, most), *others = counts.most_common()
    return "tie" if others and others[0][1] == most else first
