"""Which addresses are public, and that what was checked is what is connected to."""

import asyncio
import socket

import pytest

from plumbing.addresses import is_here, is_public, public_addresses
from plumbing.errors import UserError

PRIVATE = [
    "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "100.100.100.200", "168.63.129.16", "192.0.0.192", "224.0.0.1", "255.255.255.255", "198.18.0.1", "::1", "::",
    "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2001:db8::1", "::127.0.0.1", "::ffff:0:127.0.0.1", "fec0::1",
    "64:ff9b:1::7f00:1", "4000::1", "5f00::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_public(address):
    assert is_public(address)


def test_a_host_is_public_where_all_its_addresses_are(monkeypatch):
    names = {"h.example": ("1.1.1.1", "1.0.0.1"), "i.example": ("1.1.1.1", "10.0.0.7")}

    def looked_up(host, port, type):
        return [(socket.AF_INET, type, 6, "", (address, port)) for address in names[host]]

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    assert public_addresses("h.example", 443) == ["1.1.1.1", "1.0.0.1"]
    with pytest.raises(UserError, match="private network") as caught:
        public_addresses("i.example", 443)
    assert "10.0.0.7" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.0.0.1", "localhost", "[::1]"])
def test_this_machine_by_another_name_is_not_public(host):
    with pytest.raises(UserError):
        public_addresses(host, 80)


def test_no_such_host():
    with pytest.raises(UserError, match="no host of that name"):
        public_addresses("no.such.host.invalid", 80)
    with pytest.raises(UserError, match="no host of that name"):
        public_addresses("a" * 70, 80)


@pytest.mark.parametrize(
    ("host", "here"),
    [
        *(
            (host, True)
            for host in ("localhost", "LOCALHOST.", "127.0.0.9", "::1", "[::1]", "0.0.0.0", "::ffff:127.0.0.1")
        ),
        *((host, False) for host in ("10.0.0.1", "localhost.example", "1.1.1.1")),
    ],
)
def test_here(host, here):
    assert is_here(host) == here


def test_what_was_checked_is_connected_to_whatever_the_name_stands_for_by_then():
    from eval.sides.endpoint.address import Address
    from eval.sides.endpoint.client import Client, Limits
    from eval.sides.side import Spent
    from tests.unit.eval.faulty_server import serving

    with serving() as server:
        port = server.url.rpartition(":")[2].partition("/")[0]
        address = Address.parse(f"http://rebound.invalid:{port}/v1")  # which no name server knows

        async def ask():
            # The first of the two does not listen, so the second is tried.
            async with Client(address, None, Limits(), Spent(), pinned=("127.0.0.77", "127.0.0.1")) as client:
                return await client.post("chat/completions", {"messages": [{"content": "a"}]})

        assert asyncio.run(ask())["choices"][0]["message"]["content"] == "to a"
        assert server.asked[0][1]["Host"] == f"rebound.invalid:{port}"
