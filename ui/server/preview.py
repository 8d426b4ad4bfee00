"""What a link to the page looks like elsewhere: Gradio's own page says in its head that it is Gradio's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from ui.drawing import text
from ui.drawing.markup import tag

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

ICON = Path(__file__).parent.parent / "drawing" / "icon.png"
_CARDS = re.compile(rb"<meta\s+(?:property=\"og:|name=\"twitter:)[^>]*>\s*")
_SCRIPT = b"<script>"
"""The first of them begins what is long: everything that is told of a link stands before it."""


def with_card(page: bytes) -> bytes:
    """The HTML of the page with a title and a sentence of ours for whoever shares its address."""
    head, script, rest = page.partition(_SCRIPT)
    if not script:
        return page
    about = {"og:title": text.TITLE, "og:description": text.TAGLINE, "og:type": "website"}
    metas = [tag("meta", property=name, content=said).removesuffix("</meta>") for name, said in about.items()]
    metas.append(tag("meta", name_="twitter:card", content="summary").removesuffix("</meta>"))
    return _CARDS.sub(b"", head) + "".join(metas).encode() + script + rest


class Preview:
    """ASGI middleware within the door."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        begun: list[Message] = []
        body = bytearray()

        async def changed(message: Message) -> None:
            if message["type"] == "http.response.start":
                begun.append(message)
                return
            body.extend(message.get("body", b""))
            if message.get("more_body"):
                return
            [start] = begun
            page = with_card(bytes(body))
            kept = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
            await send({**start, "headers": [*kept, (b"content-length", str(len(page)).encode())]})
            await send({"type": "http.response.body", "body": page})

        await self._app(scope, receive, changed)
