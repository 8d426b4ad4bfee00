"""`http(s)://host[:port]/v1#model`: where to ask, which model, and the key for there.

A key comes from the environment and nowhere else, under a name that holds the host it is for:
`BEFORE_AFTER_KEY_<HOST>`, with the host in capitals, `_` for a dot and `__` for a hyphen; where one machine has
several servers, `BEFORE_AFTER_KEY_<HOST>_<PORT>`. `OPENAI_API_KEY` is for https://api.openai.com alone.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from plumbing.addresses import is_here, public_addresses
from plumbing.errors import UserError

_PORTS = {"http": 80, "https": 443}
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?", re.ASCII)
_PATH = re.compile(r"(/[\w.~%-]*)*", re.ASCII)
_MODEL_CHARS = 300
_ENDINGS = ("/chat/completions", "/completions", "/models")
_WRITE = "Write it as http://HOST:PORT/v1#MODEL."


@dataclass(frozen=True)
class Address:
    """Where a model is asked."""

    scheme: str
    host: str
    """In small letters; of IPv6 without the brackets."""
    port: int
    path: str
    """Before `/chat/completions`, without a slash at its end: `/v1`."""
    model: str = ""
    """Empty where nobody has said which."""

    @classmethod
    def parse(cls, text: str) -> Address:
        """What a person wrote. A path that is left out is `/v1`.

        Raises:
            UserError: it is no such address, or holds a password or a key; which is not repeated.
        """
        written, _, model = text.strip().partition("#")
        try:
            parts = urlsplit(written)
            port = parts.port
        except ValueError:
            raise UserError("The address cannot be read", fix=_WRITE) from None
        if "@" in parts.netloc or parts.query:
            raise UserError(
                "An address holds no name, password or key",
                got=parts.hostname,
                fix="Take out what stands before the @ or after the ?. A key is read from the environment: "
                "BEFORE_AFTER_KEY_HOST.",
            )
        host = (parts.hostname or "").lower().rstrip(".")
        if parts.scheme not in _PORTS or not _is_host(host) or not _PATH.fullmatch(parts.path):
            raise UserError("That is not the address of a server", got=text, fix=_WRITE)
        if len(model) > _MODEL_CHARS or not model.isprintable():
            raise UserError("That is not the name of a model", got=model, fix=_WRITE)
        path = parts.path.rstrip("/")
        for ending in _ENDINGS:
            path = path.removesuffix(ending)
        return cls(parts.scheme, host, port or _PORTS[parts.scheme], path or "/v1", model.strip())

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + (f":{self.port}" if self.port != _PORTS[self.scheme] else "")

    @property
    def base(self) -> str:
        """The address that every request's begins with."""
        return self.origin + self.path

    @property
    def root(self) -> str:
        """The address above `/v1`, where lies what is a server's own."""
        return self.base.removesuffix("/v1")

    @property
    def is_here(self) -> bool:
        """Whether it is this machine's."""
        return is_here(self.host)

    def of(self, model: str) -> Address:
        """The same server's other model."""
        return replace(self, model=model)

    def __str__(self) -> str:
        return f"{self.base}#{self.model}" if self.model else self.base


@dataclass(frozen=True)
class Key:
    """What opens a server's door. Its value is in no `repr`, and shown nowhere."""

    value: str = field(repr=False)
    variable: str

    @classmethod
    def of(cls, address: Address, environment: Mapping[str, str] | None = None) -> Key | None:
        """The key for this very host, or None where the environment has none.

        Raises:
            UserError: it holds something that no key does, such as a line break.
        """
        values = os.environ if environment is None else environment
        for variable in variables(address):
            if value := values.get(variable, "").strip():
                if not (value.isascii() and value.isprintable()):
                    raise UserError(
                        f"{variable} holds no key: there is a line break or a letter in it that no key has",
                        fix="Set it again.",
                    )
                return cls(value, variable)
        return None


def _is_host(host: str) -> bool:
    """Whether it is a name, or an IP address."""
    if ":" not in host:
        return len(host) <= 253 and all(map(_LABEL.fullmatch, host.split(".")))
    try:
        return bool(ipaddress.IPv6Address(host)) and "%" not in host
    except ValueError:
        return False


def variables(address: Address) -> list[str]:
    """Names of the environment's variables that the key is looked for in; the first that is set counts."""
    if "_" in address.host:  # which would be read as a dot, and the key be another host's
        return []
    host = address.host.upper().replace("-", "__").replace(".", "_").replace(":", "_")
    own = [f"BEFORE_AFTER_KEY_{host}_{address.port}", f"BEFORE_AFTER_KEY_{host}"]
    openai = (address.scheme, address.host, address.port) == ("https", "api.openai.com", 443)
    return [*own, "OPENAI_API_KEY"] if openai else own


def given_addresses(address: Address, given: Sequence[str]) -> tuple[str, ...]:
    """What may be connected to on a page that strangers use: the public IP addresses of one that its operator gave.

    Args:
        address: that is asked.
        given: by the operator, each with or without a model.

    Raises:
        UserError: it is none of them, which are not said; or its host is not public.
    """
    for each in map(Address.parse, given):
        if each.of("") == address.of("") and each.model in ("", address.model):
            return tuple(public_addresses(address.host, address.port))
    raise UserError(
        "This page does not ask that address", got=str(address), fix="Choose a model that the page offers."
    )
