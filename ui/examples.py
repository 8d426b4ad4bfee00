"""Rows of the bundled corpora's test splits, as examples to click: rows that no shipped adapter was trained on."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from data.files import read_table
from data.sources import CORPORA, corpus_names
from data.tasks import Task

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
    """The first test row of each style (reviews) or topic (dialogues), in the corpus' order."""
    chosen: dict[str, Example] = {}
    for name in corpus_names(task):
        for _, row in read_table(CORPORA / f"{name}.jsonl").rows:
            text = str(row[task.input_column])
            kind = str(row.get("style") if task.is_classification else row.get("topic"))
            if row["split"] != "test" or len(text) > LONGEST or kind in chosen:
                continue
            chosen[kind] = Example(_name(row, kind, task), text, tuple(task.references(row)))
    return tuple(chosen.values())[:SHOWN]


def _name(row: dict[str, object], kind: str, task: Task) -> str:
    if task.is_classification:
        return f"{row.get('topic')} · {kind}"
    speakers = dict.fromkeys(line.partition(":")[0] for line in str(row[task.input_column]).splitlines())
    return f"{' & '.join(list(speakers)[:2])} · {kind}"
