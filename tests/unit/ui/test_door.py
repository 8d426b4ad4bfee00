"""The door without an app behind it: who is asking."""

from __future__ import annotations

import pytest

from ui.door import COOKIE, _cookie

TOKEN = "a-token_" + "x" * 35


@pytest.mark.parametrize(
    "others", ["", 'a={"x":1}; ', "theme; ", "x=é; ", "a=b=c; ", "=; ", "a b=c; ", f"{COOKIE}x={'y' * 43}; "]
)
def test_a_visitor_is_known_whatever_other_cookies_there_are(others: str) -> None:
    for header in (f"{others}{COOKIE}={TOKEN}", f"{COOKIE}={TOKEN}; {others}"):
        assert _cookie(header, COOKIE) == TOKEN


@pytest.mark.parametrize("header", ["", COOKIE, f"{COOKIE}=", f"{COOKIE}=short", f"{COOKIE}={TOKEN}x"])
def test_what_is_no_token_is_nobody(header: str) -> None:
    assert _cookie(header, COOKIE) is None
