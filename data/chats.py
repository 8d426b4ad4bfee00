"""A conversation as it stands in a table → a chat that can be learned from: messages, and the answer to them.

Which turns are learned is said by their weights. What is said to a tool and by it is read, never learned; turns
after the last one that is learned are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from data.readers.conversations import Role, Turns, role_of

Complaint = tuple[str, str]
"""What is wrong, and how to mend it."""

AFTER: dict[Role, tuple[Role | None, ...]] = {
    "user": (None, "system", "assistant"),
    "assistant": ("user", "tool"),
    "call": ("user", "tool", "call"),
    "tool": ("call", "tool", "assistant"),
}
"""Role → what may be before it; None is the beginning."""
CALLED: dict[Role, str] = {
    "system": "the system's",
    "user": "the user's",
    "assistant": "the assistant's",
    "call": "a call of a tool",
    "tool": "a tool's",
}
WRITTEN: dict[Role, str] = {
    "system": "system",
    "user": "user",
    "assistant": "assistant",
    "call": "assistant",
    "tool": "tool",
}


@dataclass(frozen=True)
class Chat:
    """A conversation whose last message is answered."""

    messages: list[dict[str, Any]]
    """`role`, `content` and `weight` of each; the last is not the assistant's, the first may be the system's."""
    answer: str
    left_out: int = 0
    """Turns after the answer."""
    has_tools: bool = False


def chat_of(turns: Turns) -> Chat | Complaint:
    """Returns the chat in `turns`, or what is wrong with it."""
    messages: list[dict[str, Any]] = []
    before: Role | None = None
    last = -1
    has_tools = False
    for number, turn in enumerate(turns, start=1):
        role, said = role_of(turn.speaker), turn.said.replace("\r\n", "\n").strip()
        if role is None:
            return f"Message {number} has the role {turn.speaker[:40]!r}", "Use system, user, assistant or tool."
        if role == "system" and not messages:
            if said:
                messages.append({"role": "system", "content": said, "weight": 1})
                before = role
            continue
        if complaint := _out_of_order(number, role, before):
            return complaint
        if not said and role in ("user", "assistant"):
            return f"Message {number}, which is {CALLED[role]}, is empty", "Write it, or remove the row."
        has_tools |= role in ("call", "tool")
        weight = 0 if role == "call" else turn.weight
        if role == "assistant" and weight:
            last = len(messages)
        messages.append({"role": WRITTEN[role], "content": said, "weight": weight})
        before = role
    if last < 0:
        if any(message["role"] == "assistant" for message in messages):
            return "No message of the assistant is to be learned: each has the weight 0", "Give one the weight 1."
        return "No message is the assistant's, so there is nothing to learn", "Add its answer, or remove the row."
    return Chat(messages[:last], messages[last]["content"], len(messages) - last - 1, has_tools)


def _out_of_order(number: int, role: Role, before: Role | None) -> Complaint | None:
    if role == "system":
        return f"Message {number} is the system's, which can only be the first", "Put it first, or remove it."
    if before in AFTER[role]:
        return None
    if before in (None, "system"):
        return f"The conversation begins with message {number}, which is {CALLED[role]}", "Begin with the user's."
    assert before is not None
    what = f"Message {number} is {CALLED[role]}, and so out of order after one that is {CALLED[before]}"
    return what, "Let user and assistant take turns: put the two together, or remove one."


def said_of(chats: list[Chat], where: str) -> list[str]:
    """Returns what a person should know of the chats of `where`, a sentence each."""
    notes = []
    if count := sum(1 for chat in chats if chat.left_out):
        end = "ends with turns that nobody learns from" if count == 1 else "end with turns that nobody learns from"
        notes.append(f"{_chats(count)} of {where} {end}, such as the user's last: these are left out.")
    if count := sum(1 for chat in chats if chat.has_tools):
        notes.append(f"{_chats(count)} of {where} with calls of tools: these, and what they give, are read only.")
    if count := sum(
        message["weight"] == 0 and message["role"] == "assistant" for chat in chats for message in chat.messages
    ):
        turns = "1 turn of the assistant has" if count == 1 else f"{count:,} turns of the assistant have"
        notes.append(f"{turns} the weight 0, or call a tool: they are read, and not learned.")
    return notes


def _chats(count: int) -> str:
    return "1 chat" if count == 1 else f"{count:,} chats"
