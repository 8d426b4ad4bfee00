"""Examples to click: rows of the bundled corpora's test splits, or test rows of a run's own report.

Rows that no adapter that is asked was trained on.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from data.openings import opening_of
from data.readers.files import read_table
from data.sources import CORPORA, METADATA
from data.tasks import STARTING_POINTS, Task
from eval.report.schema import RowResult
from eval.report.texts import right
from models.tuned import bundled_folder
from plumbing.printable import one_line
from ui.drawing.answers import Message, Turn
from ui.drawing.markup import Markup, tag
from ui.server.choices import Choice, place_of
from ui.server.recorded import Outcome, recorded
from ui.server.two_models import Two

if TYPE_CHECKING:
    from data.sources import Opened

SHOWN = 5
LONGEST = 700
"""Characters: what fits the first view, and is answered in seconds."""
LOOKED_AT = 200
"""Rows of a report."""
NAME_CHARACTERS = 30
OUTCOMES: dict[Outcome, str] = {
    "win": "a win", "right": "both right", "tie": "a tie", "wrong": "still wrong", "loss": "a loss"
}  # fmt: skip
"""What an example is called by what became of it."""
WANTED: tuple[Outcome, ...] = ("win", "right", "wrong", "tie", "win", "loss")
"""What there is an example of, in this order. Of labels there is no tie, of texts nothing is right or wrong."""


@dataclass(frozen=True)
class Example:
    """A test row and a short name for it."""

    name: str
    text: str
    references: tuple[str, ...]
    before: tuple[Message, ...] = ()
    """What was said before, in a chat."""

    def turn(self) -> Turn:
        """The example as a message to both sides."""
        return Turn(self.text, list(self.references), before=self.before)


_Row = tuple[Example, frozenset[object]]
"""A test row, and its style and topic."""


@functools.cache
def _short_rows(task: Task) -> tuple[_Row, ...]:
    """The test rows of a task's corpus that fit, in its order."""
    found = []
    for _, row in read_table(CORPORA / f"{task.corpus.partition(':')[2]}.jsonl").rows:
        text = str(row[task.input_column])
        if row["split"] == "test" and len(text) <= LONGEST:
            kinds = frozenset({row.get(column) for column in METADATA} - {None})
            found.append((Example(_name(row, task), text, tuple(task.references(row))), kinds))
    return tuple(found)


def examples(task: Task) -> tuple[Example, ...]:
    """Test rows of a task's corpus that share neither style nor topic: one of each thing that became of them.

    By the adapter that ships; where nothing is recorded the first ones.
    """
    rows = _short_rows(task)
    known = recorded(bundled_folder() / task.recipe / "eval")
    if known is None:
        return _apart([rows])
    best_first = sorted(rows, key=lambda row: known.gain(row[0].turn()), reverse=True)
    of_outcome = {outcome: [row for row in rows if known.outcome(row[0].turn()) == outcome] for outcome in OUTCOMES}
    of_outcome["win"] = [row for row in best_first if row in of_outcome["win"]]
    return _apart([of_outcome[outcome] for outcome in WANTED if of_outcome[outcome]])


def _apart(wanted: Sequence[Sequence[_Row]]) -> tuple[Example, ...]:
    """The first of each list, then the next of each, that share neither style nor topic with one before."""
    chosen: list[Example] = []
    seen: set[object] = set()
    while len(chosen) < SHOWN:
        before = len(chosen)
        for rows in wanted:
            found = next((row for row in rows if not row[1] & seen and row[0] not in chosen), None)
            if found is not None:
                chosen.append(found[0])
                seen |= found[1]
        if len(chosen) == before:
            break
    return tuple(chosen[:SHOWN])


def _name(row: dict[str, object], task: Task) -> str:
    """Short, as what became of it stands before."""
    if task.is_classification:
        return str(row.get("topic"))
    speakers = dict.fromkeys(line.partition(":")[0] for line in str(row[task.input_column]).splitlines())
    return " & ".join(list(speakers)[:2])


def examples_of(choice: Choice | Two) -> tuple[Example, ...]:
    """Of a task that the page begins with those of its corpus, else test rows of a tuned model's own report.

    Each is named by what became of it in that report, where it is one of its rows.
    """
    known = STARTING_POINTS.get(place_of(choice.task))
    found = None if isinstance(choice, Two) else recorded(choice.evaluation)
    if known is not None:
        shown = examples(known)
    else:
        rows = islice(found.rows.values(), LOOKED_AT) if found else ()
        shown = tuple(_different(example_of_row(row) for row in rows))
    return tuple(_called(example, found.outcome(example.turn()) if found else None) for example in shown)


def _called(example: Example, outcome: Outcome | None) -> Example:
    return replace(example, name=f"{OUTCOMES[outcome]}: {example.name}") if outcome else example


def _different(rows: Iterable[Example]) -> list[Example]:
    """A few short ones, with another right answer each as far as there are any."""
    short = [example for example in rows if len(example.text) <= LONGEST]
    firsts = {example.references: example for example in reversed(short)}
    first = [example for example in short if firsts[example.references] is example]
    rest = [example for example in short if firsts[example.references] is not example]
    return [*first, *rest][:SHOWN]


def example_of_row(row: RowResult) -> Example:
    """A row of a report as an example; of a chat the last message is what is asked, of a text its opening."""
    if row.messages:
        *before, last = ({"role": each.role, "content": each.content} for each in row.messages)
        return Example(_short(last["content"]), last["content"], tuple(row.references), tuple(before))
    references = row.references if row.base.perplexity is None else [right(row)[1]]
    return Example(_short(row.input), row.input, tuple(references))


def example_of(opened: Opened) -> Example:
    """The first row that is trained on; of a text its opening, and how it goes on."""
    row = opened.splits["train"][0]
    if not opened.task.target_column:
        opening, rest = opening_of(opened.task.text_of(row))
        return Example("", opening, (rest.strip(),) if rest.strip() else ())
    return Example("", opened.task.text_of(row), tuple(opened.task.references(row)))


def _short(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= NAME_CHARACTERS else f"{line[: NAME_CHARACTERS - 1].rsplit(' ', 1)[0]} …"


def in_and_out(example: Example) -> Markup:
    """The example as what goes in and what should come out."""
    sides = [("in", example.text), *([("out", example.references[0])] if example.references else [])]
    drawn = (
        tag("div", tag("div", name, class_="ba-small"), tag("div", said, class_="ba-text")) for name, said in sides
    )
    return tag("div", *drawn, class_="ba-example")
