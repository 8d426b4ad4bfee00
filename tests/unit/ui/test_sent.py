"""What goes over the line for a page: packed where it helps, and kept where it can be."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import pytest

from ui.server.door import _NAMED_BY_CONTENT
from ui.server.packing import Packing

HEAD = (
    b'<html><head><meta property="og:title" content="Gradio" />\n<meta name="twitter:image" content="https://x" />'
)
PAGE = HEAD + b"<script>" + b'<meta property="og:title" in a text>' * 500 + b"</script></head></html>"


def asked(app: Any, path: str, *, method: str = "GET") -> tuple[dict[str, str], bytes]:
    """The headers and the body of an answer, as a browser that can unpack asks for it."""
    sent: list[Any] = []
    accepts = [(b"accept-encoding", b"gzip, br")]
    scope = {"type": "http", "path": path, "method": method, "headers": accepts, "query_string": b""}

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    headers = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return headers, b"".join(each.get("body", b"") for each in sent[1:])


def answering(body: bytes, kind: str, parts: int = 1) -> Any:
    """An app that answers anything with `body`, in so many parts."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        length = [(b"content-length", str(len(body)).encode())]
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind.encode()), *length]}
        )
        size = -(-len(body) // parts)
        for start in range(0, len(body), size):
            more = start + size < len(body)
            await send({"type": "http.response.body", "body": body[start : start + size], "more_body": more})

    return app


@pytest.mark.parametrize("path", ["/", "/config", "/gradio_api/info", "/gradio_api/run/predict"])
def test_the_page_and_its_json_are_packed(path: str) -> None:
    headers, body = asked(Packing(answering(PAGE, "text/html")), path)
    assert headers["content-encoding"] == "gzip" and gzip.decompress(body) == PAGE
    assert (
        int(headers["content-length"]) == len(body) < len(PAGE) / 10
        and "accept-encoding" in headers["vary"].lower()
    )


@pytest.mark.parametrize(
    "path",
    ["/gradio_api/queue/data", "/gradio_api/heartbeat/x", "/assets/a-Dpv12345.js", "/gradio_api/file=/a.json"],
)
def test_what_streams_and_what_gradio_packs_are_left_alone(path: str) -> None:
    headers, body = asked(Packing(answering(PAGE, "text/event-stream", 5)), path)
    assert "content-encoding" not in headers and body == PAGE


def test_only_what_is_named_by_its_content_is_kept_for_good() -> None:
    for kept in ("/assets/index-DphvyggB.js", "/assets/Index-Akn07EZk2.js", "/assets/embed-0aNuD791.css"):
        assert _NAMED_BY_CONTENT.fullmatch(kept)
    for asked_again in (
        "/",
        "/theme.css",
        "/config",
        "/assets/index.js",
        "/assets/../x-DphvyggB.js",
        "/static/img/a.svg",
    ):
        assert not _NAMED_BY_CONTENT.fullmatch(asked_again)
