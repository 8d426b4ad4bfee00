"""What a server sent → an answer, or why it is none.

An answer may be empty: a model may end at once, or spend all that it may write on thoughts. It may be a refusal in
words, which is then what the model said. What is no answer at all (no choices, no message) is a fault that passes.
Knows the protocol's fields, nothing of HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from eval.sides.reading import read_label
from eval.sides.side import Answered

Ended = Literal["stop", "length", "filter"]


class Reply(BaseModel):
    """One answer, as it is kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str
    ended: Ended = "stop"
    """By itself, at the limit, or because whoever runs the server cut it out."""
    tokens: int | None = Field(default=None, ge=0)
    """That were written, thoughts included; None where the server does not count."""
    prompt_tokens: int | None = Field(default=None, ge=0)
    thought: bool = False
    """Whether it thought first, and the server kept that apart."""
    refused: bool = False
    """Whether the text is what it said in place of an answer."""
    model: str = ""
    """What the server says has answered."""
    without: tuple[str, ...] = ()
    """Fields of the question that the server would not take."""
    at: int = 0
    """Seconds since the epoch."""

    def answered(self, labels: Sequence[str] = (), *, after: str = "") -> Answered:
        """As a side gives it: what was written `after` that text, and of `labels` the one that it names."""
        text = self.text.removeprefix(after)
        return Answered(
            text=read_label(text, labels) if labels else text,
            written=text if labels else None,
            tokens=self.tokens,
            prompt_tokens=self.prompt_tokens,
            cut_off=self.ended == "length",
        )


class NoAnswerError(Exception):
    """What came is no answer, in a sentence."""


class TooLongError(Exception):
    """The server wrote on where it was to stop."""


def read_reply(found: dict[str, Any], *, max_new_tokens: int) -> Reply:
    """The answer in a chat completion or a completion.

    Raises:
        NoAnswerError: there is none in it.
        TooLongError: it has more tokens than were asked for.
    """
    choices = found.get("choices")
    if not (isinstance(choices, list) and choices and isinstance(choices[0], dict)):
        raise NoAnswerError("it answered without any choices")
    choice = choices[0]
    message = choice.get("message")
    if isinstance(message, dict):
        text, refusal = _text(message.get("content")), _text(message.get("refusal"))
        thought = bool(_text(message.get("reasoning_content")) or _text(message.get("reasoning")))
    elif "message" not in choice and isinstance(choice.get("text"), str):
        text, refusal, thought = choice["text"], "", False
    else:
        raise NoAnswerError("it answered with a choice in which nothing is said")
    usage = found.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    reply = Reply(
        text=text or refusal,
        ended=_ended(choice.get("finish_reason")),
        tokens=_count(counts.get("completion_tokens")),
        prompt_tokens=_count(counts.get("prompt_tokens")),
        thought=thought,
        refused=bool(refusal and not text),
        model=_text(found.get("model"))[:300],
    )
    # A token more is the end's, which some count. Of who does not count, words tell: a token holds one at most.
    written = reply.tokens if reply.tokens is not None else len(reply.text.split())
    if written > max_new_tokens + 1:
        unit = "words" if reply.tokens is None else "tokens"
        raise TooLongError(f"it wrote {written} {unit} where at most {max_new_tokens} tokens were asked for")
    return reply


def _text(value: Any) -> str:
    """A text, or the texts in a list of parts; empty for everything else."""
    if isinstance(value, str):
        return value
    parts = value if isinstance(value, list) else []
    return "".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))


def _ended(reason: Any) -> Ended:
    if reason in ("length", "max_tokens"):
        return "length"
    return "filter" if reason == "content_filter" else "stop"


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
