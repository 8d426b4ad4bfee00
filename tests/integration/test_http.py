"""Strangers that speak HTTP to the public app: what they send is refused or harmless, and leaves no traceback."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from finetuning.processes import process_started
from finetuning.recipe import load_recipe
from finetuning.runs.folder import Run, create_run
from tests.integration.stranger import Stranger, public_app
from ui.api.publish import API_PAGE
from ui.drawing.text import NOT_ANSWERED
from ui.server.door import COOKIE, SECURE_COOKIE

ROOT = Path(__file__).resolve().parents[2]
API = "/gradio_api"
SECRETS = [str(ROOT), "site-packages", "Traceback", str(Path.home())]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, tiny_bundled: Path) -> Iterator[tuple[str, Path]]:
    """Its adapters answer at once: what is asked here is what the app lets in, not what a model says."""
    folder = tmp_path_factory.mktemp("http")
    with public_app(folder, BEFORE_AFTER_BUNDLED=str(tiny_bundled)) as (url, log):
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
    "origin",
    ["http://evil.example", "null", "http://localhost:1", "https://127.0.0.1:1", "x", "http://[", "http://a]"],
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
    assert given.startswith(f"{COOKIE}=") and "Secure" not in given
    policy = answer.headers["content-security-policy"]
    assert "http" not in policy, "no other host is needed"
    over_https = {"x-forwarded-proto": "https"}
    across = httpx.get(app[0], headers=over_https).headers["set-cookie"]
    assert across.startswith(f"{SECURE_COOKIE}=")
    assert "SameSite=None; Secure; Partitioned" in across and "Path=/;" in across and "Domain" not in across
    # A name that a neighbouring host could have set is not taken for who somebody is.
    planted = httpx.get(app[0], headers=over_https | {"cookie": f"{COOKIE}={'a' * 43}"})
    assert planted.headers["set-cookie"].startswith(f"{SECURE_COOKIE}=")
    known = httpx.get(app[0], headers=over_https | {"cookie": across.partition(";")[0]})
    assert "set-cookie" not in known.headers


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
    start = bea.handler("start_run", "train-file")
    for name, wrong in {
        "train_source": ["file:/etc/passwd", 3, ["file"], "corpus:/etc/passwd", "hub"],
        "train_file": ["/etc/passwd", bea.file("/etc/passwd"), {"path": "http://127.0.0.1:9/"}, [1], True],
        "train_base": ["/etc", "../..", "NousResearch/Llama-2-7b-hf", {"path": "/etc/passwd"}],
        "train_rank": ["8", True, [8], 1e300, {}],
        "train_labels": [3, ["a"], "x" * 300_000],
        "train_recipe": ["../recipes/x", "/etc/passwd", 1],
    }.items():
        for value in wrong:
            answer = bea.http.post(f"{API}/queue/join", json=bea.body(start, bea.values(start, **{name: value})))
            refused(answer, 403, 422)
    for name, wrong in {
        "train_from": ["nowhere", 1],
        "train_what": ["prefix", "../tasks/x", 1, ["chat"]],
        "train_instruction": [3, ["a"], "x" * 300_000, "\0"],
        "train_strategy": ["full/..", 1],
    }.items():
        for value in wrong:
            values = bea.values(start, **{"train_from": "own", name: value})
            answer = bea.http.post(f"{API}/queue/join", json=bea.body(start, values))
            refused(answer, 403, 422)


def test_an_instruction_of_a_stranger_is_text_with_a_limit(bea: Stranger) -> None:
    rows = "".join(
        f"number {number} is {'fine' if number % 2 else 'broken'},t{number % 3}\n" for number in range(60)
    )
    [path] = bea.upload("own.csv", f"text,label\n{rows}".encode()).json()
    start = bea.handler("start_run", "train-file")
    chosen = {"train_from": "own", "train_source": "file", "train_file": bea.file(path)}
    chosen["train_instruction"] = "<script>" * 600
    messages = bea.queued(start, bea.values(start, **chosen))
    assert "more than 4,000 characters" in said(messages)
    shows = bea.handler("show_data", "train-file")
    drawn = bea.queued(shows, bea.values(shows, **chosen | {"train_instruction": "<b>Which?</b>"}))
    assert "3 labels" in str(drawn[-1]) and "<b>Which" not in str(drawn[-1])


WRONG = (
    None, "", True, False, 0, -1, 0.5, 1e300, 10**400, "x", "0", "\0", "\ud800", "../../etc/passwd", "x" * 300_000,
    [], [None], ["x"] * 10_000, {}, {"path": "/etc/passwd"}, [[[[]]]],
)  # fmt: skip


@pytest.fixture(scope="module")
def cleo(app: tuple[str, Path]) -> Iterator[Stranger]:
    """Somebody who tries everything."""
    with Stranger(app[0], timeout_s=600) as visitor:
        yield visitor


CLOSURES = {"answer_example", "turn", "vote", "start"}
"""What is called so does something else at each button, given the same."""


def distinct(handlers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One handler of each function and what it is given: many a component has the same one."""
    found = {}
    for handler in handlers:
        name = re.sub(r"_\d+$", "", handler["api_name"])
        number = handler["id"] if name in CLOSURES else None
        found.setdefault((name, number, handler["queue"], *handler["inputs"]), handler)
    return list(found.values())


