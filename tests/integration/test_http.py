"""Strangers that speak HTTP to the public app: what they send is refused or harmless, and leaves no traceback."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from finetuning.processes import process_started
from finetuning.recipe import load_recipe
from finetuning.runs import Run, create_run
from tests.integration.stranger import Stranger, public_app

ROOT = Path(__file__).resolve().parents[2]
API = "/gradio_api"
SECRETS = [str(ROOT), "site-packages", "Traceback", str(Path.home())]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("http")
    with public_app(folder) as (url, log):
        yield url, log


@pytest.fixture(scope="module")
def ana(app: tuple[str, Path]) -> Iterator[Stranger]:
    with Stranger(app[0]) as visitor:
        yield visitor


@pytest.fixture(scope="module")
def bea(app: tuple[str, Path]) -> Iterator[Stranger]:
    with Stranger(app[0]) as visitor:
        yield visitor


@pytest.fixture(autouse=True)
def nothing_breaks(app: tuple[str, Path]) -> Iterator[None]:
    """After each test: no traceback in the app's log, and the app is up."""
    yield
    url, log = app
    assert "Traceback" not in log.read_text(errors="replace")
    assert httpx.get(f"{url}/health").status_code == 200


def refused(response: httpx.Response, *statuses: int) -> None:
    """With one of these statuses, and without a word about the server."""
    assert response.status_code in (statuses or (400, 403, 404, 405, 413, 421, 422)), response.text[:300]
    assert not any(secret in response.text for secret in SECRETS), response.text[:500]


@pytest.mark.parametrize(
    "path",
    [
        f"{API}/file=/etc/passwd",
        f"{API}/file=../../etc/passwd",
        f"{API}/file=%2e%2e/%2e%2e/etc/passwd",
        f"{API}/file={ROOT}/app.py",
        f"{API}/file={ROOT}/models/bundled/../../app.py",
        f"{API}/file=http://127.0.0.1:9/secret",
        f"{API}/file=https://example.org/",
        f"{API}/file=file:///etc/passwd",
        f"{API}/file=/proc/self/environ",
        f"{API}/file=%00/etc/passwd",
        f"{API}/file=",
        f"{API}/file/etc/passwd",
        f"{API}/proxy=http://169.254.169.254/latest/meta-data",
        f"{API}/proxy=https://example.hf.space/",
        f"{API}/stream/abcdefgh/1/2/playlist.m3u8",
        f"{API}/stream/abcdefgh/1/2/..%2f..%2fetc.mp3",
        f"{API}/custom_component/1/server/component/style.css",
        f"{API}/dev/reload",
        f"{API}/token",
        f"{API}/openapi.json",
        f"{API}/mcp/sse",
        f"{API}/runs",
        f"{API}/deep_link?session_hash=abcdefgh",
        f"{API}/profiling/summary",
        f"{API}/queue/status",
        f"{API}/queue/data",
        f"{API}/queue/data?session_hash=../../x",
        f"{API}/queue/data?session_hash=" + "a" * 5000,
        f"{API}/heartbeat/..%2f..",
        f"{API}/call/open/abc",
        f"{API}/vibe-code/",
        "/static/../../../../etc/passwd",
        "/static/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/static/..%2f..%2f..%2fetc%2fpasswd",
        "/assets/..%5c..%5cwindows",
        "/assets/%2fetc%2fpasswd",
        "/svelte/../../app.py",
        "/static/nothing",
        "/monitoring",
        "/monitoring/summary",
        "/monitoring/guess",
        "/docs",
        "/redoc",
        "/pwa_icon/100000",
        "/custom/page",
        "/runs/sentiment",
        "/.git/config",
    ],
)
def test_an_address_that_the_page_does_not_use_is_refused(bea: Stranger, path: str) -> None:
    # As it is written: httpx would make `..` disappear.
    request = bea.http.build_request("GET", "/")
    request.url = request.url.copy_with(raw_path=path.encode())
    refused(bea.http.send(request))


def test_other_methods_are_refused(bea: Stranger) -> None:
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        refused(bea.http.request(method, "/"))
    for address in ("proxy=http://127.0.0.1/", "component_server", "process_recording", "vibe-edit", "stream/abc"):
        refused(bea.http.post(f"{API}/{address}", json={}), 404)


