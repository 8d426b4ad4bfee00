"""Blind votes on two answers, as lines of a `votes.jsonl`: what a vote is, and reading a file of them.

A crash may leave half a line behind, and a file may be of a later version. Whoever reads it is told of every line
that is no whole vote, and has the others. Knows lines; how they are written is in `finetuning.votes.keeping`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from eval.votes import Preferred
from plumbing.reading import read_file

FILE = "votes.jsonl"
MAX_BYTES = 2**28
"""Read at once: some hundred thousand votes."""
_SHOWN = 5
"""Lines that a sentence names."""

Side = Literal["base", "tuned"]
Choice = Literal["left", "right", "tie", "both bad"]
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Message(_Strict):
    role: str
    content: str


class Answer(_Strict):
    """What one side said."""

    text: str
    whole: bool = True
    """Whether it ended by itself, and was not cut off at the longest that is written."""


class Models(_Strict):
    """What answered."""

    task: str
    """What it was tuned to do, by its name."""
    base: str
    """The base's name, as on the Hub, or its folder."""
    base_sha256: str
    """Of its weights."""
    tuned: str
    """What was tuned: `run:ID`, or `bundled:NAME` of one that ships."""
    tuned_sha256: _Sha256
    """Of its weights: the adapter's, or the whole model's."""
    contract_sha256: _Sha256
    """Of everything that decides how a message becomes tokens, see `models.prompting.PromptContract`."""

    @property
    def sides(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """What decides how base and tuned answer; the base does alike beside every model tuned from it."""
        return (self.base_sha256, self.contract_sha256), (self.tuned_sha256, self.contract_sha256)


class Vote(_Strict):
    """A line of the file."""

    version: Literal[1] = 1
    ballot: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    """A number that was drawn when the question was asked: nobody votes twice on one."""
    time: float
    """Seconds since 1970."""
    prompt: list[Message]
    """What both were asked, the same, without the instruction that the task adds."""
    base: Answer
    tuned: Answer
    models: Models
    left: Side
    """Which side stood left."""
    vote: Choice
    seen: bool = False
    """Whether the voter had seen one of these answers with the name of its side, in Compare and not long before."""
    owner: str = ""
    """Whose vote, opaque; empty on a page of one's own."""

    @property
    def same(self) -> bool:
        """Whether both sides said the same."""
        return self.base.text.strip() == self.tuned.text.strip()

    @property
    def preferred(self) -> Preferred:
        """What the vote says of the sides; of two answers that are the same, neither is preferred."""
        if self.vote == "both bad":
            return "both bad"
        if self.vote == "tie" or self.same:
            return "tie"
        return self.left if self.vote == "left" else _OTHER[self.left]

    @property
    def name(self) -> str:
        """What was voted on, as people call it: a run's id, or the name of an adapter that ships."""
        return self.models.tuned.partition(":")[2]

    @property
    def characters(self) -> int:
        """Of all its texts."""
        texts = [message.content for message in self.prompt]
        return sum(map(len, [*texts, self.base.text, self.tuned.text]))

    @property
    def asked(self) -> tuple[tuple[str, str], ...]:
        """The prompt: role and content of each message."""
        return tuple((message.role, message.content) for message in self.prompt)


_OTHER: dict[Side, Side] = {"base": "tuned", "tuned": "base"}


@dataclass(frozen=True)
class Kept:
    """What is in the file."""

    votes: tuple[Vote, ...] = ()
    aside: tuple[int, ...] = ()
    """The numbers of lines that are no whole vote."""
    name: str = FILE
    """The file's."""

    def sentences(self) -> list[str]:
        """What there is to say of what was left aside."""
        if not self.aside:
            return []
        lines = ", ".join(f"{line:,}" for line in self.aside[:_SHOWN])
        more = f" and {len(self.aside) - _SHOWN:,} others" if len(self.aside) > _SHOWN else ""
        what, are = ("Line", "is") if len(self.aside) == 1 else ("Lines", "are")
        named = f"{what} {lines}{more} of {self.name} {are}"
        return [f"{named} no whole vote, as after a crash while it was written, and left aside."]


def read_lines(path: Path) -> Kept:
    """The votes in a file, the oldest first.

    Raises:
        OSError: it cannot be read, or is too long.
    """
    data = read_file(path, limit=MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise OSError(f"{path.name} is longer than {MAX_BYTES:,} bytes")
    found = [(number, vote_in(line)) for number, line in enumerate(data.split(b"\n"), start=1) if line.strip()]
    votes = tuple(vote for _, vote in found if vote is not None)
    return Kept(votes, tuple(number for number, vote in found if vote is None), path.name)


def vote_in(line: bytes) -> Vote | None:
    """The vote that a line is; None where it is no whole one."""
    try:
        return Vote.model_validate_json(line)
    except ValidationError:
        return None


def first_votes(votes: Iterable[Vote]) -> list[Vote]:
    """The first vote of each person on the same two answers: by the second they know which side is which."""
    first: dict[tuple[object, ...], Vote] = {}
    for vote in votes:
        first.setdefault((vote.owner, vote.asked, vote.models.sides), vote)
    return list(first.values())


def blind_votes(votes: Iterable[Vote]) -> list[Vote]:
    """Those that were given by somebody who could not know which side is which."""
    return [vote for vote in first_votes(votes) if not vote.seen]
