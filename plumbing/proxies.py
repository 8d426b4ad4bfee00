"""Proxies that the environment names for every program: none for this machine itself, none that cannot be used.

A company's network sets `http_proxy`, and a desktop sets `ALL_PROXY`; every client in this process and in those it
starts heeds them. A client fails as it is made where one of them is of a kind that it does not know, whether or not
what it asks for would have gone that way; and a proxy has no way back to a page on this machine.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from urllib.request import getproxies

from plumbing.printable import one_line

_HERE = ("localhost", "127.0.0.1", "::1")
_OF_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def settle_proxies(*hosts: str) -> list[str]:
    """Set this process's proxies so that its clients work, for itself and for the processes that it starts.

    Args:
        hosts: more names and addresses of this machine, asked directly like the loopback's.

    Returns:
        A sentence about each setting that cannot be used and is left out.
    """
    if not getproxies():
        return []
    said = list(_leave_out_unusable())
    # What the system's settings name, not the environment (macOS, Windows), counts no more once a variable is set.
    for kind, proxy in getproxies().items():
        if f"{kind}_proxy" in _OF_PROXIES:
            os.environ.setdefault(f"{kind}_proxy", proxy)
    direct = [name.strip() for name in getproxies().get("no", "").split(",")]
    kept = [name for name in direct if name and _is_usable_exception(name)]
    said += [
        f"no_proxy holds {one_line(name)}, which cannot be read; it is left out."
        for name in direct
        if name and name not in kept
    ]
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(dict.fromkeys((*kept, *_HERE, *hosts)))
    return said


def _leave_out_unusable() -> Iterator[str]:
    """Remove the proxies that no client could be made with; yields a sentence about each."""
    import httpx

    for name in [name for name in os.environ if name.lower() in _OF_PROXIES and os.environ[name]]:
        proxy = os.environ[name]
        try:
            httpx.HTTPTransport(proxy=proxy if "://" in proxy else f"http://{proxy}").close()
        except ImportError:  # it can, with a package that is not installed
            remedy = "For a proxy of this kind: pip install httpx[socks]."
        except (ValueError, httpx.InvalidURL):
            remedy = "Write it as http://NAME:PORT, or as socks5://NAME:PORT."
        else:
            continue
        del os.environ[name]
        shown = one_line(proxy.rpartition("@")[2] if "@" in proxy else proxy)  # before an @ there may be a password
        yield f"{name} names a proxy that cannot be used ({shown}); it is left out. {remedy}"


def _is_usable_exception(name: str) -> bool:
    """Whether a client can be made where `no_proxy` has this part: `fe80::/10` and `[::1]` are read as a port."""
    import httpx

    try:
        ipaddress.IPv6Address(name.split("/")[0])
    except ValueError:
        host = f"*{name}"
    else:
        host = f"[{name}]"
    try:
        httpx.URL(name if "://" in name else f"all://{host}")
    except httpx.InvalidURL:
        return False
    return True
