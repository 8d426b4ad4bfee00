"""The votes on answers: one JSON Lines file beside the runs, `votes/votes.jsonl`.

It is only added to, but where somebody has their votes deleted. Whoever writes holds the lock of the folder, and a
vote is on the disk before anybody is told that it is kept. A crash may leave half a line behind. It stays where it
is, the next vote begins a line of its own, and whoever reads the file is told of every line that is no whole vote.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from eval.vote_lines import FILE as FILE
from eval.vote_lines import MAX_BYTES, Kept, read_lines, vote_in
from eval.vote_lines import Answer as Answer
from eval.vote_lines import Choice as Choice
from eval.vote_lines import Message as Message
from eval.vote_lines import Models as Models
from eval.vote_lines import Vote as Vote
from eval.vote_lines import blind_votes as blind_votes
from eval.vote_lines import first_votes as first_votes
from finetuning.limits import Limits
from finetuning.runs.folder import runs_folder
from finetuning.runs.locks import locked, writing
from plumbing.errors import DataError, RunError, UserError
from plumbing.reading import read_file
from plumbing.remembered import Remembered
from plumbing.writing import write_atomically

FOLDER = "votes"
"""Beside the runs."""
NO_VOTES = "Nobody has voted yet: tick Blind in Compare."
_NOT_KEPT = "Untick Blind to see which side is which."


def votes_folder() -> Path:
    """Where votes are kept."""
    return runs_folder() / FOLDER


def keep(vote: Vote, *, limits: Limits | None = None, folder: Path | None = None) -> None:
    """Add a vote to the file, and return once it is on the disk.

    Args:
        vote: the vote.
        limits: of a public page.
        folder: another than `votes_folder()`.

    Raises:
        UserError: there is one with this ballot, or it is beyond the limits.
        RunError: the folder cannot be written to, or there is no space left.
    """
    folder = folder or votes_folder()
    path = folder / FILE
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            known = read_votes(folder).votes
            if any(each.ballot == vote.ballot for each in known):
                raise UserError("This vote was given already", fix="Ask something else.")
            if limits is not None:
                _check(vote, known, path.stat().st_size if path.exists() else 0, limits)
            _append(path, vote.model_dump_json().encode() + b"\n")


def _check(vote: Vote, known: Sequence[Vote], kept_bytes: int, limits: Limits) -> None:
    """Refuse a stranger's vote beyond the limits, beside those that are known and the bytes that these take."""
    if sum(each.owner == vote.owner for each in known) >= limits.votes:
        raise UserError(
            f"You have given {limits.votes:,} votes, and this public page keeps no more of a visitor", fix=_NOT_KEPT
        )
    if vote.characters > limits.vote_characters:
        raise UserError(
            f"The message and both answers have {vote.characters:,} characters, and this public page keeps votes "
            f"on up to {limits.vote_characters:,}",
            fix=f"Ask something shorter. {_NOT_KEPT}",
        )
    if kept_bytes > limits.votes_mb * 1_000_000:
        raise UserError("This public page has no room for more votes", fix=_NOT_KEPT)


def _append(path: Path, line: bytes) -> None:
    """Write a line at the end of the file; one of its own, also where a crash has torn the one before."""
    with path.open("a+b") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                line = b"\n" + line
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def read_votes(folder: Path | None = None) -> Kept:
    """The votes in the file, the oldest first; none where there is no file. Read again only if it changed.

    Raises:
        RunError: it cannot be read.
    """
    folder = folder or votes_folder()
    try:
        return _kept(f"{folder / FILE}")
    except OSError as error:
        raise RunError(f"The votes cannot be read: {error.strerror or error}", got=str(folder / FILE)) from None


def votes_on(name: str | None) -> list[Vote]:
    """Everybody's votes on one model, named as in `Vote.name` or `Models.tuned`; of None all.

    Raises:
        DataError: there are none on it.
        RunError: the votes cannot be read.
    """
    votes = read_votes().votes
    found = [vote for vote in votes if name is None or name in (vote.name, vote.models.tuned)]
    if name is not None and not found:
        known = ", ".join(dict.fromkeys(vote.name for vote in votes))
        fix = f"There are votes on: {known}." if known else NO_VOTES
        raise DataError("There are no votes on this model", got=name, fix=fix)
    return found


def _read(path: str) -> Kept:
    try:
        return read_lines(Path(path))
    except FileNotFoundError:
        return Kept()


_kept = Remembered(_read, most=8)


def forget(owner: str | None, *, folder: Path | None = None) -> int:
    """Take the votes of `owner`, or of None everybody's, out of the file; returns how many these were.

    Lines of others, and of nobody who is known, stay as they are. What was made of the votes before stays as well:
    rows that a run learns from, and copies elsewhere.

    Raises:
        RunError: the file cannot be read or written.
    """
    folder = folder or votes_folder()
    path = folder / FILE
    if not path.exists():
        return 0
    with writing(folder), locked(folder):
        before = read_votes(folder).votes
        lines = [] if owner is None else read_file(path, limit=MAX_BYTES).split(b"\n")
        stay = [line for line in lines if (vote := vote_in(line)) is None or vote.owner != owner]
        write_atomically(path, b"\n".join(stay))
    return len(before) if owner is None else sum(vote.owner == owner for vote in before)


def said_of(votes: Sequence[Vote], counted: Sequence[Vote]) -> list[str]:
    """What there is to say of a win rate that is of `counted`, out of `votes`."""
    said = []
    if left_out := len(votes) - len(counted):
        others = "1 more vote was" if left_out == 1 else f"{left_out:,} more votes were"
        said.append(f"{others} given by who knew the sides, and left out.")
    if (messages := len({vote.asked for vote in counted})) < len(counted):
        said.append(
            f"These are on {messages:,} different message{'s' * (messages > 1)}: several votes on one say less "
            "than as many on others, so interval and test are too sure."
        )
    return said
