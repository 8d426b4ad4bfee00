"""Votes on the command line: a line for each model that was voted on, and a file of what they teach."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from eval.report.figures import p_text, with_interval
from eval.vote_lines import Vote, blind_votes
from eval.votes import counts, headline, win_rate
from finetuning.votes.keeping import NO_VOTES, read_votes, said_of
from finetuning.votes.lessons import Lesson
from finetuning.votes.training import VOTES
from plumbing.errors import DataError
from plumbing.printable import one_line, printable


def print_votes(console: Console, votes: Sequence[Vote]) -> None:
    """Print the win rate of each model that was voted on, and what of the file was left aside."""
    table = Table("voted on", "task", "tuned", "base", "ties", "both bad", "tuned won", "p")
    said = []
    for of_one in _by_model(votes):
        blind, models = blind_votes(of_one), of_one[0].models
        found = win_rate(vote.preferred for vote in blind)
        rate = "" if found.rate is None else with_interval(found.rate, found.interval, digits=2)
        p_value = "" if found.p_value is None else p_text(found.p_value)
        numbers = [f"{each:,}" for each in (found.tuned, found.base, found.ties, found.both_bad)]
        names = (escape(one_line(each)) for each in (of_one[0].name, models.task))
        table.add_row(*names, *numbers, rate, p_value)
        said.append(f"{of_one[0].name}: {' '.join([headline(found), counts(found), *said_of(of_one, blind)])}")
    if not votes:
        said.append(NO_VOTES)
    else:
        said.append(f"To learn from votes: python -m finetuning train {VOTES}NAME; with --set way=kto from thumbs.")
        console.print(table)
    for sentence in [*said, *read_votes().sentences()]:
        console.print(printable(sentence), highlight=False, markup=False, soft_wrap=True)


def export_votes(console: Console, votes: Sequence[Vote], lesson: Lesson, path: Path) -> None:
    """Write what `votes` teach to `path`, as JSON Lines, and say what that is.

    Raises:
        DataError: they are about several tasks, they teach nothing, or the file cannot be written.
    """
    tasks = sorted({vote.models.task for vote in votes})
    if len(tasks) > 1:
        raise DataError(
            "These votes are about several tasks, and a file holds rows of one",
            got=tasks,
            fix="Name the run, or the adapter that ships, whose votes are wanted.",
        )
    lessons = lesson.of(votes)
    if not lessons.rows:
        raise DataError(f"These votes give no {lesson.name}: {lessons.sentence()}")
    lessons.write(path)
    said = printable(f"{lessons.sentence()} Written to {path}.")
    console.print(said, highlight=False, markup=False, soft_wrap=True)


def _by_model(votes: Sequence[Vote]) -> list[list[Vote]]:
    found: dict[tuple[str, str], list[Vote]] = {}
    for vote in votes:
        found.setdefault((vote.models.tuned, vote.models.tuned_sha256), []).append(vote)
    return list(found.values())
