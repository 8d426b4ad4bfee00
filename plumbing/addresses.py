"""Which machines a name stands for, and whether anybody may be asked there or only this machine's own network.

Whoever lets strangers name an address asks `public_addresses`, and then connects to one of what it returned and to
nothing else: a name may stand for another machine at the next look.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator

from plumbing.errors import UserError

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_LOOKS_PUBLIC = tuple(map(ipaddress.ip_network, ("168.63.129.16/32", "192.0.0.0/24")))
"""To a version of `ipaddress`, and is not: where a cloud tells a machine about itself, and the protocols' own."""
_UNICAST = ipaddress.ip_network("2000::/3")
"""All of IPv6 that has been given to anybody; what is elsewhere has some meaning of its own, or will."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_here(host: str) -> bool:
    """Whether `host` is this machine by its own name or address: no proxy has a way there."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return any(each.is_loopback or each.is_unspecified for each in _all_of(address))


def is_public(address: str) -> bool:
    """Whether an IP address is one that everybody has: not private, link-local, of a cloud's own or in another."""
    return all(
        (each.version == 4 or each in _UNICAST)
        and each.is_global
        and not each.is_multicast
        and not any(each in network for network in _LOOKS_PUBLIC)
        for each in _all_of(ipaddress.ip_address(address.partition("%")[0]))
    )


def public_addresses(host: str, port: int) -> list[str]:
    """The IP addresses of `host`, all of which are public; connect to these, never by the name again.

    Raises:
        UserError: there is no such host, or one of its addresses is not public.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise UserError("There is no host of that name", got=host, fix="Check the address.") from None
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    if not addresses or not all(map(is_public, addresses)):
        # Its address is not said: who asks from outside is told nothing of the network in here.
        raise UserError(
            "That host is in a private network, or is this machine; only public ones can be asked from here",
            got=host,
            fix="Ask whoever operates this page.",
        )
    return addresses


def _all_of(address: _Address) -> Iterator[_Address]:
    """The address and those inside it that a relay leads to; of one of IPv6 that only stands for another, that."""
    if isinstance(address, ipaddress.IPv6Address):
        yield from filter(None, (address.sixtofour, *(address.teredo or ())))
        if address.ipv4_mapped or address in _NAT64:
            address = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    yield address
