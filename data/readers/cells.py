"""A nested value of JSON, or of the Hub → what a cell holds: a plain value, a list of texts, or a conversation.

Anything else is remembered as an empty list or object, so that it can be complained about without being held.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from data.limits import MAX_BRACKETS
from data.problems import is_nothing
from data.readers.conversations import Refused, Turn, Turns, turn_of, turns_of
from data.readers.table import Table
from plumbing.printable import one_line

TEXTS_KEYS = ("text", "texts", "normalized_aliases", "aliases")
"""Where an object beside a question has its answers, as SQuAD and TriviaQA write them."""

CALLED_CONVERSATIONS = ("messages", "conversations", "conversation")


def cell_of(value: Any) -> Any:
    """Returns `value` as a cell holds it.

    A list of objects that are turns, one such object, and pairs of what was said and answered are a tuple of
    `Turn`; an object of answers is the list of its texts, each once.

    Raises:
        Refused: a text is half of a character, or a message is no text.
    """
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, dict):
        return _of_object(value)
    if not isinstance(value, list):
        return value
    if all(isinstance(item, str) for item in value):
        return [whole(item) for item in value]
    if (pairs := _of_pairs(value)) is not None:
        return pairs
    turns = turns_of(value)
    return [None] if turns is None else _checked(turns)


def with_conversations(table: Table) -> Table:
    """Returns `table` with conversations where a column called so holds them written as JSON, as tables do."""
    for column in table.columns:
        if column.strip().casefold() not in CALLED_CONVERSATIONS:
            continue
        texts = [row.get(column) for _, row in table.rows]
        if all(is_nothing(text) or (isinstance(text, str) and text.lstrip()[:1] == "[") for text in texts):
            table = _parsed(table, column, [text or "" for text in texts])
    return table


def _parsed(table: Table, column: str, texts: list[str]) -> Table:
    if sum(text.count("[") + text.count("{") for text in texts) > MAX_BRACKETS or not any(texts):
        return table
    try:
        chats = [cell_of(json.loads(text)) if text.strip() else None for text in texts]
    except (ValueError, RecursionError):
        return table
    if not all(chat is None or isinstance(chat, tuple) for chat in chats):
        return table
    rows = tuple((number, {**row, column: chat}) for (number, row), chat in zip(table.rows, chats, strict=True))
    note = f"'{one_line(column)}' holds conversations that are written as JSON."
    return replace(table, rows=rows, notes=(*table.notes, note))


def whole(text: str) -> str:
    """`text`, unless an escape in it is half of a pair, which no encoding can write: then it raises Refused."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(text[error.start]):04x}"
        raise Refused(f"it holds {half}, which is half of a character") from None
    return text


def _of_object(value: dict[str, Any]) -> Any:
    for key in TEXTS_KEYS:
        texts = value.get(key)
        if isinstance(texts, list) and all(isinstance(text, str) for text in texts):
            return [whole(text) for text in dict.fromkeys(texts)]
    turn = turn_of(value) if "role" in value or "from" in value else None
    return {} if turn is None else _checked((turn,))


def _of_pairs(value: list[Any]) -> Turns | None:
    """Alpaca's history: [[said, answered], …]."""
    if not value or not all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair) for pair in value
    ):
        return None
    return tuple(
        Turn(speaker, whole(text))
        for pair in value
        for speaker, text in zip(("user", "assistant"), pair, strict=True)
    )


def _checked(turns: Turns) -> Turns:
    for turn in turns:
        whole(turn.speaker)
        whole(turn.said)
    return turns