def test_links_with_names_of_files_open_the_plain_page(bea: Stranger) -> None:
    assert bea.http.get("/?deep_link=../../etc&view=api&__theme=dark").status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "10.0.0.1", "[::2]"]
)
def test_another_name_is_refused(bea: Stranger, host: str) -> None:
    refused(bea.http.get("/", headers={"host": host}), 421)
    refused(bea.http.get("/", headers={"x-forwarded-host": host}), 421)


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:1", "https://127.0.0.1:1", "x"]
)
def test_another_sites_page_is_refused(bea: Stranger, origin: str) -> None:
    for path in ("queue/join", "upload", "run/predict", "cancel"):
        refused(bea.http.post(f"{API}/{path}", headers={"origin": origin}, json={}), 403)
    answer = bea.http.get("/config", headers={"origin": origin})
    refused(answer, 403)


def test_the_page_itself_is_let_in_with_headers_that_hold_it_together(app: tuple[str, Path], bea: Stranger) -> None:
    answer = bea.http.get("/", headers={"origin": app[0]})
    assert answer.status_code == 200
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]
    given = httpx.get(app[0]).headers["set-cookie"]
    assert "HttpOnly" in given and "SameSite=Lax" in given
    across = httpx.get(app[0], headers={"x-forwarded-proto": "https"}).headers["set-cookie"]
    assert "SameSite=None; Secure; Partitioned" in across


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"data": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"fn_index": 0}',
        b'{"fn_index": 0, "session_hash": "abcdefgh"}',
        b'{"fn_index": 99999, "session_hash": "abcdefgh", "data": []}',
        b'{"fn_index": -1, "session_hash": "abcdefgh", "data": []}',
        b'{"fn_index": "0", "session_hash": "abcdefgh", "data": []}',
        b'{"fn_index": true, "session_hash": "abcdefgh", "data": []}',
        b'{"fn_index": 1e99, "session_hash": "abcdefgh", "data": []}',
        b'{"fn_index": {}, "session_hash": "abcdefgh", "data": []}',
        b'{"fn_index": 1, "session_hash": "abcdefgh", "data": {}}',
        b'{"fn_index": 1, "session_hash": "abcdefgh", "data": [1]}',
        b'{"fn_index": 1, "session_hash": "abcdefgh", "data": [1,2,3,4,5,6,7,8,9]}',
        b'{"fn_index": 1, "session_hash": "../../etc", "data": ["a", null, null]}',
        b'{"fn_index": 1, "session_hash": 7, "data": ["a", null, null]}',
        b'{"fn_index": 1, "session_hash": "abcdefgh", "data": [{"a": 1}, null, null]}',
        b'{"fn_index": 1, "session_hash": "abcdefgh", "data": [NaN, null, null]}',
        b'{"fn_index": 1, "session_hash": "abcdefgh", "data": ["a", "run:../../etc", null]}',
        b'{"fn_index": 1, "session_hash": "abcdefgh", "data": ["a", ["bundled:x"], null]}',
        b'{"fn_index": 1, "session_hash": "abcdefgh", "data": ["%s", null, null]}' % (b"a" * 300_000),
        b'{"data": ["' + b"a" * 2_000_000 + b'"]}',
    ],
    ids=lambda body: body[:60].decode(errors="replace"),
)
def test_a_call_that_the_page_would_not_make_is_refused(bea: Stranger, body: bytes) -> None:
    for path in ("queue/join", "run/predict", "run/open"):
        refused(bea.http.post(f"{API}/{path}", content=body, headers={"content-type": "application/json"}))
    refused(bea.http.post(f"{API}/cancel", content=body))


def test_values_of_the_wrong_type_are_refused_for_every_component(bea: Stranger) -> None:
    start = bea.handler("start_run", "sentiment-file")
    for name, wrong in {
        "sentiment_source": ["file:/etc/passwd", 3, ["file"], "corpus:/etc/passwd", "hub"],
        "sentiment_file": ["/etc/passwd", bea.file("/etc/passwd"), {"path": "http://127.0.0.1:9/"}, [1], True],
        "sentiment_base": ["/etc", "../..", "NousResearch/Llama-2-7b-hf", {"path": "/etc/passwd"}],
        "sentiment_rank": ["8", True, [8], 1e300, {}],
        "sentiment_labels": [3, ["a"], "x" * 300_000],
        "sentiment_recipe": ["../recipes/x", "/etc/passwd", 1],
    }.items():
        for value in wrong:
            answer = bea.http.post(f"{API}/queue/join", json=bea.body(start, bea.values(start, **{name: value})))
            refused(answer, 403, 422)


