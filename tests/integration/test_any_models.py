"""Strangers who name models: over HTTP they get those that the page offers them, compared, and no others."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.stranger import Stranger, public_app
from tests.integration.test_http import API, SECRETS, paths_in, refused, said
from tests.unit.eval.faulty_server import Server, serving
from ui.server.naming import ALLOW_MODEL
from ui.tabs.verdict_view import FILES

BASE, TUNED = "bundled:sentiment-smollm2-lora", "bundled:dialogue-smollm2-qlora"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server on this machine, which the operator has named by mistake."""
    with serving() as found:
        yield found


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, tiny_bundled: Path, server: Server) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("any")
    allowed = f"{server.url}#tiny,some/model"
    with public_app(folder, BEFORE_AFTER_BUNDLED=str(tiny_bundled), **{ALLOW_MODEL: allowed}) as (url, log):
        yield url, log
        assert "Traceback" not in log.read_text(errors="replace")


@pytest.fixture
def ana(app: tuple[str, Path]) -> Iterator[Stranger]:
    with Stranger(app[0], timeout_s=600) as visitor:
        yield visitor


def compared(visitor: Stranger, **chosen: Any) -> list[dict[str, Any]]:
    handler = visitor.handler("compare", "any-base")
    given = {"any_base": BASE, "any_tuned": [TUNED], "any_source": "corpus:reviews", "any_rows": "6"}
    given |= {"any_task": "sentiment"}
    messages = visitor.queued(handler, visitor.values(handler, **given | chosen))
    return [*messages, *followed(visitor, next(each for each in _texts(messages) if each.startswith("verdict.")))]


def followed(visitor: Stranger, job_id: str) -> list[dict[str, Any]]:
    """What the page is told of a job each time that it looks, until that has ended."""
    look = visitor.handler("look", "evaluate-progress")
    told: list[dict[str, Any]] = []
    while not told or "data-on" in str(told[-1]):
        answer = visitor.call(look, visitor.values(look, evaluate_job=job_id)).json()
        if job_id in str(answer):  # else nothing has changed
            told.append(answer)
        time.sleep(0.2)
    return told


def test_a_name_that_is_not_offered_does_not_pass_the_door(ana: Stranger, server: Server) -> None:
    handler = ana.handler("compare", "any-base")
    for name in ("/etc", ".", "other/model", f"{server.url}#other", "http://169.254.169.254/v1", "run:x", "two:[]"):
        for chosen in ({"any_base": name}, {"any_tuned": [name]}, {"any_tuned": [TUNED, name]}):
            answer = ana.http.post(f"{API}/queue/join", json=ana.body(handler, ana.values(handler, **chosen)))
            refused(answer, 422)
    for wrong in (["x"] * 1000, [None], [[TUNED]], {"a": TUNED}, TUNED, 3):
        answer = ana.http.post(f"{API}/queue/join", json=ana.body(handler, ana.values(handler, any_tuned=wrong)))
        refused(answer, 422)
    metric = ana.values(handler, any_tuned=[TUNED], any_metric="evaluate:/etc/passwd")
    refused(ana.http.post(f"{API}/queue/join", json=ana.body(handler, metric)), 422)
    assert not server.asked


def test_what_an_operator_named_is_offered_and_a_private_address_asked_by_nobody(
    ana: Stranger, server: Server
) -> None:
    choices = [value for _, value in ana.component("any-base")["props"]["choices"]]
    assert choices[-2:] == [f"{server.url}#tiny", "some/model"]
    messages = compared(ana, any_tuned=[f"{server.url}#tiny"])
    assert "private network" in str(messages[-1]) and not server.asked
    use = ana.handler("use_others", "other-left")
    messages = ana.queued(use, ana.values(use, other_left=BASE, other_right=f"{server.url}#tiny"))
    key = next(value for value in _texts(messages) if value.startswith("two:"))
    write = ana.handler("write", "box")
    messages = ana.queued(write, ana.values(write, box="Hello.", model=key))
    assert "private network" in said(messages) and not server.asked


def test_two_models_that_ship_are_compared_and_their_files_are_of_who_asked(
    app: tuple[str, Path], ana: Stranger
) -> None:
    messages = compared(ana)
    assert "How the first row is asked" in str(messages)
    drawn = str(messages[-1])
    assert "on 6 reviews" in drawn and not any(secret in drawn for secret in SECRETS)
    files = paths_in(messages[-1])
    assert {Path(path).name for path in files} == set(FILES)
    with Stranger(app[0]) as bea:
        for path in files:
            answer = ana.http.get(f"{API}/file={path}")
            assert answer.status_code == 200 and not any(secret in answer.text for secret in SECRETS), path
            refused(bea.http.get(f"{API}/file={path}"), 403)


def test_two_models_of_the_page_chat_and_a_key_of_ones_own_making_does_not(ana: Stranger) -> None:
    use, write = ana.handler("use_others", "other-left"), ana.handler("write", "box")
    made = 'two:["/etc", "bundled:sentiment-smollm2-lora"]'
    answer = ana.http.post(f"{API}/queue/join", json=ana.body(write, ana.values(write, box="Hello.", model=made)))
    refused(answer, 422)
    messages = ana.queued(use, ana.values(use, other_left=BASE, other_right=TUNED))
    key = next(value for value in _texts(messages) if value.startswith("two:"))
    messages = ana.queued(write, ana.values(write, box="Hello.", model=key))
    assert messages[-1]["success"] and "Left" in str(messages)
    assert not any(secret in str(messages) for secret in SECRETS)


def test_a_wrong_list_of_models_is_said_before_anybody_is_let_in(tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match="neither on the Hub nor a server"),
        public_app(tmp_path, **{ALLOW_MODEL: "/srv/models/mine"}),
    ):
        pass


def test_a_page_that_nobody_allowed_anything_offers_what_ships(tmp_path: Path, tiny_bundled: Path) -> None:
    with public_app(tmp_path, BEFORE_AFTER_BUNDLED=str(tiny_bundled)) as (url, _), Stranger(url) as bea:
        for name in ("any-base", "any-tuned", "other-left", "other-right"):
            shown = bea.component(name)["props"]
            assert {value for _, value in shown["choices"]} == {BASE, TUNED} and not shown["allow_custom_value"]
        assert httpx.get(f"{url}/health").status_code == 200


def _texts(value: object) -> list[str]:
    """Every text in an answer."""
    if isinstance(value, dict):
        return [text for each in value.values() for text in _texts(each)]
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]
    return [value] if isinstance(value, str) else []
