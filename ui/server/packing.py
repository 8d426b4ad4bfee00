"""The page and its JSON, packed: Gradio packs scripts and styles, and sends everything else as it is.

What streams stays as it is, for it has to arrive word by word.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.middleware.gzip import GZipMiddleware

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_PACKED = re.compile(r"/|/config/?|/gradio_api/(info/?|run/\w+/?)")
_LEVEL = 5
"""Of 9: the page takes milliseconds, and is hardly larger than it would be."""


class Packing:
    """ASGI middleware within the door."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._packed = GZipMiddleware(app, compresslevel=_LEVEL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_packed = scope["type"] == "http" and _PACKED.fullmatch(scope["path"]) is not None
        await (self._packed if is_packed else self._app)(scope, receive, send)