def test_no_value_of_any_component_breaks_any_handler(cleo: Stranger) -> None:
    """Every value that a component cannot have, once for each of the page; and nothing at all in every handler."""
    sent, broken, tried = 0, [], set()
    states = {each["id"] for each in cleo.config["components"] if each["type"] == "state"}
    endpoints = set(cleo.config["page"][API_PAGE]["dependencies"])
    assert len(endpoints) >= 7
    for handler in distinct(cleo.config["dependencies"]):
        right = cleo.values(handler)
        for place, number in enumerate(handler["inputs"]):
            if number in states:
                continue
            for wrong in WRONG[:2] if number in tried else WRONG:
                body = cleo.body(handler, [*right[:place], wrong, *right[place + 1 :]])
                answer = cleo.http.post(f"{API}/run/predict", content=json.dumps(body))
                sent += 1
                # What an endpoint of the API cannot do is an error of Gradio's, with a sentence.
                is_said = handler["id"] in endpoints and NOT_ANSWERED not in answer.text
                failed = answer.status_code >= 500 and not (is_said and answer.json()["error"])
                if failed or any(secret in answer.text for secret in SECRETS):
                    broken.append((handler["api_name"], place, repr(wrong)[:40], answer.text[:200]))
            tried.add(number)
    assert not broken, broken[:20]
    assert sent > 1000


def test_empty_and_senseless_fields_are_answered_by_every_queued_handler(cleo: Stranger) -> None:
    """What the door lets through: nothing where a field may be empty, and nonsense where it takes any text."""
    types = {each["id"]: each["type"] for each in cleo.config["components"]}
    queued = distinct([handler for handler in cleo.config["dependencies"] if handler["queue"] is not False])
    assert len(queued) > 30
    for handler in queued:
        right = cleo.values(handler)
        of_type = [types[number] for number in handler["inputs"]]
        empty = [
            value if kind in ("radio", "checkbox", "slider") else None
            for kind, value in zip(of_type, right, strict=True)
        ]
        senseless = {"textbox": "x", "number": -1.5}
        odd = [senseless.get(kind, value) for kind, value in zip(of_type, right, strict=True)]
        for data in (empty, odd):
            last = cleo.queued(handler, data)[-1]
            assert last["msg"] == "process_completed" and last["success"], (handler["api_name"], last)


def test_not_a_number_is_refused(bea: Stranger) -> None:
    start = bea.handler("show_estimate", "train-estimate")
    for written in ("NaN", "Infinity", "-Infinity", "1e999"):
        body = json.dumps(bea.body(start, bea.values(start, train_rank=12345))).replace("12345", written)
        refused(bea.http.post(f"{API}/queue/join", content=body), 400, 422)


def test_files_elsewhere_are_not_fetched_by_any_component(bea: Stranger) -> None:
    """In each component that a handler reads; all else of the call is what the page would send."""
    states = {each["id"] for each in bea.config["components"] if each["type"] == "state"}
    read = {
        number: (handler, place)
        for handler in bea.config["dependencies"]
        for place, number in enumerate(handler["inputs"])
        if handler["backend_fn"] and number not in states
    }
    files = {each["id"] for each in bea.config["components"] if each["type"] == "file"}
    assert len(files & set(read)) == 5
    for number, (handler, place) in read.items():
        right = bea.values(handler)
        for path in ("http://127.0.0.1:9/x.csv", "https://example.org/x.csv", "/etc/passwd", "../x.csv", ""):
            data = [*right[:place], bea.file(path) | {"url": path}, *right[place + 1 :]]
            answer = bea.http.post(f"{API}/queue/join", json=bea.body(handler, data))
            refused(answer, 403 if number in files else 422)


def test_an_upload_is_of_who_uploaded_it(ana: Stranger, bea: Stranger) -> None:
    [path] = ana.upload("reviews.csv", b"text,label\ngood,positive\nbad,negative\n").json()
    show = ana.handler("_show_columns", "evaluate-sentiment-file")
    assert "text" in ana.call(show, [ana.file(path)]).text
    refused(bea.call(show, [bea.file(path)]), 403)
    refused(bea.http.get(f"{API}/file={path}"), 403)
    assert ana.http.get(f"{API}/file={path}", headers={"range": "bytes=1-2-3"}).status_code == 200
    refused(ana.call(show, [ana.file(path + "/../../x")]), 403)
    refused(ana.call(show, [ana.file(path) | {"is_stream": True}]), 403)


