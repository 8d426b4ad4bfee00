"""A list of turns → one value: a tuple of `Turn`. Knows the keys and the roles by which tools write a turn."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

SPEAKER_KEYS = ("role", "from", "speaker", "author", "sender", "user", "name")
TEXT_KEYS = ("content", "value", "text", "utterance", "message", "said")
WEIGHT_KEYS = ("weight", "loss_weight")
CALL_KEYS = ("tool_calls", "function_call")
PART_KEYS = ("text", "value")

Role = Literal["system", "user", "assistant", "call", "tool"]
"""`call` is what an assistant says to a tool, and no answer to anybody."""
ROLES: dict[str, Role] = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model", "bot", "chatgpt", "ai"), "assistant"),
    **dict.fromkeys(("function_call", "tool_call"), "call"),
    **dict.fromkeys(
        ("tool", "function", "observation", "ipython", "environment", "tool_response", "function_response"), "tool"
    ),
}
"""What tools call a role → what it is here."""


class Turn(NamedTuple):
    """What one side said."""

    speaker: str
    said: str
    weight: int = 1
    """0 where it is read and not learned."""


Turns = tuple[Turn, ...]


class Refused(ValueError):
    """A value that can be read and has no one meaning; says why, as the end of a sentence."""


def role_of(speaker: str) -> Role | None:
    """The role that `speaker` is; None for anybody else, such as a person with a name."""
    return ROLES.get(speaker.strip().casefold())


def keys_of_turn(keys: Sequence[str]) -> tuple[str, str] | None:
    """Returns which of `keys` hold the speaker and the text of a turn; None where it is no turn."""
    speaker = next((key for key in SPEAKER_KEYS if key in keys), None)
    text = next((key for key in TEXT_KEYS if key in keys), None)
    return (speaker, text) if speaker and text else None


def turn_of(item: Mapping[str, Any]) -> Turn | None:
    """The turn that an object is; None where it is none.

    What an assistant says to a tool is kept as it is written, and is not learned.

    Raises:
        Refused: it holds something that is no text, such as a picture.
    """
    keys = keys_of_turn(list(item))
    if keys is None and not (any(key in item for key in CALL_KEYS) and "role" in item):
        return None
    speaker, said = item[keys[0]] if keys else item["role"], item[keys[1]] if keys else None
    if not isinstance(speaker, str):
        return None
    weight = next((item[key] for key in WEIGHT_KEYS if item.get(key) is not None), 1)
    calls = next((item[key] for key in CALL_KEYS if item.get(key)), None)
    if isinstance(said, list):
        said = text_of_parts(said)
    if calls is not None and (said is None or said == ""):
        said, speaker = json.dumps(calls, ensure_ascii=False), "function_call"
    if said is None and role_of(speaker):
        said = ""
    if not isinstance(said, str):
        return None
    return Turn(sys.intern(speaker), said, 0 if weight == 0 else 1)


def text_of_parts(parts: Iterable[Any]) -> str | None:
    """The text of a message in parts; None where these are none. Raises Refused as `turn_of`."""
    texts = []
    for part in parts:
        if not isinstance(part, dict) or not isinstance(kind := part.get("type"), str):
            return None
        text = next((part[key] for key in PART_KEYS if isinstance(part.get(key), str)), None)
        if kind != "text" or text is None:
            raise Refused(f"a message holds a part that is no text but {kind[:40]!r}")
        texts.append(text)
    return "\n".join(texts) if texts else None


def turns_of(items: Sequence[Any]) -> Turns | None:
    """Returns the turns in a list of objects; None where one of them is no turn, or nobody says anything.

    Raises:
        Refused: as `turn_of`.
    """
    turns = []
    for item in items:
        turn = turn_of(item) if isinstance(item, dict) else None
        if turn is None:
            return None
        turns.append(turn)
    return tuple(turns) or None


def is_chat(turns: Any) -> bool:
    """Whether it is a conversation in which a user or an assistant speaks, and nobody with a name."""
    if not isinstance(turns, tuple) or not turns:
        return False
    roles = {role_of(turn.speaker) for turn in turns}
    return None not in roles and bool(roles & {"user", "assistant"})


def last_exchange(turns: Turns) -> tuple[str, str, int] | None:
    """Returns the last answer of an assistant, after what it answers, and how many turns are before both.

    None where no assistant answers a user. A system message is no turn of the conversation.
    """
    roles = [role_of(turn.speaker) for turn in turns]
    for end in range(len(turns) - 1, 0, -1):
        if roles[end] == "assistant":
            if roles[end - 1] != "user":
                return None
            earlier = sum(role in ("user", "assistant") for role in roles[: end - 1])
            return turns[end - 1].said, turns[end].said, earlier
    return None
