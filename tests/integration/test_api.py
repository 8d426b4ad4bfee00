"""Programs that call the page by Gradio's own client, and assistants by that of the Model Context Protocol."""

from __future__ import annotations

import asyncio
import csv
import json
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from finetuning.runs.folder import open_run
from tests.browser.app_process import running_app
from tests.integration.stranger import public_app
from ui.api.publish import API_PAGE, ENDPOINTS
from ui.server.door import COOKIE
from ui.serving import parse

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
SENTIMENT = "bundled:sentiment-smollm2-lora"
NAMES = {f"/{each.__name__}" for each in ENDPOINTS}


def client_of(url: str, **more: Any) -> Client:
    return Client(url, verbose=False, analytics_enabled=False, **more)


def visitor(url: str) -> Client:
    """Somebody with a cookie of their own."""
    return client_of(url, httpx_kwargs={"cookies": {COOKIE: secrets.token_urlsafe(32)}})


@pytest.fixture(scope="module")
def own_app(tmp_path_factory: pytest.TempPathFactory, tiny_bundled: Path) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("api")
    log = folder / "app.log"
    with running_app(folder / "runs", log, "--mcp", BEFORE_AFTER_BUNDLED=str(tiny_bundled)) as url:
        yield url, folder
    assert "Traceback" not in log.read_text(errors="replace")


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory, tiny_bundled: Path, tiny_llama: Path) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("public-api")
    bases = f"base_models=HuggingFaceTB/SmolLM2-135M-Instruct+{tiny_llama}"
    with public_app(folder, "--mcp", "--limits", bases, BEFORE_AFTER_BUNDLED=str(tiny_bundled)) as (url, log):
        yield url
        assert "Traceback" not in log.read_text(errors="replace")


def test_the_api_is_the_named_endpoints_and_each_of_them_says_what_it_takes(own_app: tuple[str, Path]) -> None:
    client = client_of(own_app[0])
    info = client.view_api(return_format="dict", print_info=False)
    assert set(info["named_endpoints"]) == NAMES and not info["unnamed_endpoints"]
    for endpoint in info["named_endpoints"].values():
        assert endpoint["description"].endswith(".")
        for parameter in endpoint["parameters"]:
            assert parameter["label"] == parameter["parameter_name"] and parameter["python_type"]["description"]
    said = client.view_api(return_format="str", print_info=False)
    assert 'predict(message, model, against, reference, api_name="/compare") -> answer' in said


def test_a_page_that_is_opened_holds_nothing_of_the_api(own_app: tuple[str, Path]) -> None:
    html = httpx.get(own_app[0]).text
    found = re.search(r"window\.gradio_config = (\{.*?\});</script>", html, re.DOTALL)
    assert found
    config = json.loads(found[1])
    assert config["current_page"] == "" and len(config["dependencies"]) > 50
    assert [name for name, *_ in config["pages"]] == [""], "with more, Gradio draws a bar of pages"
    assert not NAMES & {f"/{each['api_name']}" for each in config["dependencies"]}
    assert "api" not in {each["type"] for each in config["components"]}
    assert httpx.get(f"{own_app[0]}/{API_PAGE}").status_code == 404


