"""What a server that does not answer says instead, wherever in its body it says it.

Knows the shapes of errors: OpenAI's, FastAPI's, and those that are plain text.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from plumbing.printable import printable
from plumbing.redaction import redact

_LONGEST_SAID = 300


class RefusalError(Exception):
    """What the server refuses now and would refuse again."""

    def __init__(self, status: int, said: str, parameter: str = "") -> None:
        super().__init__(status, said, parameter)
        self.status = status
        self.said = said
        """In one line, without anything secret or hidden."""
        self.parameter = parameter
        """The field of the question that it does not take, where it says which."""


def json_of(data: bytes) -> Any:
    """What `data` says, or None where it is no JSON."""
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(data)
    return None


def message_of(found: Any) -> str:
    """The sentence in an error's body, wherever servers put it."""
    if not isinstance(found, dict):
        return ""
    error = found.get("error")
    inside = error.get("message") if isinstance(error, dict) else error
    for each in (inside, found.get("message"), found.get("detail")):
        if each:
            return each if isinstance(each, str) else json.dumps(each, ensure_ascii=False)
    return ""


def unknown_field(found: Any) -> str:
    """The field that was refused, as FastAPI's servers say it: `{"detail": [{"loc": ["body", "seed"]}]}`."""
    detail = found.get("detail", found.get("message")) if isinstance(found, dict) else None
    if isinstance(detail, dict):
        detail = detail.get("detail")
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        place = detail[0].get("loc")
        if isinstance(place, list) and len(place) == 2 and place[0] == "body":
            return str(place[1])
    return ""


def in_a_line(text: str) -> str:
    """Foreign words for the middle of a sentence: one line, cut, nothing secret and nothing hidden in it."""
    shown = printable(" ".join(redact(text).split()))
    return shown if len(shown) <= _LONGEST_SAID else f"{shown[: _LONGEST_SAID - 1]}…"


def wait_asked_s(headers: Mapping[str, str]) -> float:
    """What `Retry-After` asks for, in seconds; 0 where it asks for nothing that can be read."""
    asked = headers.get("retry-after", "")
    with contextlib.suppress(ValueError, OverflowError):
        return max(0.0, float(asked)) if asked.strip().replace(".", "", 1).isdigit() else _until(asked)
    return 0.0


def _until(date: str) -> float:
    return max(0.0, parsedate_to_datetime(date).timestamp() - time.time())
