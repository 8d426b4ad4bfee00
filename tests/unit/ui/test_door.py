"""The door without an app behind it: who is asking, and what is refused."""

from __future__ import annotations

import asyncio

import gradio as gr
import pytest

from ui.server.calls import RefusedError
from ui.server.door import COOKIE, Door, _cookie

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


def refused(*, in_a_space: bool = False, **headers: str) -> RefusedError:
    """How the door refuses a request with these headers."""

    async def inside_a_loop() -> Door:
        with gr.Blocks() as blocks:
            pass
        return Door(blocks.app, blocks=blocks, in_a_space=in_a_space)

    with pytest.raises(RefusedError) as caught:
        asyncio.run(inside_a_loop())._check_names(headers)
    return caught.value


@pytest.mark.parametrize("origin", ["http://[", "http://a]", "http://[x]/", "null", ""])
def test_an_origin_that_is_no_address_is_another_sites(origin: str) -> None:
    assert refused(host="127.0.0.1:7860", origin=origin).status == 403


def test_where_there_is_no_command_line_no_option_of_it_is_named() -> None:
    assert "--allow-host" in refused(host="evil.example").said
    in_a_space = refused(host="evil.example", in_a_space=True)
    assert (
        in_a_space.status == 421 and "--" not in in_a_space.said and "$BEFORE_AFTER_ALLOW_HOST" in in_a_space.said
    )
