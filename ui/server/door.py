"""The door: every request passes it before Gradio, which answers anybody who knows its addresses.

Lets in the addresses that the page uses and no others, asked for under a name of ours and not by a page of somebody
else's; says who is asking (`visitors.py`); checks calls (`calls.py`) and uploads; and answers `/health` itself.
"""

from __future__ import annotations

import ipaddress
import json
import re
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

from starlette.requests import cookie_parser
from starlette.responses import FileResponse

from finetuning.limits import Limits
from plumbing.errors import DataError
from ui.server import health
from ui.server.calls import BODY_BYTES, RefusedError, check_tool_call, checked_call, checked_session, read_json
from ui.server.listening import ALLOW_HOST
from ui.server.preview import CARD, CARD_PATH
from ui.server.visitors import Files, Visitor, owner_of, stranger_needs_cookie

if TYPE_CHECKING:
    import gradio as gr
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "before_after_visitor"
SECURE_COOKIE = f"__Host-{COOKIE}"
"""Its name over HTTPS, under which a browser takes it from this very host alone. Over plain HTTP it takes none."""
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
HUB = "https://huggingface.co"
UPLOAD_MB = 100
"""Where nothing else is said."""
_NAMED_BY_CONTENT = re.compile(r"/assets/[^/]+-[A-Za-z0-9_-]{8,12}\.\w+")
"""Parts of Gradio's page whose names change with what is in them."""
_FOR_GOOD = [(b"cache-control", b"public, max-age=31536000, immutable")]
_SESSIONS = 20_000
"""Open pages whose visitor is remembered."""
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_API = "/gradio_api"
_GET = re.compile(
    rf"/|/(config|theme\.css|favicon\.ico|manifest\.json|robots\.txt|logout)/?|/(assets|static|svelte)/.+"
    rf"|{CARD_PATH}|/pwa_icon/(192|512)"
    rf"|{_API}/(user|login_check|app_id|info|startup-events|theme\.css|queue/data|upload_progress)/?"
    rf"|{_API}/(file=|heartbeat/).+"
)
_CALL = re.compile(rf"{_API}/(queue/join|run/\w+)/?")
_POST = re.compile(rf"/login/?|{_API}/(upload|cancel|reset)/?|{_CALL.pattern}")
_SIGN_IN = re.compile(r"/login/(huggingface|callback)/?")
_MCP = re.compile(rf"{_API}/mcp/?")
_MCP_GET = re.compile(rf"{_MCP.pattern}|{_API}/mcp/schema")