def test_what_the_documentation_shows_runs_as_it_stands(
    own_app: tuple[str, Path],
    tiny_llama: Path,
    reviews_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With another address, and with a tiny model and few rows to train, which no page could show."""
    monkeypatch.chdir(tmp_path)
    reviews = [json.loads(line) for line in reviews_file.read_text().splitlines()]
    with Path("reviews.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("review", "label"), *((row["text"], row["label"]) for row in reviews)])
    tiny = {"model.base": str(tiny_llama), "model.precision": "float32", "data.source": f"file:{reviews_file}"}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) >= 7
    code = (
        "\n".join(blocks)
        .replace("http://127.0.0.1:7860", own_app[0])
        .replace("settings = {", "settings = TINY | {")
    )
    names: dict[str, Any] = {"TINY": tiny}
    exec(compile(code, "docs/api.md", "exec"), names)
    assert names["judged"]["report"]["n"] == 20
    kept = names["client"].predict(names["judged"]["evaluation"], api_name="/run_status")
    assert kept["state"] == "finished" and kept["verdict"] == names["judged"]["verdict"]
    assert names["now"]["state"] == "finished" and names["now"]["model"] == f"run:{names['run']}"
    run = open_run(names["run"], own_app[1] / "runs")
    assert run.recipe().training.max_steps == 20 and run.recipe().model.base == str(tiny_llama)
    said = capsys.readouterr().out
    assert "positive" in said and "parameters train" in said and names["now"]["verdict"] in said
    taken = names["taken"]
    assert taken["state"] == "finished" and Path(f"{run.id}.zip").stat().st_size == taken["file"]["bytes"]
    assert names["takes"]["rows"]["train"] > 0 and names["takes"]["title"] == "Sentiment · LoRA"


def test_both_sides_are_what_the_page_shows_and_scored_where_the_answer_is_known(own_app: tuple[str, Path]) -> None:
    client = client_of(own_app[0])
    both = client.predict("The film was warm.", model=SENTIMENT, reference="positive", api_name="/compare")
    assert both["model"] == SENTIMENT and both["task"] == "sentiment"
    for name in ("before", "after"):
        side = both[name]
        assert sum(side["probabilities"].values()) == pytest.approx(1)
        assert side["answer"] == max(side["probabilities"], key=side["probabilities"].__getitem__)
        assert side["right"] == (side["answer"] == "positive")
    assert both["before"]["probabilities"] != both["after"]["probabilities"]
    words = client.predict(
        "Ana: Is it open?\nLeo: Until six.", "bundled:dialogue-smollm2-qlora", api_name="/compare"
    )
    assert {"text", "tokens", "whole"} <= set(words["after"]) and "probabilities" not in words["after"]
    other = client.predict("Hello", "bundled:dialogue-smollm2-qlora", against=SENTIMENT, api_name="/compare")
    assert other["before"]["name"] != other["after"]["name"]


def test_calls_of_one_client_do_not_stop_each_other(own_app: tuple[str, Path]) -> None:
    client = client_of(own_app[0])
    jobs = [client.submit(f"The film was {word}.", api_name="/compare") for word in ("warm", "cold", "dull")]
    assert [job.result()["message"][-5:-1] for job in jobs] == ["warm", "cold", "dull"]


REFUSED = [
    ("/compare", {"message": "  "}, "The message is empty"),
    ("/compare", {"message": "x" * 9000}, "9,000 characters"),
    ("/compare", {"message": "x", "model": "run:../../etc"}, "no such tuned model"),
    ("/compare", {"message": "x", "model": "/etc"}, "no such tuned model"),
    ("/compare", {"message": "x", "against": "/etc"}, "compares what was tuned here"),
    ("/evaluate", {"source": "file:/etc/passwd"}, "opens no file by its path"),
    ("/evaluate", {"source": "hub:a/b"}, "reads no data from elsewhere"),
    ("/evaluate", {"rows": 100_000}, "evaluates on up to 200 rows"),
    ("/estimate", {}, "Nothing says what to train"),
    ("/estimate", {"recipe": "../recipes/x"}, "no such recipe"),
    ("/estimate", {"recipe": "/etc/passwd.yaml"}, "no such recipe"),
    ("/start_run", {"source": "file:/etc/passwd"}, "opens no file by its path"),
    ("/run_status", {"run": "../../etc"}, "no such run"),
    ("/cancel_run", {"run": "last"}, "You have no run yet"),
]
SETTINGS = [
    ({"data.source": "file:/etc/passwd"}, "no such setting"),
    ({"data.test": "file:/etc/passwd"}, "no such setting"),
    ({"evaluation.source": "file:/etc/passwd"}, "no such setting"),
    ({"evaluation.context": "/etc/passwd"}, "no such setting"),
    ({"evaluation.metrics": ["evaluate:/etc"]}, "no such setting"),
    ({"model.adapter": "/etc"}, "no such setting"),
    ({"training.report_to": "trackio"}, "no such setting"),
    ({"way": "online"}, "no such setting"),
    ({"task": "dialogue"}, "no such setting"),
    ({"data": {"source": "file:/etc/passwd"}}, "no such setting"),
    ({"": 1}, "no such setting"),
    ({"model.base": "/etc"}, "only base models that it knows"),
    ({"strategy.rank": 64}, "strategy.rank is 64, at most 32"),
    ({"strategy": {"kind": "lora", "rank": 64}}, "strategy.rank is 64, at most 32"),
    ({"training.max_steps": 10**8}, "training steps, and this public page allows 1,000"),
    ({"training.epochs": "x"}, "training.epochs"),
    ({"data.columns": "file:/etc/passwd"}, "data.columns"),
    ({"data.test_rows": 5000}, "data.test_rows is 5,000, at most 200"),
]


@pytest.mark.parametrize(("name", "given", "says"), REFUSED, ids=lambda value: str(value)[:40])
def test_a_stranger_is_refused_in_the_words_of_the_page(
    public: str, name: str, given: dict[str, Any], says: str
) -> None:
    with pytest.raises(AppError, match=re.escape(says)) as refused:
        visitor(public).predict(**given, api_name=name)
    assert str(ROOT) not in str(refused.value)


@pytest.mark.parametrize(("settings", "says"), SETTINGS, ids=str)
def test_no_setting_leads_a_stranger_out_of_the_form(public: str, settings: dict[str, Any], says: str) -> None:
    client = visitor(public)
    for name in ("/estimate", "/start_run"):
        with pytest.raises(AppError, match=re.escape(says)):
            client.predict("sentiment-smollm2-lora", settings=settings, api_name=name)
    with pytest.raises(AppError, match="You have no run yet"):
        client.predict(api_name="/run_status")


def test_a_file_is_of_who_uploaded_it_and_no_other_is_opened(public: str, reviews_file: Path) -> None:
    ana, bea = visitor(public), visitor(public)
    proposed = ana.predict(file=handle_file(reviews_file), api_name="/estimate")
    assert proposed["rows"]["train"] > 0
    upload = httpx.post(
        f"{public}/gradio_api/upload", files={"files": ("rows.csv", b"text,label\n")}, cookies=ana.cookies
    ).json()[0]
    config = httpx.get(f"{public}/config").json()
    number = next(each["id"] for each in config["dependencies"] if each["api_name"] == "estimate")
    meta = {"_type": "gradio.FileData"}
    for file in (
        {"path": upload, "meta": meta},
        {"path": "/etc/passwd", "meta": meta},
        {"path": "http://127.0.0.1:9/", "url": "http://127.0.0.1:9/", "meta": meta},
    ):
        for data in (["", "", file, None], ["", "", None, {"data.columns": file}], ["", "", None, {"a": [file]}]):
            body = {"fn_index": number, "session_hash": "abcdefghi", "data": data}
            for path in ("queue/join", "run/estimate"):
                answer = httpx.post(f"{public}/gradio_api/{path}", json=body, cookies=bea.cookies)
                assert answer.status_code == 422, (path, data)


def test_a_run_belongs_to_who_started_it(public: str, reviews_file: Path, tiny_llama: Path) -> None:
    ana, bea = visitor(public), visitor(public)
    settings = {"model.base": str(tiny_llama), "model.precision": "float32", "training.max_steps": 1000}
    given = {"recipe": "sentiment-smollm2-lora", "file": handle_file(reviews_file), "settings": settings}
    run = ana.predict(**given, api_name="/start_run")["run"]
    assert ana.predict(**given, api_name="/start_run")["run"] == run, "the same is not started twice"
    assert ana.predict(run, api_name="/run_status")["run"] == run
    for name in ("/run_status", "/cancel_run"):
        with pytest.raises(AppError, match="no such run"):
            bea.predict(run, api_name=name)
    ended = ana.predict(run, api_name="/cancel_run")
    assert ended["state"] in ("cancelled", "failed") or ended["cancelling"]


def test_an_export_is_made_by_a_worker_and_downloaded_by_whom_it_was_told(
    public: str, own_app: tuple[str, Path]
) -> None:
    ana, bea = visitor(public), visitor(public)
    asked = {"model": SENTIMENT, "form": "gguf", "packing": "q8_0", "api_name": "/export"}
    for changed, says in (
        ({"packing": "q4_k_m"}, "K-quants"),
        ({"form": "hub"}, "no such form"),
        ({"model": "run:../../etc"}, "no such tuned model"),
        ({"model": "../../etc"}, "no such run"),
        ({"model": "last"}, "no run yet that has tuned something"),
    ):
        with pytest.raises(AppError, match=says):
            ana.predict(**asked | changed)
    assert ana.predict(**asked, cancel=True)["state"] == "none"
    while (told := ana.predict(**asked))["state"] in ("queued", "running"):
        time.sleep(0.2)
    assert told["state"] == "finished" and told["packing"] == "q8_0" and told["notes"], told
    assert told["file"]["name"] == "sentiment-smollm2-lora-q8_0.gguf"
    address = public + told["file"]["address"]
    got = httpx.get(address, cookies=ana.cookies)
    assert got.status_code == 200 and got.content[:4] == b"GGUF" and len(got.content) == told["file"]["bytes"]
    assert httpx.get(address, cookies=bea.cookies).status_code == httpx.get(address).status_code == 403
    other = bea.predict(**asked)
    assert other["state"] == "finished" and other["file"]["address"] != told["file"]["address"]
    url, folder = own_app
    for path in (folder / "runs").rglob("*"):  # what is not offered is not served, though Gradio might
        if path.is_file():
            assert httpx.get(f"{url}/gradio_api/file={path}").status_code == 403, path


def asked_over_mcp(url: str, calls: list[tuple[str, dict[str, Any]]], **headers: str) -> tuple[set[str], list[Any]]:
    """The tools of the MCP server, and what each call gave: an object, or the sentence of an error."""
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async def ask() -> tuple[set[str], list[Any]]:
        async with (
            httpx.AsyncClient(headers=headers, timeout=600) as http,
            streamable_http_client(f"{url}/gradio_api/mcp/", http_client=http) as (read, write, _),
            ClientSession(read, write) as it,
        ):
            await it.initialize()
            tools = await it.list_tools()
            answers: list[Any] = []
            for name, given in calls:
                answer = await it.call_tool(name, given)
                said = answer.content[0].text  # type: ignore[union-attr]
                answers.append(said if answer.isError else json.loads(said))
            return {tool.name for tool in tools.tools if tool.description}, answers

    return asyncio.run(ask())


def test_an_assistant_has_the_same_functions_as_tools(own_app: tuple[str, Path], reviews_file: Path) -> None:
    settings = {"training.max_steps": 3}
    tools, (models, both, takes, wrong, unknown) = asked_over_mcp(
        own_app[0],
        [
            ("list_models", {"task": "sentiment"}),
            ("compare", {"message": "The film was warm.", "model": SENTIMENT}),
            ("estimate", {"source": f"file:{reviews_file}", "settings": settings}),
            ("compare", {"message": "\0"}),
            ("run_status", {"run": "../../etc"}),
        ],
    )
    assert tools == {name[1:] for name in NAMES}
    assert SENTIMENT in {each["model"] for each in models["models"]}
    assert both["before"]["answer"] in ("positive", "negative") and takes["rows"]["train"] > 0
    assert "cannot be the value of “message”" in wrong and "no such run" in unknown


def test_an_assistant_of_a_stranger_is_a_stranger(public: str, reviews_file: Path) -> None:
    train = ("start_run", {"recipe": "sentiment-smollm2-lora"})
    path = ("estimate", {"source": f"file:{reviews_file}"})
    here = ("estimate", {"recipe": "sentiment-smollm2-lora", "settings": {"data.test": f"file:{reviews_file}"}})
    _, (nobody, opened, setting) = asked_over_mcp(public, [train, path, here])
    assert "does not know who you are" in nobody
    assert "opens no file by its path" in opened and "no such setting" in setting
    _, (known,) = asked_over_mcp(public, [("run_status", {})], cookie=f"{COOKIE}={secrets.token_urlsafe(32)}")
    assert "You have no run yet" in known


def test_the_server_for_assistants_takes_no_files_and_no_other_sites_page(public: str) -> None:
    address = f"{public}/gradio_api/mcp/"
    meta = {"_type": "gradio.FileData"}
    file = {"path": "http://127.0.0.1:9/", "url": "http://127.0.0.1:9/", "meta": meta}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
    for given in ({"file": file}, {"settings": {"a": file}}, {"settings": {"a": [[file]]}}):
        body = call | {"params": {"name": "estimate", "arguments": given}}
        assert httpx.post(address, json=body).status_code == 403
    listed = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    for headers in ({"origin": "http://evil.example"}, {"host": "evil.example"}):
        assert httpx.post(address, json=listed, headers=headers).status_code in (403, 421)
    assert httpx.post(address, content=b"[" * 100_000).status_code == 400
    assert httpx.post(address, content=b" " * 2_000_000).status_code == 413
    for path in ("sse", "messages/", "http"):
        assert httpx.post(f"{address}{path}", json=listed).status_code == 404
    assert httpx.get(f"{address}schema").json()


def test_no_server_for_assistants_is_there_unless_it_was_asked_for_nor_behind_a_password(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        parse(["--mcp", "--login"])
    assert not parse([]).mcp
    with public_app(tmp_path) as (url, _):
        assert httpx.post(f"{url}/gradio_api/mcp/", json={}).status_code == 404
