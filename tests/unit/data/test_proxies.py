"""What the environment says about proxies, against the client that reads it."""

import os
from urllib.request import getproxies

import httpx
import pytest

from plumbing.proxies import settle_proxies


@pytest.fixture(autouse=True)
def no_proxies():
    """Begin without any, and take back what is set."""
    before = dict(os.environ)
    for name in before:
        if name.lower().endswith("_proxy"):
            del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", "socks://127.0.0.1:7891/"),
        ("all_proxy", "socks5://127.0.0.1:7891/"),
        ("http_proxy", "ftp://proxy.example:21"),
        ("HTTPS_PROXY", "http://proxy.example:port"),
        ("https_proxy", "://proxy.example"),
        ("no_proxy", "[::1]"),
        ("NO_PROXY", "localhost,fe80::/10"),
        ("no_proxy", "printer:name"),
    ],
)
def test_a_setting_with_which_no_client_can_be_made_is_left_out_and_said(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("http_proxy" if name != "http_proxy" else "https_proxy", "http://works.example:3128")
    with pytest.raises((ValueError, ImportError, httpx.InvalidURL)):
        httpx.Client()
    [said] = settle_proxies()
    httpx.Client().close()
    assert name.lower().removeprefix("no_") in said.lower() and "left out" in said
    assert "http://works.example:3128" in getproxies().values()


def test_a_password_is_not_said(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks://ana:s3cret@proxy.example:7891")
    [said] = settle_proxies()
    assert "s3cret" not in said and "proxy.example:7891" in said


def test_this_machine_is_asked_directly_and_everything_else_as_before(monkeypatch):
    monkeypatch.setenv("http_proxy", "proxy.example:3128")
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", ".intern.example, 10.0.0.0/8,*.local,a:80,::1")
    assert settle_proxies("192.168.1.7") == []
    with httpx.Client() as client:
        taken = {
            host: client._transport_for_url(httpx.URL(f"http://{host}:7860/")) is not client._transport
            for host in ("localhost", "127.0.0.1", "[::1]", "192.168.1.7", "x.intern.example", "huggingface.co")
        }
    assert [host for host, by_proxy in taken.items() if by_proxy] == ["huggingface.co"]


def test_nothing_is_set_where_there_is_no_proxy(monkeypatch):
    before = dict(os.environ)
    assert settle_proxies("192.168.1.7") == []
    assert dict(os.environ) == before