def spellings(path: str) -> list[str]:
    """Other ways to write an address that a web server, a file system or Gradio may take for `path`."""
    folder, name = path.rsplit("/", 1)
    parent, last = folder.rsplit("/", 1)
    quoted = path.replace(".", "%2e")
    written = [
        path + "/", path + "//", path + "/.", path + "%2f", path + "/%2e", path + "%00", path + "%20", path + ".",
        path + "%0a", path + "?x=1", path + ";a", path + "\\", path + "/../" + name, path + "/x/..",
        "/" + path, "//" + path, path[1:], "./" + path, "%2f" + path, "file://" + path, "file:" + path, "~" + path,
        f"{parent}//{last}/{name}", f"{parent}/./{last}/{name}", f"{parent}/{last}/./{name}",
        f"{parent}/{last}/../{last}/{name}", f"{folder}//{name}", f"{folder}///{name}", f"{folder}%2f%2f{name}",
        f"{folder}/%2e/{name}", f"{parent}/%2e%2e/gradio/{last}/{name}", f"{folder}%252f{name}",
        f"{folder}%5c{name}",
        "/proc/self/root" + path, "/proc/self/cwd/../../../../../../" + path, f"/dev/fd/../..{path}",
        path.replace("/gradio/", "/GRADIO/"), path.upper(), folder + "/" + name.upper(), quoted,
        folder + "/" + name.replace("r", "%C5%95"), f"{folder}/%e2%80%8b{name}", folder + "%ef%bc%8f" + name,
        path.replace("/", "%2f"), path.replace("/", "%2F%2F"),
    ]  # fmt: skip
    return [path, *written]


def test_no_spelling_of_its_path_opens_somebody_elses_file(
    app: tuple[str, Path], ana: Stranger, bea: Stranger, run_of_ana: Run
) -> None:
    secret = b"text,label\na secret of Ana's,positive\n"
    [upload] = ana.upload("review.csv", secret).json()
    shutil.copytree(ROOT / "models" / "bundled" / "sentiment-smollm2-lora" / "eval", run_of_ana.evaluation)
    drawn = ana.queued(ana.handler("open", "runs-state"), event_data={"run": run_of_ana.id})
    report = next(path for path in paths_in(drawn) if path.endswith("report.json"))
    for path, holds in ((upload, "a secret of Ana"), (report, "adapter_sha256")):
        assert holds in ana.http.get(f"{API}/file={path}").text
        for written in spellings(path):
            for kind in ("file=", "file/", "file=/"):
                request = bea.http.build_request("GET", "/")
                request.url = request.url.copy_with(raw_path=f"{API}/{kind}{written}".encode())
                answer = bea.http.send(request)
                assert answer.status_code >= 400 and holds not in answer.text, written


def test_what_lies_there_since_before_a_restart_is_nobodys(bea: Stranger) -> None:
    [path] = bea.upload("review.csv", b"text,label\nmine,positive\n").json()
    older = Path(path).parent / "older.csv"  # as an app before this one left it
    older.write_text("text,label\nsomebody else's,positive\n")
    try:
        refused(bea.http.get(f"{API}/file={older}"), 403)
        show = bea.handler("_show_columns", "evaluate-sentiment-file")
        refused(bea.call(show, [bea.file(str(older))]), 403)
    finally:
        older.unlink()


def paths_in(value: object) -> list[str]:
    """Every file that an answer names."""
    if isinstance(value, dict):
        inner = [path for each in value.values() for path in paths_in(each)]
        return [value["path"], *inner] if isinstance(value.get("path"), str) else inner
    return [path for each in value for path in paths_in(each)] if isinstance(value, list) else []


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
    assert "cancelled" in str(ana.queued(opens, **click)[-1])
    messages = bea.queued(opens, **click)
    assert "no such run" in said(messages) and "cancelled" not in str(messages)
    assert run_of_ana.id not in str(messages[-1])
    table = ana.handler("look", "runs-table")
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
        messages = bea.queued(opens, event_data={"run": wrong})
        assert "no such run" in said(messages) and messages[-1]["success"]
        assert not any(secret in str(messages) for secret in SECRETS) and run_of_ana.id not in str(messages[-1])
    for event_data in (None, [], "text", 3, {"run": run_of_ana.id, "more": {"deep": 1}}):
        assert run_of_ana.id not in str(bea.queued(opens, event_data=event_data)[-1])


