"""Letting every side answer all rows, all in the same way, with only so many of them open at a time.

What all sides can do decides how labels are answered: chosen by their probabilities by all of them, or else read
out of what is written, of all of them. A number of one way is never set against one of the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from data.tasks import Task
from eval.provenance import OnRows, Progress, telling
from eval.sides.reading import RULE
from eval.sides.side import Ability, About, Answered, Prompted, Side, Spent
from eval.verdict.rows import TestRows
from plumbing.errors import ModelError

Opener = Callable[[], Side]
"""Opens a side; called again where it was closed meanwhile."""
How = Literal["chosen", "read", "written"]


@dataclass(frozen=True)
class Seen:
    """What a side says of itself, once it was open."""

    about: About
    abilities: frozenset[Ability]
    prompted: Prompted


@dataclass(frozen=True)
class Given:
    """What a side gave, once it was asked."""

    answers: list[Answered]
    spent: Spent


@dataclass(frozen=True)
class Asked:
    """All sides, asked."""

    seen: dict[str, Seen]
    """By the side's key."""
    given: dict[str, Given]
    how: How
    notes: list[str]
    """Why it was asked so, and what was not asked, in sentences."""


def ask_all(
    openers: Sequence[Opener],
    keys: Sequence[str],
    rows: TestRows,
    *,
    max_new_tokens: int,
    likelihood: bool,
    at_once: int,
    on_progress: Progress | None,
) -> Asked:
    """What each side says of itself and what it answers to every row; see `eval.verdict.compare.judge_sides`.

    Raises:
        ModelError: a side answers another task, or there is no way in which all can answer.
        UserError: what a side raises.
    """
    tell = telling(on_progress)
    opened: dict[str, Side] = {}
    seen: dict[str, Seen] = {}
    given: dict[str, Given] = {}
    try:
        for key, opener in zip(keys, openers, strict=True):
            side = opened[key] = opener()
            _check_task(side, rows.task)
            seen[key] = Seen(side.about, side.abilities, side.prompted(rows.inputs[0]))
            if key != keys[-1] and len(opened) >= max(1, at_once):
                opened.pop(key).close()
        how, notes = _how(seen, rows.task)
        # Of labels that are chosen, the probabilities say as much.
        tells = likelihood and how != "chosen" and all("likelihood" in one.abilities for one in seen.values())
        for key in sorted(keys, key=lambda key: key not in opened):  # those that are open first
            side = opened[key] if key in opened else opened.setdefault(key, openers[keys.index(key)]())
            on_rows = tell(f"{seen[key].about.name} answers")
            if how == "chosen":
                answers = side.choose(rows.inputs, on_rows=on_rows)
            else:
                answers = side.write(rows.inputs, max_new_tokens=max_new_tokens, on_rows=on_rows)
            if tells:
                answers = _with_likelihoods(
                    side, answers, rows, tell(f"How probable {seen[key].about.name} finds the references")
                )
            if len(answers) != len(rows.inputs):
                raise ValueError(f"{seen[key].about.name}: {len(answers)} answers to {len(rows.inputs)} rows")
            given[key] = Given(answers, side.spent)
            opened.pop(key).close()
    finally:
        for side in opened.values():
            side.close()
    return Asked(seen, given, how, notes)


def _with_likelihoods(side: Side, answers: Sequence[Answered], rows: TestRows, on_rows: OnRows) -> list[Answered]:
    """The same answers, each with how probable the side finds the first reference."""
    firsts = [references[0] for references in rows.references]
    found = side.likelihoods(rows.inputs, firsts, on_rows=on_rows)
    return [replace(answer, log_likelihood=value) for answer, value in zip(answers, found, strict=True)]


def _check_task(side: Side, task: Task) -> None:
    if side.task.kind != task.kind or set(side.task.labels) != set(task.labels):
        raise ModelError(
            f"{side.about.name} answers another task than the rows are for",
            got=", ".join(side.task.labels) or side.task.kind,
            fix=f"The rows are for: {', '.join(task.labels) or task.kind}.",
        )


def _how(seen: dict[str, Seen], task: Task) -> tuple[How, list[str]]:
    """In which way all sides answer, and why not in a better one, in sentences.

    Raises:
        ModelError: there is no way that all of them can.
    """

    def lack(ability: Ability) -> list[str]:
        return [one.about.name for one in seen.values() if ability not in one.abilities]

    if not task.is_classification:
        if mute := lack("writes"):
            raise ModelError("This task is answered in words", got=f"{_listed(mute)} writes none", fix=_OTHER_SIDE)
        return "written", []
    unsure = lack("chooses")
    if not unsure:
        return "chosen", []
    if mute := lack("writes"):
        raise ModelError(
            "There is no way in which all sides can answer: labels are chosen by all, or read from words of all",
            got=f"{_listed(unsure)} chooses none by its probability, {_listed(mute)} writes none",
            fix=_OTHER_SIDE,
        )
    return "read", [
        f"Labels are read out of what every side writes, as {_listed(unsure)} does not say how probable each is. "
        f"{RULE} An answer that names none counts as wrong."
    ]


_OTHER_SIDE = "Compare sides that can, each in a verdict of its own."


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
