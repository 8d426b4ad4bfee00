"""Turns of a conversation, repeated. A turn is a line `Name: words`, and what follows up to the next such line."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from data.tasks.task import Input, as_text
from data.words import words
from eval.floors.floor import Answers, Example, Floor

# "Ana: …", "#Person1#: …", "Dr. Anna Müller: …", "小明：…"; not "https://…", "10:30" or "Look, one thing: …".
_SPEAKER = re.compile(r"^[^\s:：?!,;？！，；][^:：?!,;？！，；]{0,38}(?::(?=\s|$)|：)")


def lead_two(conversation: str) -> str:
    """The first two turns, one a line, each with its speaker's name.

    LEAD-n of summaries of conversations (Gliwa et al. 2019, https://aclanthology.org/D19-5409), two turns because
    the summaries here have one or two sentences. The names stay, as in the LEAD-3 and LONGEST-3 summaries of
    SAMSum that DialSummEval published (systems C and B of https://github.com/kite99520/DialSummEval).
    """
    return "\n".join(_turns(conversation)[:2])


def longest_turn(conversation: str) -> str:
    """The turn with the most words, its speaker's name not counted but kept; the first of equally long ones.

    LONGEST-n, with one turn; the sources are those of `lead_two`.
    """
    return max(_turns(conversation), key=lambda turn: len(words(_said(turn))), default="")


def _turns(conversation: str) -> list[str]:
    """The turns that say something, each on one line. Where nobody is named, every line is a turn."""
    turns: list[str] = []
    for line in conversation.splitlines():
        said = " ".join(line.split())
        if turns and _SPEAKER.match(turns[-1]) and not _SPEAKER.match(said):
            turns[-1] = f"{turns[-1]} {said}".strip()
        elif said:
            turns.append(said)
    return [turn for turn in turns if _said(turn)]


def _said(turn: str) -> str:
    """What the turn says, without its speaker's name."""
    return _SPEAKER.sub("", turn).strip()


def _each(answer: Callable[[str], str]) -> Answers:
    def answers(inputs: Sequence[Input], train: Sequence[Example]) -> list[str]:
        return [answer(as_text(given)) for given in inputs]

    return answers


FLOORS = (
    Floor(
        "first two turns",
        "Repeats the first two turns of the conversation word for word.",
        doing="repeating the first two turns",
        answer=_each(lead_two),
    ),
    Floor(
        "longest turn",
        "Repeats the turn with the most words, word for word.",
        doing="repeating the longest turn",
        answer=_each(longest_turn),
    ),
)