class Door:
    """ASGI middleware around the Gradio app."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        blocks: gr.Blocks,
        hosts: Sequence[str] = (),
        any_address: bool = False,
        limits: Limits | None = None,
        in_a_space: bool = False,
        mcp: bool = False,
        sign_in: bool = False,
    ) -> None:
        """Args:
        blocks: the page.
        hosts: names that it is asked for by, beside the loopback's.
        any_address: also by any number, such as 192.168.1.7: for a page that listens to other machines. A
            name that somebody else makes point here (DNS rebinding) is never a number.
        limits: what strangers may do; None for a page of one's own.
        in_a_space: behind the Hub's proxy, whose word on HTTPS counts, and in a frame of the Hub's page. Elsewhere
            the server takes `X-Forwarded-Proto` from this machine, or from `$FORWARDED_ALLOW_IPS`.
        mcp: whether Gradio's MCP server is there.
        sign_in: whether visitors can sign in with an account on the Hub.
        """
        self._app, self._blocks, self._limits = app, blocks, limits
        self._hosts = {*LOOPBACK, *map(_name, hosts)}
        self._any_address, self._in_a_space, self._mcp, self._sign_in = any_address, in_a_space, mcp, sign_in
        self._files = Files(limits.uploads_mb if limits else None)
        self._sessions: OrderedDict[str, str] = OrderedDict()
        self._headers = _security_headers(framed_by=(HUB,) if in_a_space else ())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] != "http":  # the page uses no websocket
            await send({"type": "websocket.close", "code": 1008})
        elif scope["path"] == "/health":
            status, said = await health.report()
            await _answer(send, status, said)
        else:
            try:
                await self._enter(scope, receive, send)
            except RefusedError as error:
                await _answer(send, error.status, {"detail": error.said}, self._headers)

    async def _enter(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self._check_names(headers)
        path: str = scope["path"]
        is_post = scope["method"] == "POST"
        if scope["method"] not in ("GET", "HEAD", "POST") or not self._is_there(path, is_post):
            raise RefusedError(404, "There is no such page.")
        if "\\" in path or not path.isprintable() or ".." in path.split("/"):
            raise RefusedError(404, "There is no such page.")
        visitor, cookie = self._who(headers, scope)
        scope.setdefault("state", {})["visitor"] = visitor
        if cookie and path == "/":
            send = _with_headers(send, [(b"set-cookie", cookie.encode())])
        send = _with_headers(send, self._headers)
        if _MCP.fullmatch(path) and is_post:
            receive = _replay(scope, receive, check_tool_call(await _body(receive, headers)))
        elif _CALL.fullmatch(path):
            values = checked_call(self._blocks, read_json(await _body(receive, headers)), visitor)
            self._bind(values["session_hash"], visitor)
            receive = _replay(scope, receive, values)
        elif path.startswith(f"{_API}/cancel"):
            values = read_json(await _body(receive, headers))
            self._bind(checked_session(values.get("session_hash")), visitor)
            wanted = {key: values.get(key) for key in ("session_hash", "fn_index", "event_id")}
            receive = _replay(scope, receive, wanted)
        elif path.startswith(f"{_API}/upload") and is_post:
            send = self._upload(visitor, headers, send)
            receive = _limited(
                receive, headers, (self._limits.upload_mb if self._limits else UPLOAD_MB) * 1_000_000
            )
        elif is_post:
            receive = _limited(receive, headers, 10_000)
        elif path == CARD_PATH:
            await FileResponse(CARD)(scope, receive, send)
            return
        else:
            self._check_get(scope, path, visitor)
            if _NAMED_BY_CONTENT.fullmatch(path):
                send = _with_headers(send, _FOR_GOOD, only=200)
        await self._app(scope, receive, send)

    def _is_there(self, path: str, is_post: bool) -> bool:
        """Whether the page uses such an address, or the MCP server that was asked for, or who signs in."""
        if self._sign_in and not is_post and _SIGN_IN.fullmatch(path):
            return True
        known = (_POST, _MCP) if is_post else (_GET, _MCP_GET)
        return any(each.fullmatch(path) for each in known[: 1 + self._mcp])

    def _check_names(self, headers: dict[str, str]) -> None:
        """Refuse other names than ours, and what another site's page sends."""
        ours = [headers.get("host", "")]
        if "x-forwarded-host" in headers:
            ours += [host.strip() for host in headers["x-forwarded-host"].split(",")]
        if not all(self._is_ours(host) for host in ours):
            where = f"${ALLOW_HOST}" if self._in_a_space else "--allow-host"
            raise RefusedError(421, f"This is not the name of this page. See {where}.")
        if "origin" in headers:
            try:
                origin = _without_port_of_scheme(urlsplit(headers["origin"]).netloc.casefold())
            except ValueError:  # such as http://[
                origin = ""
            if origin not in {_without_port_of_scheme(host.casefold()) for host in ours}:
                raise RefusedError(403, "Another site's page may not do this.")

    def _is_ours(self, host: str) -> bool:
        name = _name(host)
        if name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return self._any_address

    def _who(self, headers: dict[str, str], scope: Scope) -> tuple[Visitor, str | None]:
        """The visitor, and the cookie that makes a new one known."""
        if self._limits is None:
            return Visitor(files=self._files), None
        name = SECURE_COOKIE if (is_https := self._is_https(headers, scope)) else COOKIE
        token = _cookie(headers.get("cookie", ""), name)
        if token:
            owner = owner_of("browser", token)
            return Visitor(owner, self._limits, self._files, holder=owner), None
        # A page in somebody's frame (a Space) keeps a cookie only if it says that it is for use across sites.
        across = "SameSite=None; Secure; Partitioned" if is_https else "SameSite=Lax"
        cookie = f"{name}={secrets.token_urlsafe(32)}; Path=/; Max-Age=31536000; HttpOnly; {across}"
        return Visitor("", self._limits, self._files), cookie

    def _is_https(self, headers: dict[str, str], scope: Scope) -> bool:
        if scope.get("scheme") == "https":
            return True
        return self._in_a_space and headers.get("x-forwarded-proto", "").partition(",")[0].strip() == "https"

    def _bind(self, session: str, visitor: Visitor) -> None:
        """An open page belongs to who opened it: what it holds is not for others who learn its id."""
        if not visitor.is_stranger:
            return
        if self._sessions.setdefault(session, visitor.owner) != visitor.owner:
            raise RefusedError(403, "This page is somebody else's.")
        self._sessions.move_to_end(session)
        while len(self._sessions) > _SESSIONS:
            self._sessions.popitem(last=False)

    def _check_get(self, scope: Scope, path: str, visitor: Visitor) -> None:
        if path.startswith(f"{_API}/queue/data"):
            asked = parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [""])
            self._bind(checked_session(asked[0]), visitor)
        elif path.startswith(f"{_API}/heartbeat/"):
            self._bind(checked_session(path.removeprefix(f"{_API}/heartbeat/").strip("/")), visitor)
        elif path.startswith(f"{_API}/file="):
            wanted = path.removeprefix(f"{_API}/file=")
            if (linked := self._files.linked(visitor.holder, wanted)) is not None:
                scope["path"] = f"{_API}/file={linked}"
                scope["raw_path"] = quote(scope["path"], safe="/=").encode()
            elif not self._files.readable_by(visitor.holder, wanted):
                raise RefusedError(403, "There is no such file.")
            # Gradio 6.31 fails on a range that is not one, and the page asks for none.
            scope["headers"] = [(name, value) for name, value in scope["headers"] if name != b"range"]
        elif path == "/":
            scope["query_string"] = b""  # `deep_link` and others open what is saved here

    def _upload(self, visitor: Visitor, headers: dict[str, str], send: Send) -> Send:
        """`send`, which remembers whose the uploaded files are."""
        try:
            stranger_needs_cookie(visitor)
        except DataError as error:
            raise RefusedError(403, str(error)) from None
        if not headers.get("content-type", "").startswith("multipart/form-data"):
            raise RefusedError(400, "A file is uploaded as a form.")
        said = bytearray()

        async def remember(message: Message) -> None:
            if message["type"] == "http.response.body":
                said.extend(message.get("body", b""))
                if not message.get("more_body"):
                    self._files.upload(visitor.holder, _paths(bytes(said)))
            await send(message)

        return remember


