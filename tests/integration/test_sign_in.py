"""A visitor of a Space signs in with an account on the Hub, and pushes by their own token; nobody else does."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx

from tests.integration.local_hub import Hub, SignIn, served
from tests.integration.stranger import Stranger, public_app

ANA, SPACES = "hf_" + "a1B2" * 8, "hf_" + "s9S8" * 8
LIMIT_S = 600
"""The first look into a panel imports what knows models, which takes long on a busy machine."""
MODEL = "bundled:sentiment-smollm2-lora"


def of_a_space(hub: Hub) -> dict[str, str]:
    """What the environment of a Space with `hf_oauth: true` holds, and a token of the Space's own."""
    return {
        "SYSTEM": "spaces",
        "SPACE_ID": "ana/space",
        "SPACE_HOST": "ana-space.hf.space",
        "OAUTH_CLIENT_ID": "the-client",
        "OAUTH_CLIENT_SECRET": "the-secret",
        "OAUTH_SCOPES": "openid profile contribute-repos",
        "OPENID_PROVIDER_URL": hub.endpoint,
        "HF_ENDPOINT": hub.endpoint,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_TOKEN": SPACES,
    }


def signed_in(url: str, hub: Hub) -> str:
    """Go the way of the button: to the Hub, and back with a code; the cookie that then says who one is."""
    assert hub.sign_in is not None
    left = httpx.get(f"{url}/login/huggingface", params={"_target_url": "/"}, timeout=LIMIT_S)
    assert left.status_code in (302, 307), left.text
    asked = parse_qs(urlsplit(left.headers["location"]).query)
    assert left.headers["location"].startswith(f"{hub.endpoint}/oauth/authorize?")
    assert asked["redirect_uri"][0].startswith("https://ana-space.hf.space/login/callback")
    assert "contribute-repos" in asked["scope"][0]
    hub.sign_in.nonce = asked["nonce"][0]
    back = httpx.get(
        f"{url}/login/callback",
        params={"code": "a-code", "state": asked["state"][0]},
        headers={"cookie": f"session={_session(left)}"},
        timeout=LIMIT_S,
    )
    assert back.status_code in (302, 307) and back.headers["location"].startswith("/"), back.text
    return _session(back)


def _session(answer: httpx.Response) -> str:
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("session=") and "secure" in cookie.lower() and "httponly" in cookie.lower()
    return str(cookie.removeprefix("session=").partition(";")[0])


def did(visitor: Stranger, **what: str) -> str:
    """What the panel in Compare shows after a click."""
    act = visitor.handler("act", "compare-take")
    answer = visitor.call(act, [MODEL], event_data=what)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["data"][0])


def test_a_visitor_of_a_space_pushes_by_their_own_token_and_never_by_the_spaces(
    tmp_path: Path, tiny_bundled: Path
) -> None:
    with served(Hub()) as hub:
        hub.accounts = {ANA: {"ana"}, SPACES: {"space"}}
        hub.sign_in = SignIn("the-client", ANA, "openid profile contribute-repos")
        settings = of_a_space(hub) | {"BEFORE_AFTER_BUNDLED": str(tiny_bundled)}
        with (
            public_app(tmp_path, "--host", "127.0.0.1", **settings) as (url, log),
            Stranger(url, timeout_s=LIMIT_S) as ana,
        ):
            assert visitor_button(ana) and "Sign in" in did(ana, do="open")
            push = {"do": "push", "form": "hub", "repository": "ana/tuned", "private": "yes"}
            assert "Sign in with Hugging Face first" in did(ana, **push) and not hub.models
            ana.http.cookies.set("session", signed_in(url, hub))
            assert 'data-as="repository"' in did(ana, do="open")
            assert "OWNER/NAME" in did(ana, **push | {"repository": "tuned"})
            shown = ended(ana, push)
            assert f"Pushed: {hub.endpoint}/ana/tuned" in shown, shown
            assert hub.models["ana/tuned"].private and "adapter_model.safetensors" in hub.models["ana/tuned"].files
            assert "may not write there" in ended(ana, push | {"repository": "space/tuned"})
            with Stranger(url, timeout_s=LIMIT_S) as bea:
                assert "Sign in with Hugging Face first" in did(bea, **push)
        assert {each for each in hub.tokens if each.startswith("Bearer")} == {f"Bearer {ANA}"}
        assert ANA not in log.read_text(errors="replace")
        assert not [path for path in tmp_path.rglob("*") if path.is_file() and ANA.encode() in path.read_bytes()]


def visitor_button(visitor: Stranger) -> bool:
    """Whether the page has the button, and says nothing of who has signed in."""
    return visitor.component("sign-in")["props"]["value"] == "Sign in with Hugging Face"


def ended(visitor: Stranger, push: dict[str, str]) -> str:
    """What is shown of a push once it has ended."""
    shown = did(visitor, **push)
    while "data-seen" in shown:
        time.sleep(0.2)
        shown = did(visitor, do="open")
    return shown


def test_a_public_page_elsewhere_signs_nobody_in(tmp_path: Path, tiny_bundled: Path) -> None:
    settings = {"BEFORE_AFTER_BUNDLED": str(tiny_bundled), "HF_TOKEN": SPACES, "SPACE_ID": "ana/space"}
    with (
        public_app(tmp_path, "--host", "127.0.0.1", **settings) as (url, _),
        Stranger(url, timeout_s=LIMIT_S) as ana,
    ):
        for path in ("login/huggingface", "login/callback"):
            assert httpx.get(f"{url}/{path}").status_code == 404
        assert 'value="hub"' not in did(ana, do="open")
        assert "pushes nothing" in did(ana, do="push", repository="ana/tuned", form="hub")
        assert not [each for each in ana.config["components"] if each["props"].get("elem_id") == "sign-in"]