def test_nobody_acts_on_the_run_of_another(ana: Stranger, bea: Stranger, run_of_ana: Run) -> None:
    before = run_of_ana.status()
    for name in ("throw_away", "rename", "cancel", "resume"):
        act = bea.handler(name, "runs-run")
        messages = bea.queued(act, bea.values(act, runs_run=run_of_ana.id))
        assert "no such run" in said(messages), name  # said on the page, too: a toast comes by the queue alone
    assert run_of_ana.status() == before and not run_of_ana.cancel_requested()
    ana.open_page()
    polls = {visitor: visitor.handler("look", "runs-run") for visitor in (ana, bea)}
    drawn = {
        visitor: visitor.call(poll, visitor.values(poll, runs_run=run_of_ana.id)) for visitor, poll in polls.items()
    }
    assert run_of_ana.id in drawn[ana].text and run_of_ana.id not in drawn[bea].text
    refused(bea.call(bea.handler("look", "runs-run"), session_hash=ana.session), 403)
    refused(bea.http.get(f"{API}/queue/data", params={"session_hash": ana.session}), 403)
    refused(bea.http.get(f"{API}/heartbeat/{ana.session}"), 403)
    refused(bea.http.post(f"{API}/cancel", json={"session_hash": ana.session, "fn_index": 0, "event_id": "x"}), 403)
    write = bea.handler("write", "box")
    messages = bea.queued(write, bea.values(write, box="Hello"))  # a choice that the page has not
    assert any(message["msg"] in ("process_completed", "process_generating") for message in messages)


def said(messages: list[dict[str, object]]) -> str:
    return " ".join(str(message.get("log", "")) for message in messages)


def test_limits_are_kept_in_the_handlers(bea: Stranger) -> None:
    start = bea.handler("start_run", "train-file")
    for name, value, says in (
        ("train_rank", 64, "“Rank” is 64, at most 32"),
        ("train_batch_size", 512, "“Batch size” is 512, at most 32"),
        ("train_max_tokens", 8192, "“Tokens a row” is 8,192, at most 1,024"),
        ("train_test_rows", "5000", "“Test rows” is 5,000, at most 200"),
        ("train_test_rows", "0", "“Test rows” is a whole number from 1"),
        ("train_epochs", 100, "training steps, and this public page allows 1,000"),
    ):
        messages = bea.queued(start, bea.values(start, **{name: value}))
        assert says in said(messages)


def test_a_large_file_and_a_second_run_are_refused(app: tuple[str, Path], bea: Stranger) -> None:
    rows = "".join(
        f"an example number {number},{'positive' if number % 2 else 'negative'}\n" for number in range(2500)
    )
    [path] = bea.upload("many.csv", f"text,label\n{rows}".encode()).json()
    start = bea.handler("start_run", "train-file")
    chosen = {"train_source": "file", "train_file": bea.file(path)}
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


def test_a_page_that_was_open_before_a_restart_still_follows_its_run(tmp_path: Path) -> None:
    with public_app(tmp_path) as (url, log), Stranger(url) as before:
        cookie, session = before.cookie, before.session
        run = run_in_state((url, log), before.owner, state="cancelled", ended=time.time())
    with public_app(tmp_path) as (url, log), Stranger(url) as after:
        after.http.cookies.clear()
        after.http.headers["cookie"], after.session = f"{COOKIE}={cookie}", session
        poll = after.handler("look", "train-run")
        drawn = after.call(poll, after.values(poll, train_run=run.id)).text
        assert run.id in drawn and "cancelled" in drawn
        shutil.rmtree(run.folder)
        assert "is gone" in after.call(poll, after.values(poll, train_run=run.id)).text


def test_a_space_is_opened_by_each_of_its_names_and_framed_by_the_hub_alone(tmp_path: Path) -> None:
    names = {"SPACE_HOST": "ana-tune.hf.space,tune.example.org", "BEFORE_AFTER_ALLOW_HOST": "other.example.org"}
    with public_app(tmp_path, "--host", "127.0.0.1", SPACE_ID="ana/tune", **names) as (url, _):
        for name in ("ana-tune.hf.space", "tune.example.org", "other.example.org", "127.0.0.1"):
            answer = httpx.get(url, headers={"host": name})
            assert answer.status_code == 200, name
        policy = answer.headers["content-security-policy"]
        assert policy.endswith("frame-ancestors 'self' https://huggingface.co")
        for name in ("ana-tune.hf.space,tune.example.org", "evil.hf.space", "hf.space"):
            assert httpx.get(url, headers={"host": name}).status_code == 421
        proxied = httpx.get(url, headers={"x-forwarded-host": "tune.example.org, ana-tune.hf.space"})
        assert proxied.status_code == 200


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
