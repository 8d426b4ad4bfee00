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


def redact(text: str, environment: Mapping[str, str] | None = None) -> str:
    """`text` without the values of environment variables that hold secrets, nor anything like a Hub token."""
    values = os.environ if environment is None else environment
    secrets = [value for name, value in values.items() if _SECRET_NAME.search(name) and len(value) >= 8]
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    return _HUB_TOKEN.sub(_HIDDEN, text)


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
