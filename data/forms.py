"""What form a table has: chat messages, instructions, pairs, questions about a passage … told by its keys.

Knows columns and the first rows; changes nothing. What becomes of a form is in `data.formats`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from data.columns import plain_name
from data.labelwords import label_key
from data.readers.conversations import is_chat
from data.readers.table import Table
from data.tasks.own import USUAL
from data.tasks.task import BESIDES, LIKED, Kind
from plumbing.printable import one_line

PREFERRED = ("chosen", "chosen_messages")
"""Where the better one of two answers is."""
REJECTED = ("rejected", "rejected_messages")
LOOKED_AT = 50
"""Rows that say of what form a table is."""
HUMAN_ASSISTANT = re.compile(r"(?:^|\n\n)(Human|Assistant): ?")
"""How the data sets of hh-rlhf write a conversation as one text."""


@dataclass(frozen=True)
class Form:
    """What a table is."""

    name: str
    kind: Kind | None
    """What can be learned from it; None where that is a question of its values."""
    said: str
    """In a sentence: the keys that tell it, and what becomes of a row."""
    gives: tuple[str, ...] = ()
    """What its rows have beside the columns of a task, of `data.tasks.task.BESIDES`: a pair has two thumbs, too."""


def form_of(table: Table) -> Form:
    """Returns the form of a table, by its columns and what the first rows hold."""
    names = names_of(table)
    rows = [row for _, row in table.rows[:LOOKED_AT]]
    chats = [
        column
        for column in table.columns
        if plain_name(column) != "history" and any(is_chat(row.get(column)) for row in rows)
    ]
    conversed: Kind = "chat" if chats else "generation"
    if has_pairs(names):
        if human_and_assistant(rows, names):
            conversed = "chat"
        return Form("pairs", conversed, "It has pairs of a chosen and a rejected answer.", BESIDES)
    if (tag := thumb_in(table)) is not None:
        said = f"It has answers marked as good or bad in '{one_line(tag)}'."
        return Form("thumbs", conversed, said, (LIKED,))
    if {"prompt", "completion"} <= names.keys():
        what = "messages" if chats else "texts"
        return Form("prompt and completion", conversed, f"It has prompts and completions, which are {what}.")
    if chats:
        spoken = (row[chats[0]] for row in rows if isinstance(row.get(chats[0]), tuple))
        shared = any(turn.speaker in ("human", "gpt") for turns in spoken for turn in turns)
        name = "ShareGPT" if shared else "messages"
        return Form(name, "chat", f"'{one_line(chats[0])}' holds conversations ({name}).")
    if "instruction" in names and _has(names, USUAL["generation"].target_names):
        said = "an instruction, maybe an input, and what is to be answered"
        goes_on = any(row.get(names.get("history", "")) for row in rows)
        return Form("Alpaca", "chat" if goes_on else "generation", f"A row has {said} (Alpaca).")
    if "question" in names and passage_in(names) and _has(names, ("answers", "answer")):
        said = "a question, the passage that answers it, and answers"
        return Form("question and passage", "generation", f"A row has {said} (SQuAD).")
    if numbered := numbered_in(table, _reference_names()):
        listed = ", ".join(one_line(column) for column in numbered[1])
        return Form("several references", "generation", f"It has several references of one text: {listed}.")
    if len(table.columns) == 1 and all(isinstance(row.get(table.columns[0]), (str, type(None))) for row in rows):
        return Form("raw text", "text", f"It is raw text, in '{one_line(table.columns[0])}'.")
    return Form("table", None, f"It is a table of {len(table.columns)} columns.")


# ---- keys ----------------------------------------------------------------------------------------------------


def names_of(table: Table) -> dict[str, str]:
    """Plain name → column; of several that are alike the first."""
    return {plain_name(column): column for column in reversed(table.columns)}


def thumb_in(table: Table) -> str | None:
    """The column that says of each answer whether it is a good one."""
    names = names_of(table)
    rows = [row for _, row in table.rows]
    answered = {"prompt", "completion"} <= names.keys() or any(
        is_chat(row.get(column)) for row in rows[:LOOKED_AT] for column in table.columns
    )
    for name in ("kto_tag", LIKED, "label"):
        if (column := names.get(name)) is None or (name != "kto_tag" and not answered):
            continue
        values = {label_key(row.get(column)) for row in rows} - {""}
        if values and values <= {"true", "false"}:
            return column
    return None


def has_pairs(names: Mapping[str, str]) -> bool:
    """Whether there are columns of a better and of a worse answer."""
    return any(name in names for name in PREFERRED) and any(name in names for name in REJECTED)


def human_and_assistant(rows: Iterable[Mapping[str, Any]], names: Mapping[str, str]) -> bool:
    """Whether the better answers are whole conversations, each written as one text."""
    column = next((names[name] for name in PREFERRED if name in names), "")
    texts = [text for row in rows if isinstance(text := row.get(column), str)]
    return bool(texts) and all(HUMAN_ASSISTANT.match(text) for text in texts)


def numbered_in(table: Table, names: Iterable[str]) -> tuple[str, list[str]] | None:
    """One of `names` that is there with numbers after it, and the columns in their order."""
    for name in names:
        numbered = {column: re.fullmatch(rf"{name}_?(\d{{1,3}})", plain_name(column)) for column in table.columns}
        places = {column: int(found[1]) for column, found in numbered.items() if found}
        if len(places) >= 2:
            return name, sorted(places, key=lambda column: places[column])
    return None


def _reference_names() -> list[str]:
    return [*USUAL["generation"].target_names, "abstract", "highlight"]


def passage_in(names: Mapping[str, str]) -> str | None:
    """The column of the passage that a question is about."""
    return names.get("context", names.get("passage"))


def _has(names: Iterable[str], known: Iterable[str]) -> bool:
    return bool(set(names) & set(known))
