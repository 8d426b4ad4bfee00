"""Votes on the Hub: nothing unless it is asked for; then a stand-in of the Hub gets the file and nothing else."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from finetuning.votes import keeping, publishing
from finetuning.votes.keeping import keep
from plumbing.errors import RunError
from tests.unit.finetuning.vote_samples import vote
from ui import serving

ROOT = Path(__file__).resolve().parents[3]
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
    copying.trigger().result()
    [name] = hub.files
    assert name == f"votes/{(folder / publishing.ID_FILE).read_text()}/{keeping.FILE}"
    assert hub.files[name] == (folder / keeping.FILE).read_bytes()
    assert hub.made == [{"name": "votes", "organization": "ana", "visibility": "private", "type": "dataset"}]
    assert hub.tokens == {f"Bearer {TOKEN}"}
    keep(vote(2), folder=folder)
    copying.trigger().result()
    copying.stop()
    assert len(hub.files[name].splitlines()) == 2 and len(hub.files) == 1


def test_a_hub_that_is_not_there_is_a_sentence_without_the_token(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="votes are not copied to the Hub") as refused:
        publishing.start(tmp_path / "votes", BOTH, endpoint="http://127.0.0.1:9")
    assert TOKEN not in str(refused.value)
    with pytest.raises(RunError, match="not copied"):
        publishing.start(tmp_path / "votes", BOTH | {publishing.DATASET: "a/b/c"}, endpoint="http://127.0.0.1:9")


PAGE = """
import time
from ui.serving import _copy_votes_if_asked
_copy_votes_if_asked()
time.sleep(3600)
"""


def test_a_page_that_is_stopped_as_containers_are_copies_what_was_voted_last(tmp_path: Path, hub: Hub) -> None:
    folder = tmp_path / keeping.FOLDER
    keep(vote(1), folder=folder)
    environment = os.environ | BOTH | {"BEFORE_AFTER_RUNS": str(tmp_path), "HF_ENDPOINT": hub.url}
    with subprocess.Popen(
        [sys.executable, "-c", PAGE], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL
    ) as page:
        until = time.monotonic() + 600
        while not hub.files and time.monotonic() < until:
            time.sleep(0.05)
        keep(vote(2), folder=folder)
        page.terminate()
    [copied] = hub.files.values()
    assert copied == (folder / keeping.FILE).read_bytes()


def test_a_page_tries_until_the_hub_is_there_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tries: list[Path] = []

    def start(folder: Path) -> None:
        tries.append(folder)
        if len(tries) < 3:
            raise RunError("The votes are not copied")

    for name, value in BOTH.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(publishing, "start", start)
    monkeypatch.setattr(serving.time, "sleep", lambda seconds: None)
    serving._copy_votes()
    said = capsys.readouterr().err
    assert len(tries) == 3 and said.count("not copied") == 1 and "are copied to the dataset ana/votes" in said
    monkeypatch.delenv(publishing.TOKEN)
    serving._copy_votes_if_asked()
    assert "$HF_TOKEN is not set" in capsys.readouterr().err


HOLDING = """
import sys
from filelock import lock_descriptor
file = open(sys.argv[1], "a")
lock_descriptor(file.fileno(), blocking=False)
print("held", flush=True)
sys.stdin.read()
"""


def test_one_process_of_a_page_copies_the_votes(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atexit.register", lambda _: None)  # the stand-in is gone by then
    command = [sys.executable, "-c", HOLDING, str(tmp_path / publishing.LOCK_FILE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline()
        with pytest.raises(RunError, match="Another process of this page copies the votes"):
            publishing.start(tmp_path, BOTH, endpoint=hub.url)
        assert not hub.made
        other.communicate()
    copying = publishing.start(tmp_path, BOTH, endpoint=hub.url)
    assert copying is not None and hub.made
    copying.stop()
