"""Votes → rows to learn from: pairs of a better and a worse answer, or answers with a thumb up or down.

In the form that other tools know as well: a prompt and answers as messages, so that it does not matter what the
columns of a task are called.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.validate import MIN_ROWS_TO_SPLIT
from eval.vote_lines import Answer, Vote, first_votes
from plumbing.errors import DataError
from plumbing.writing import write_atomically

Row = dict[str, Any]

SAME = "both answers are the same"
EMPTY = "an answer is empty"
NEITHER = "no side is preferred"
CUT_OFF = "the better answer was cut off, and would teach to end there"


@dataclass(frozen=True)
class Lesson:
    """What votes are made into, and the way that learns from it."""

    name: str
    """What its rows are called."""
    way: str
    """The kind of way, as in a recipe."""
    of_vote: Callable[[Vote], list[Row] | str]
    """The rows that a vote gives, or why it gives none."""

    def of(self, votes: Iterable[Vote]) -> Lessons:
        """Everybody's first vote on each question, as rows."""
        rows: list[Row] = []
        left_out: Counter[str] = Counter()
        for vote in first_votes(votes):
            given = self.of_vote(vote)
            if isinstance(given, str):
                left_out[given] += 1
            else:
                rows += given
        return Lessons(self, rows, dict(left_out))


@dataclass(frozen=True)
class Lessons:
    """Rows out of votes."""

    lesson: Lesson
    rows: Sequence[Row]
    left_out: dict[str, int]
    """Why votes give no row → how many."""

    @property
    def questions(self) -> int:
        """Different prompts: those of one prompt are never apart in several splits."""
        return len({json.dumps(row["prompt"]) for row in self.rows})

    @property
    def lacking(self) -> int:
        """How many more questions have to be voted on before these rows can be learned from."""
        return max(0, MIN_ROWS_TO_SPLIT - self.questions)

    def sentence(self) -> str:
        """What the votes give, and what is left out or lacking."""
        name = self.lesson.name if len(self.rows) != 1 else self.lesson.name.removesuffix("s")
        said = f"{len(self.rows):,} {name} on {_messages(self.questions, 'different ')}"
        if self.left_out:
            left_out = "; ".join(f"{count:,} because {why}" for why, count in self.left_out.items())
            said += f" (votes left out: {left_out})"
        more = f": to learn from them, vote on {_messages(self.lacking, 'more ')}" if self.lacking else ""
        return f"{said}{more}."

    def require_enough(self) -> None:
        """Raise a `DataError` that says how many are needed, where these rows are too few."""
        if self.lacking:
            raise DataError(
                f"The votes give {self.lesson.name} on {_messages(self.questions, 'different ')}, and "
                f"{MIN_ROWS_TO_SPLIT} are needed at least",
                fix=f"Vote on {_messages(self.lacking, 'more ')}.",
            )

    def write(self, path: Path) -> None:
        """Write the rows as JSON Lines, and the folder around them; a reader never sees half of them.

        Raises:
            DataError: it cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, self._text())
        except OSError as error:
            raise DataError(f"The file cannot be written: {error.strerror or error}", got=str(path)) from None

    def write_into(self, folder: Path) -> Path:
        """Write the rows into `folder`, under a name that follows from them; returns the file's path."""
        name = f"{self.lesson.name}-{hashlib.sha256(self._text().encode()).hexdigest()[:12]}.jsonl"
        self.write(folder / name)
        return folder / name

    def _text(self) -> str:
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self.rows)


def _messages(count: int, which: str) -> str:
    return f"{count:,} {which}message{'s' * (count != 1)}"


def _pair(vote: Vote) -> list[Row] | str:
    better, worse = _sides(vote)
    if better is None or worse is None:
        return SAME if vote.same else NEITHER
    if not (better.text.strip() and worse.text.strip()):
        return EMPTY
    if not better.whole:
        return CUT_OFF
    return [_prompt(vote) | {"chosen": _said(better), "rejected": _said(worse)}]


def _thumbs(vote: Vote) -> list[Row] | str:
    if vote.preferred == "both bad":
        bad = {answer.text.strip(): answer for answer in (vote.base, vote.tuned)}
        return [_thumb(vote, answer, liked=False) for text, answer in bad.items() if text] or EMPTY
    better, worse = _sides(vote)
    if better is None or worse is None:
        return SAME if vote.same else NEITHER
    up = [_thumb(vote, better, liked=True)] if better.whole and better.text.strip() else []
    down = [_thumb(vote, worse, liked=False)] if worse.text.strip() else []
    return [*up, *down] or EMPTY


def _sides(vote: Vote) -> tuple[Answer, Answer] | tuple[None, None]:
    """The better answer and the worse one."""
    if vote.preferred == "tuned":
        return vote.tuned, vote.base
    return (vote.base, vote.tuned) if vote.preferred == "base" else (None, None)


def _thumb(vote: Vote, answer: Answer, *, liked: bool) -> Row:
    return _prompt(vote) | {"completion": _said(answer), "label": liked}


def _prompt(vote: Vote) -> Row:
    return {"prompt": [message.model_dump() for message in vote.prompt]}


def _said(answer: Answer) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": answer.text}]


PAIRS = Lesson("pairs", "dpo", _pair)
THUMBS = Lesson("thumbs", "kto", _thumbs)
LESSONS = (PAIRS, THUMBS)
