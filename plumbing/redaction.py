"""Keeping tokens out of what is logged, stored or shown."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Mapping
from typing import TextIO

_SECRET_NAME = re.compile(r"(TOKEN|SECRET|PASSWORD|API_?KEY)(_|$)|^BEFORE_AFTER_KEY_", re.IGNORECASE)
_HUB_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{20,}")
_HIDDEN = "[hidden]"
_KINDS = {
    "a token of the Hub": _HUB_TOKEN,
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"),
    "a key of AWS": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a token of GitHub": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{40,})"),
    "an API key": re.compile(r"\bsk-(?:[a-z]+-)*[A-Za-z0-9_]{20,}"),
}
_SHORTEST = 8
"""Characters of a value that can be a secret; a shorter one is found everywhere."""


def redact(text: str, environment: Mapping[str, str] | None = None) -> str:
    """`text` without the values of environment variables that hold secrets, nor anything like a Hub token."""
    values = os.environ if environment is None else environment
    for secret in sorted(_secrets(values).values(), key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    return _HUB_TOKEN.sub(_HIDDEN, text)


def secrets_in(text: str, environment: Mapping[str, str] | None = None) -> list[tuple[int, str]]:
    """Returns the lines of `text` that hold a secret, by their numbers from 1, and what kind each is.

    Found are values of environment variables that hold secrets, and what is known by its form.
    """
    known = _secrets(os.environ if environment is None else environment)
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        kinds = [f"the value of ${name}" for name, value in known.items() if value in line]
        kinds += [kind for kind, form in _KINDS.items() if form.search(line)]
        found += [(number, kind) for kind in kinds[:1]]
    return found


def _secrets(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value for name, value in environment.items() if _SECRET_NAME.search(name) and len(value) >= _SHORTEST
    }


class RedactedStream(io.TextIOBase):
    """A text stream that passes on what is written to it, redacted. What cannot be written is lost."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):  # a full disk: the work is worth more than its log
            self._stream.write(redact(text))
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()

    def fileno(self) -> int:
        return self._stream.fileno()

    def writable(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding
