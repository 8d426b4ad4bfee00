"""Votes on the Hub: nothing unless it is asked for; then a stand-in of the Hub gets the file and nothing else."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from finetuning.votes import keeping, publishing
from finetuning.votes.keeping import keep
from plumbing.errors import RunError
from tests.unit.finetuning.vote_samples import vote

TOKEN = "hf_" + "x" * 30
BOTH = {publishing.DATASET: "ana/votes", publishing.TOKEN: TOKEN}


class Hub(ThreadingHTTPServer):
    """Takes what a commit takes: a repository is made, files are announced, then sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.tokens: set[str] = set()
        self.made: list[dict[str, object]] = []
        self.files: dict[str, bytes] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answers(BaseHTTPRequestHandler):
    server: Hub

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.tokens.add(self.headers["authorization"])
        said: dict[str, object]
        if self.path == "/api/repos/create":
            self.server.made.append(json.loads(body))
            said = {"url": f"{self.server.url}/datasets/ana/votes"}
        elif self.path.startswith("/api/datasets/ana/votes/preupload/"):
            files = json.loads(body)["files"]
            said = {
                "files": [{"path": each["path"], "uploadMode": "regular", "shouldIgnore": False} for each in files]
            }
        else:
            assert self.path.startswith("/api/datasets/ana/votes/commit/")
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.server.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            url = f"{self.server.url}/datasets/ana/votes/commit/0"
            said = {"commitUrl": url, "commitOid": "0" * 40, "success": True, "hookOutput": ""}
        answer = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as served:
        thread = threading.Thread(target=served.serve_forever, daemon=True)
        thread.start()
        yield served
        served.shutdown()
        thread.join()


@pytest.mark.parametrize("left_out", BOTH)
def test_nothing_is_copied_unless_both_are_given(tmp_path: Path, left_out: str) -> None:
    for environment in (
        {},
        BOTH | {left_out: " "},
        {name: value for name, value in BOTH.items() if name != left_out},
    ):
        assert publishing.dataset_of(environment) is None
        assert publishing.start(tmp_path / "votes", environment) is None
    assert not (tmp_path / "votes").exists()


def test_the_file_of_votes_and_nothing_else_is_copied_to_a_private_dataset(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atexit.register", lambda _: None)  # the stand-in is gone by then
    folder = tmp_path / "votes"
    keep(vote(1), folder=folder)
    (folder / "learned").mkdir()
    (folder / "learned" / "pairs.jsonl").write_text("{}")
    copying = publishing.start(folder, BOTH, endpoint=hub.url)
    assert copying is not None
    copying.trigger().result(timeout=60)
    [name] = hub.files
    assert name == f"votes/{(folder / publishing.ID_FILE).read_text()}/{keeping.FILE}"
    assert hub.files[name] == (folder / keeping.FILE).read_bytes()
    assert hub.made == [{"name": "votes", "organization": "ana", "visibility": "private", "type": "dataset"}]
    assert hub.tokens == {f"Bearer {TOKEN}"}
    keep(vote(2), folder=folder)
    copying.trigger().result(timeout=60)
    copying.stop()
    assert len(hub.files[name].splitlines()) == 2 and len(hub.files) == 1


def test_a_hub_that_is_not_there_is_a_sentence_without_the_token(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="votes are not copied to the Hub") as refused:
        publishing.start(tmp_path / "votes", BOTH, endpoint="http://127.0.0.1:9")
    assert TOKEN not in str(refused.value)
    with pytest.raises(RunError, match="not copied"):
        publishing.start(tmp_path / "votes", BOTH | {publishing.DATASET: "a/b/c"}, endpoint="http://127.0.0.1:9")
