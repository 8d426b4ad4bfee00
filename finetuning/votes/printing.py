"""Votes on the command line: a line for each model that was voted on, and a file of what they teach."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from eval.report.figures import p_text, with_interval
from eval.votes import headline, win_rate
from finetuning.votes.keeping import Vote, blind_votes, not_blind, read_votes
from finetuning.votes.lessons import Lesson, Lessons
from plumbing.errors import DataError
from plumbing.printable import one_line, printable


def chosen_votes(on: str | None) -> list[Vote]:
    """All votes, or those on one model: a run's id, or the name of an adapter that ships.

    Raises:
        DataError: there are none on it.
        RunError: the votes cannot be read.
    """
    votes = read_votes().votes
    found = [vote for vote in votes if on is None or on in (_name(vote), vote.models.tuned)]
    if on is not None and not found:
        known = ", ".join(dict.fromkeys(map(_name, votes)))
        fix = f"There are votes on: {known}." if known else "Nobody has voted yet: tick Blind in Compare."
        raise DataError("There are no votes on this model", got=on, fix=fix)
    return found


def print_votes(console: Console, votes: Sequence[Vote]) -> None:
    """Print the win rate of each model that was voted on, and what of the file was left aside."""
    table = Table("voted on", "task", "tuned", "base", "ties", "both bad", "tuned won", "p")
    said = []
    for of_one in _by_model(votes):
        blind, models = blind_votes(of_one), of_one[0].models
        found = win_rate(vote.preferred for vote in blind)
        rate = "" if found.rate is None else with_interval(found.rate, found.interval, digits=2)
        p_value = "" if found.p_value is None else p_text(found.p_value)
        counts = [f"{each:,}" for each in (found.tuned, found.base, found.ties, found.both_bad)]
        names = (escape(one_line(each)) for each in (_name(of_one[0]), models.task))
        table.add_row(*names, *counts, rate, p_value)
        left_out = not_blind(len(of_one) - len(blind))
        said.append(" ".join([f"{_name(of_one[0])}: {headline(found)}", *left_out]))
    if not votes:
        said.append("Nobody has voted yet: tick Blind in Compare.")
    else:
        console.print(table)
    for sentence in [*said, *read_votes().sentences()]:
        console.print(printable(sentence), highlight=False, markup=False, soft_wrap=True)


def export_votes(console: Console, votes: Sequence[Vote], lesson: Lesson, path: Path) -> Lessons:
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
    said = [
        f"{lessons.sentence()} Written to {path}.",
        f"To learn from them: python -m finetuning train RECIPE --data {path} --set way={lesson.way} "
        "--set model.adapter=RUN, with the recipe of that run.",
    ]
    for sentence in said:
        console.print(printable(sentence), highlight=False, markup=False, soft_wrap=True)
    return lessons


def _by_model(votes: Sequence[Vote]) -> list[list[Vote]]:
    found: dict[tuple[str, str], list[Vote]] = {}
    for vote in votes:
        found.setdefault((vote.models.tuned, vote.models.tuned_sha256), []).append(vote)
    return list(found.values())


def _name(vote: Vote) -> str:
    return vote.models.tuned.partition(":")[2]