def test_files_elsewhere_are_not_fetched_by_any_component(bea: Stranger) -> None:
    for path in ("http://127.0.0.1:9/x.csv", "https://example.org/x.csv", "/etc/passwd", "../x.csv", ""):
        value = bea.file(path) | {"url": path}
        for handler in (bea.handler("_show_columns", "evaluate-sentiment-file"), bea.handler("forget", "past")):
            refused(bea.call(handler, [value] * max(1, len(handler["inputs"]))))


def test_an_upload_is_of_who_uploaded_it(ana: Stranger, bea: Stranger) -> None:
    [path] = ana.upload("reviews.csv", b"text,label\ngood,positive\nbad,negative\n").json()
    show = ana.handler("_show_columns", "evaluate-sentiment-file")
    assert "text" in ana.call(show, [ana.file(path)]).text
    refused(bea.call(show, [bea.file(path)]), 403)
    refused(bea.http.get(f"{API}/file={path}"), 403)
    assert ana.http.get(f"{API}/file={path}", headers={"range": "bytes=1-2-3"}).status_code == 200
    refused(ana.call(show, [ana.file(path + "/../../x")]), 403)
    refused(ana.call(show, [ana.file(path) | {"is_stream": True}]), 403)


def test_an_upload_needs_a_cookie_a_form_and_a_size(app: tuple[str, Path], bea: Stranger) -> None:
    with Stranger(app[0], cookie=False) as nobody:
        refused(nobody.upload("a.csv", b"a"), 403)
    refused(bea.http.post(f"{API}/upload", content=b"text"), 400)
    refused(bea.upload("large.csv", b"a" * 11_000_000), 413)
    [path] = bea.upload("../../../../tmp/évil\u202e.csv", b"text,label\n").json()
    assert ".." not in path and Path(path).parent.parent.name == "gradio"


def test_only_the_last_uploads_are_kept(bea: Stranger) -> None:
    paths = [bea.upload(f"{number}.csv", f"{number}".encode()).json()[0] for number in range(7)]
    assert [Path(path).exists() for path in paths] == [False, False, True, True, True, True, True]


def run_in_state(app: tuple[str, Path], owner: str, **status: Any) -> Run:
    """A run that was never queued where the app looks, which would start it."""
    runs = app[1].parent / "runs"
    run = create_run(load_recipe("sentiment-smollm2-lora"), runs.parent / "made", owner=owner)
    run.update(**status)
    runs.mkdir(exist_ok=True)
    return Run(run.folder.rename(runs / run.id))


@pytest.fixture(scope="module")
def run_of_ana(app: tuple[str, Path], ana: Stranger) -> Run:
    return run_in_state(app, ana.owner, state="cancelled", ended=time.time())


def test_a_run_is_seen_by_its_owner_alone(
    app: tuple[str, Path], ana: Stranger, bea: Stranger, run_of_ana: Run
) -> None:
    click = {"event_data": {"run": run_of_ana.id}}
    opens = ana.handler("open", "runs-state")
    assert "cancelled" in ana.call(opens, **click).text
    answer = bea.call(opens, **click)
    assert "cancelled" not in answer.text and "/" not in answer.json()["data"]
    table = ana.handler("refresh", "runs-table")
    assert run_of_ana.id[-20:] in ana.call(table).text
    assert run_of_ana.id[-20:] not in bea.call(table).text
    with Stranger(app[0]) as again:
        again.http.cookies = ana.http.cookies  # the same browser, another page
        assert run_of_ana.id[-20:] in again.call(table).text


def test_no_id_leads_out_of_the_runs_folder(bea: Stranger, run_of_ana: Run) -> None:
    opens = bea.handler("open", "runs-state")
    for wrong in (
        "../../etc",
        "/etc/passwd",
        "",
        "x" * 10_000,
        f"../runs/{run_of_ana.id}",
        "a\x00b",
        {"a": 1},
        None,
        3,
    ):
        answer = bea.call(opens, event_data={"run": wrong})
        assert answer.status_code == 200
        assert not any(secret in answer.text for secret in [*SECRETS, run_of_ana.id])
    for event_data in (None, [], "text", 3, {"run": run_of_ana.id, "more": {"deep": 1}}):
        assert run_of_ana.id not in bea.call(opens, event_data=event_data).text