def _security_headers(*, framed_by: Sequence[str]) -> list[tuple[bytes, bytes]]:
    """Gradio's page needs inline scripts. It asks for two fonts from elsewhere, which the page uses nowhere."""
    policy = "; ".join(
        (
            "default-src 'self'",
            "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
            "style-src 'self' 'unsafe-inline'",
            "font-src 'self' data:",
            "img-src 'self' data: blob:",
            "media-src 'self' data: blob:",
            "worker-src 'self' blob:",
            "connect-src 'self'",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            " ".join(("frame-ancestors 'self'", *framed_by)),
        )
    )
    return [
        (b"content-security-policy", policy.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"same-origin"),
    ]


def _cookie(header: str, name: str) -> str | None:
    token = cookie_parser(header).get(name, "")  # `http.cookies` gives up at the first one that is odd
    return token if _TOKEN.fullmatch(token) else None


def _paths(body: bytes) -> list[str]:
    """The paths in Gradio's answer to an upload; none in a refusal."""
    try:
        found = json.loads(body)
    except ValueError:
        return []
    return [path for path in found if isinstance(path, str)] if isinstance(found, list) else []


def _name(host: str) -> str:
    """A host without its port."""
    return re.sub(r":\d+$", "", host).casefold()


def _without_port_of_scheme(host: str) -> str:
    return re.sub(r":(80|443)$", "", host)


async def _body(receive: Receive, headers: dict[str, str]) -> bytes:
    """The whole body, up to `BODY_BYTES`."""
    receive = _limited(receive, headers, BODY_BYTES)
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise RefusedError(400, "The body is not whole.")
        body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)


def _limited(receive: Receive, headers: dict[str, str], most: int) -> Receive:
    """`receive`, which refuses more than `most` bytes; a form around a file adds a little."""
    most += 10_000
    declared = headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > most:
        raise RefusedError(413, f"That is too large: at most {most / 1e6:.0f} MB.")
    got = 0

    async def counted() -> Message:
        nonlocal got
        message = await receive()
        got += len(message.get("body", b""))
        if got > most:
            raise RefusedError(413, f"That is too large: at most {most / 1e6:.0f} MB.")
        return message

    return counted


def _replay(scope: Scope, receive: Receive, values: dict[str, Any]) -> Receive:
    """A `receive` that gives `values` as the body, then whatever else comes: that the client has gone."""
    body = json.dumps(values).encode()
    kept = [(name, value) for name, value in scope["headers"] if name not in (b"content-length", b"content-type")]
    length = (b"content-length", str(len(body)).encode())
    scope["headers"] = [*kept, length, (b"content-type", b"application/json")]
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return messages.pop() if messages else await receive()

    return next_message


def _with_headers(send: Send, headers: Sequence[tuple[bytes, bytes]], *, only: int | None = None) -> Send:
    """`send`, with more headers on the answer; on that of a certain status only, if one is given."""

    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start" and only in (None, message["status"]):
            message = {**message, "headers": [*message.get("headers", []), *headers]}
        await send(message)

    return with_headers


async def _answer(
    send: Send, status: int, said: dict[str, Any], headers: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    body = json.dumps(said).encode()
    fixed = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*fixed, *headers]})
    await send({"type": "http.response.body", "body": body})
