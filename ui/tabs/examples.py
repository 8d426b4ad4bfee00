"""Rows of the bundled corpora's test splits, as examples to click: rows that no shipped adapter was trained on."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from data.readers.files import read_table
from data.sources import CORPORA, METADATA, corpus_names
from data.tasks import Task
from ui.drawing.markup import Markup, tag

SHOWN = 5
LONGEST = 700
"""Characters: what fits the first view, and is answered in seconds."""


@dataclass(frozen=True)
class Example:
    """A test row and a short name for it."""

    name: str
    text: str
    references: tuple[str, ...]


@functools.cache
def examples(task: Task) -> tuple[Example, ...]:
    """The first test rows, in the corpus' order, that share neither style nor topic."""
    chosen: list[Example] = []
    seen: set[object] = set()
    for name in corpus_names(task):
        for _, row in read_table(CORPORA / f"{name}.jsonl").rows:
            text = str(row[task.input_column])
            kinds = {row.get(column) for column in METADATA} - {None}
            if row["split"] == "test" and len(text) <= LONGEST and not kinds & seen:
                seen |= kinds
                chosen.append(Example(_name(row, task), text, tuple(task.references(row))))
    return tuple(chosen[:SHOWN])


def _name(row: dict[str, object], task: Task) -> str:
    if task.is_classification:
        return f"{row.get('topic')} · {row.get('style')}"
    speakers = dict.fromkeys(line.partition(":")[0] for line in str(row[task.input_column]).splitlines())
    return f"{' & '.join(list(speakers)[:2])} · {row.get('topic')}"


def in_and_out(example: Example) -> Markup:
    """The example as what goes in and what should come out."""
    sides = (("in", example.text), ("out", example.references[0]))
    drawn = (
        tag("div", tag("div", name, class_="ba-small"), tag("div", said, class_="ba-text")) for name, said in sides
    )
    return tag("div", *drawn, class_="ba-example")
