"""A list of turns → one value: a tuple of (speaker, what was said). Knows the keys by which tools write a turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

SPEAKER_KEYS = ("role", "from", "speaker", "author", "sender", "user", "name")
TEXT_KEYS = ("content", "value", "text", "utterance", "message", "said")
USER = frozenset({"user", "human"})
ASSISTANT = frozenset({"assistant", "gpt", "model", "bot", "chatgpt", "ai"})

Turns = tuple[tuple[str, str], ...]


def keys_of_turn(keys: Sequence[str]) -> tuple[str, str] | None:
    """Returns which of `keys` hold the speaker and the text of a turn; None where it is no turn."""
    speaker = next((key for key in SPEAKER_KEYS if key in keys), None)
    text = next((key for key in TEXT_KEYS if key in keys), None)
    return (speaker, text) if speaker and text else None


def turns_of(items: Sequence[Any]) -> Turns | None:
    """Returns the turns in a list of objects; None where one of them is no turn, or nobody says anything."""
    turns = []
    for item in items:
        keys = keys_of_turn(list(item)) if isinstance(item, dict) else None
        if keys is None:
            return None
        speaker, said = item[keys[0]], item[keys[1]]
        if not isinstance(speaker, str) or not isinstance(said, str):
            return None
        turns.append((speaker, said))
    return tuple(turns) or None


def last_exchange(turns: Turns) -> tuple[str, str, int] | None:
    """Returns the last answer of an assistant, after what it answers, and how many turns are before both.

    None where no assistant answers a user. A system message is no turn of the conversation.
    """
    for end in range(len(turns) - 1, 0, -1):
        if turns[end][0].strip().casefold() in ASSISTANT:
            if turns[end - 1][0].strip().casefold() not in USER:
                return None
            earlier = sum(speaker.strip().casefold() in USER | ASSISTANT for speaker, _ in turns[: end - 1])
            return turns[end - 1][1], turns[end][1], earlier
    return None
