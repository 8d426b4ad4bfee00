"""One question to a server over HTTP, as often as it takes: what passes is asked again, what does not ends at once.

Passing are 429, 5xx, a broken connection, an answer that does not come in time, and one that is half or no JSON.
Before each further try the wait is longer, with chance in it so that not all come back at once; where the server
says how long (`Retry-After`), everybody waits as long. Redirects are not followed: the key and the rows would go to
somebody who was not named. Knows HTTP and JSON, nothing of models.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eval.sides.endpoint.address import Address, Key, variables
from eval.sides.endpoint.refusals import (
    RefusalError,
    in_a_line,
    json_of,
    message_of,
    unknown_field,
    wait_asked_s,
)
from eval.sides.side import Spent
from plumbing.errors import UserError

if TYPE_CHECKING:
    import httpx

_PASSING = frozenset({408, 409, 425, 429})
_LONGEST_REFUSAL = 64_000
_CHUNK_BYTES = 64_000


@dataclass(frozen=True)
class Limits:
    """How long is waited for what, and how much is read."""

    in_flight: int = 8
    """Questions at once."""
    connect_s: float = 10.0
    answer_s: float = 600.0
    """From a question to the last byte of its answer."""
    tries: int = 6
    """Of one question, the first included."""
    late: int = 2
    """Of these, so many may be late by `answer_s`."""
    first_wait_s: float = 0.5
    """Before the second try; before each later one twice as long, and at most `longest_wait_s`."""
    longest_wait_s: float = 30.0
    longest_asked_s: float = 180.0
    """A server that asks for more patience than this has run out for longer: the end."""
    answer_bytes: int = 8_000_000


class PassingError(Exception):
    """What may be over at the next try: a server that is gone, busy or too late, or half an answer."""

    def __init__(self, why: str, *, wait_s: float = 0.0, late: bool = False, offline: bool = False) -> None:
        super().__init__(why)
        self.why, self.wait_s, self.late, self.offline = why, wait_s, late, offline


class Client:
    """Connections to one server. Enter it with `async with`; it counts into `spent`."""

    def __init__(
        self, address: Address, key: Key | None, limits: Limits, spent: Spent, *, pinned: tuple[str, ...] = ()
    ) -> None:
        """Args:
        address: of the server.
        key: for it.
        limits: how long is waited for what.
        spent: what is counted into.
        pinned: IP addresses that are connected to whatever the name stands for by then; no proxy is used.
        """
        self.address, self.limits, self.spent = address, limits, spent
        self._key = key
        self._pinned = pinned
        self._resume_at = 0.0
        self._giving_up = False

    async def __aenter__(self) -> Client:
        import httpx

        headers = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "before-after"}
        headers["content-type"] = "application/json"
        if self._key:
            headers["authorization"] = f"Bearer {self._key.value}"
        limits = self.limits
        try:
            self._http = httpx.AsyncClient(
                headers=headers,
                timeout=httpx.Timeout(limits.answer_s, connect=limits.connect_s, pool=None),
                limits=httpx.Limits(max_connections=limits.in_flight, max_keepalive_connections=limits.in_flight),
                follow_redirects=False,
                verify=self.address.scheme == "https",  # over http there is no certificate to look at
                trust_env=not self.address.is_here,  # a proxy has no way back to this machine
                transport=_pinned_transport(self._pinned) if self._pinned else None,
            )
        except (ValueError, ImportError, httpx.InvalidURL):
            raise UserError(
                "The environment names a proxy that cannot be used",
                fix="Look at HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY.",
            ) from None
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._http.aclose()

    def give_up(self) -> None:
        """Ask nothing again: what is under way comes to its end, and what fails now has failed."""
        self._giving_up = True

    async def get(self, url: str) -> Any:
        """What lies at `url`; errors as for `post`."""
        return await self._patiently("GET", url, None)

    async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The server's answer, a JSON object.

        Raises:
            RefusalError: it will not answer this question.
            UserError: it could not be had, after as many tries as are allowed.
        """
        answer = await self._patiently("POST", f"{self.address.base}/{path}", body)
        assert isinstance(answer, dict)
        return answer

    async def wait(self, number: int) -> None:
        """Before the try after the one of that number, from 1."""
        wait_s = min(self.limits.longest_wait_s, self.limits.first_wait_s * 2 ** (number - 1))
        await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))

    async def _patiently(self, method: str, url: str, body: Mapping[str, Any] | None) -> Any:
        late = 0
        for number in range(1, self.limits.tries + 1):
            while (wait_s := self._resume_at - time.monotonic()) > 0:
                await asyncio.sleep(wait_s)
            try:
                return await self._once(method, url, body)
            except PassingError as error:
                late += error.late
                at_its_end = number == self.limits.tries or late >= self.limits.late or self._giving_up
                if at_its_end or error.wait_s > self.limits.longest_asked_s:
                    raise self._ended(error, number) from None
                self.spent.retries += 1
                if error.wait_s:
                    self._resume_at = max(self._resume_at, time.monotonic() + error.wait_s)
                await self.wait(number)
        raise AssertionError("the last try returns or raises")

    async def events(self, url: str, body: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """The JSON objects of an answer that is sent as it is made. It is asked for once.

        Raises:
            RefusalError: the server will not answer this question.
            PassingError: it cannot be reached, or went before it had sent all.
        """
        async with self._sent("POST", url, body) as response:
            if not response.is_success:
                self._understood(response, *await _read(response, _LONGEST_REFUSAL))
            async for line in response.aiter_lines():
                name, _, data = line.partition(":")
                if name not in ("data", "error") or data.strip() == "[DONE]":
                    continue
                found = json_of(data.encode())
                if name == "error" or not isinstance(found, dict) or found.get("error"):
                    self._raise_inside(found, data.encode())
                yield found
        self.spent.requests += 1

    async def ask(self, method: str, url: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        """The status of what a server says of itself, asked once, and the JSON or the text of it.

        Raises:
            RefusalError, PassingError: as for `events`, but for refusals, which are told by the status.
        """
        async with self._sent(method, url, body) as response:
            data, _ = await _read(response, self.limits.answer_bytes)
        text = in_a_line(data[:_LONGEST_REFUSAL].decode("utf-8", "replace"))
        return response.status_code, text if (found := json_of(data)) is None else found

    @contextlib.asynccontextmanager
    async def _sent(self, method: str, url: str, body: Mapping[str, Any] | None) -> AsyncIterator[httpx.Response]:
        """The response to one question, as far as its headers; what goes wrong within says what it comes to."""
        import httpx

        # Escaped, so that half a character in a row is one for the server to judge.
        content = None if body is None else json.dumps(body).encode()
        try:
            async with (
                asyncio.timeout(self.limits.answer_s),
                self._http.stream(method, url, content=content) as response,
            ):
                yield response
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise RefusalError(0, f"its certificate is not to be trusted ({in_a_line(str(error))})") from None
            raise PassingError(f"it cannot be connected to ({in_a_line(str(error))})", offline=True) from None
        except (TimeoutError, httpx.TimeoutException):
            raise PassingError(f"nothing came within {self.limits.answer_s:g} s", late=True) from None
        except httpx.TransportError as error:
            raise PassingError(f"the connection broke ({in_a_line(str(error)) or type(error).__name__})") from None
        except httpx.InvalidURL:
            raise RefusalError(0, "the address cannot be used") from None

    async def _once(self, method: str, url: str, body: Mapping[str, Any] | None) -> Any:
        async with self._sent(method, url, body) as response:
            limit = self.limits.answer_bytes if response.is_success else _LONGEST_REFUSAL
            data, whole = await _read(response, limit)
        return self._understood(response, data, whole)

    def _understood(self, response: httpx.Response, data: bytes, whole: bool) -> Any:
        """The JSON of a response, of which `data` is the body, or its beginning where it is not `whole`."""
        status = response.status_code
        if 300 <= status < 400:
            to = in_a_line(response.headers.get("location", "").partition("?")[0])
            raise RefusalError(status, f"it redirects to {to or 'another address'}, and redirects are not followed")
        if not response.is_success:
            self._raise(status, json_of(data), data, wait_asked_s(response.headers))
        self.spent.requests += 1
        if not whole:
            raise RefusalError(
                status, f"its answer is longer than {self.limits.answer_bytes:,} bytes and is read no further"
            )
        if response.headers.get("content-encoding", "identity") != "identity":
            raise RefusalError(status, "it packs its answer, which it was asked not to")
        found = json_of(data)
        if isinstance(found, dict) and found.get("error"):  # as some that pass on others' answers do
            self._raise_inside(found, data)
        if isinstance(found, (dict, list)) and not (response.request.method == "POST" and isinstance(found, list)):
            return found
        raise PassingError(f"it answered no JSON: {in_a_line(data[:2000].decode('utf-8', 'replace'))}")

    def _raise_inside(self, found: Any, data: bytes) -> None:
        """The same of an error in an answer that began as a right one."""
        error = found.get("error", found) if isinstance(found, dict) else None
        code = error.get("code") if isinstance(error, dict) else None
        self._raise(code if isinstance(code, int) else 500, found, data, 0.0)

    def _raise(self, status: int, found: Any, data: bytes, wait_s: float) -> None:
        """Raise what a refused question comes to."""
        said = in_a_line(message_of(found) or data.decode("utf-8", "replace")) or "nothing"
        error = found.get("error") if isinstance(found, dict) else None
        details: dict[str, Any] = error if isinstance(error, dict) else {}
        out_of_money = details.get("code") == "insufficient_quota" or details.get("type") == "insufficient_quota"
        if (status in _PASSING or status >= 500) and not out_of_money:
            raise PassingError(f"{status}: {said}", wait_s=wait_s)
        parameter = details.get("param")
        raise RefusalError(status, said, parameter if isinstance(parameter, str) else unknown_field(found))

    def _ended(self, error: PassingError, number: int) -> UserError:
        if error.wait_s > self.limits.longest_asked_s:
            problem = f"The server asks to wait {error.wait_s:,.0f} s, which is not waited for here: {error.why}"
        else:
            problem = f"The server did not answer, asked {number} times: {error.why}"
        return UserError(
            problem, got=self.address.base, fix="See that it runs and is not overloaded, and run it again."
        )

    def explained(self, refusal: RefusalError, where: str = "") -> UserError:
        """A refusal, in a sentence, with what may be done about it."""
        status = f"{refusal.status}: " if refusal.status else ""
        fix = {
            401: self._about_the_key(),
            403: self._about_the_key(),
            404: "Check the address, which ends with /v1 with most, and the model after the #.",
        }.get(refusal.status, "Write the address that answers." if 300 <= refusal.status < 400 else "")
        return UserError(f"The server refuses{where}: {status}{refusal.said}", got=str(self.address), fix=fix)

    def _about_the_key(self) -> str:
        if self._key:
            return f"Look at the key in {self._key.variable}."
        names = variables(self.address)
        if not names:
            return "It wants a key, and there is none for a host with _ in its name: give it another name."
        return f"It wants a key: set {names[-1]} in the environment."


async def _read(response: httpx.Response, limit: int) -> tuple[bytes, bool]:
    """The body as it comes, up to `limit` bytes, and whether that is all of it."""
    data = bytearray()
    async for part in response.aiter_raw(_CHUNK_BYTES):
        data += part
        if len(data) > limit:
            return bytes(data[:limit]), False
    return bytes(data), True


def _pinned_transport(addresses: tuple[str, ...]) -> httpx.AsyncBaseTransport:
    """Connects to the first of `addresses` that can be, whatever a request's host stands for by then.

    The host stays what the certificate is checked against, and what the server is told.
    """
    import httpx

    class Pinned(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            host, url = request.url.host, request.url
            request.extensions = request.extensions | {"sni_hostname": host}
            for number, address in enumerate(addresses, start=1):
                request.url = url.copy_with(host=address)
                try:
                    return await super().handle_async_request(request)
                except (httpx.ConnectError, httpx.ConnectTimeout):
                    if number == len(addresses):
                        raise
            raise AssertionError("there is an address")

    return Pinned(trust_env=False)