def test_nobody_acts_on_the_run_of_another(ana: Stranger, bea: Stranger, run_of_ana: Run) -> None:
    for name, touches in (("delete_run", "runs-detail"), ("poll", "runs-state")):
        bea.call(bea.handler(name, touches), event_data={"run": run_of_ana.id})
    assert run_of_ana.folder.is_dir()
    refused(bea.call(bea.handler("poll", "runs-state"), session_hash=ana.session), 403)
    refused(bea.http.get(f"{API}/queue/data", params={"session_hash": ana.session}), 403)
    refused(bea.http.get(f"{API}/heartbeat/{ana.session}"), 403)
    refused(bea.http.post(f"{API}/cancel", json={"session_hash": ana.session, "fn_index": 0, "event_id": "x"}), 403)
    write = bea.handler("write", "box")
    messages = bea.queued(write, bea.values(write, box="Hello"))  # a choice that the page has not
    assert any(message["msg"] in ("process_completed", "process_generating") for message in messages)


def said(messages: list[dict[str, object]]) -> str:
    return " ".join(str(message.get("log", "")) for message in messages)


def test_limits_are_kept_in_the_handlers(bea: Stranger) -> None:
    start = bea.handler("start_run", "sentiment-file")
    for name, value, says in (
        ("sentiment_rank", 64, "lora.rank is 64, at most 16"),
        ("sentiment_batch_size", 512, "training.batch_size is 512, at most 32"),
        ("sentiment_max_tokens", 8192, "training.max_tokens is 8,192, at most 1,024"),
        ("sentiment_test_rows", 5000, "data.test_rows is 5,000, at most 200"),
        ("sentiment_epochs", 100, "training steps, and this public page allows 1,000"),
    ):
        messages = bea.queued(start, bea.values(start, **{name: value}))
        assert says in said(messages)


def test_a_large_file_and_a_second_run_are_refused(app: tuple[str, Path], bea: Stranger) -> None:
    rows = "".join(
        f"an example number {number},{'positive' if number % 2 else 'negative'}\n" for number in range(2500)
    )
    [path] = bea.upload("many.csv", f"text,label\n{rows}".encode()).json()
    start = bea.handler("start_run", "sentiment-file")
    chosen = {"sentiment_source": "file", "sentiment_file": bea.file(path)}
    assert "2,500 rows, and this public page takes 2,000" in said(bea.queued(start, bea.values(start, **chosen)))
    me = os.getpid()
    mine = run_in_state(
        app, bea.owner, state="running", pid=me, pid_started=process_started(me), started=time.time()
    )
    before = set(mine.folder.parent.glob("sentiment-*"))
    try:
        assert "You have a run that is not over" in said(bea.queued(start, bea.values(start)))
        assert set(mine.folder.parent.glob("sentiment-*")) == before
    finally:
        shutil.rmtree(mine.folder)


def test_a_login_is_asked_for_and_never_shown(tmp_path: Path) -> None:
    with public_app(tmp_path, "--login", BEFORE_AFTER_LOGIN="ana:correct horse,bea:s3cret") as (url, log):
        with httpx.Client(base_url=url) as http:
            assert http.get("/config").status_code == 401
            assert http.get("/health").status_code == 200
            assert '"auth_required":true' in http.get("/").text
            assert http.post("/login", data={"username": "ana", "password": "s3cret"}).status_code == 400
            assert http.post("/login", data={"username": "ana", "password": "correct horse"}).status_code == 200
            assert http.get("/config").status_code == 200
            assert http.get("/").status_code == 200
        assert "s3cret" not in log.read_text() and "horse" not in log.read_text()


def test_health_says_when_no_run_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where the folder should be")
    with public_app(tmp_path) as (url, _):
        answer = httpx.get(f"{url}/health")
        assert answer.status_code == 503 and answer.json()["up"] is False
        assert str(tmp_path) not in answer.text
        assert httpx.get(url).status_code == 200  # the page opens all the same
