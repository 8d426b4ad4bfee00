"""Answers on ZeroGPU, by the real package `spaces` and a scheduler on this machine, without a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from benchmarks.app_process import ROOT

pytestmark = pytest.mark.skipif(
    find_spec("spaces") is None or find_spec("spaces").origin is None,  # type: ignore[union-attr]
    reason="the package spaces is not installed (requirements-dev.txt)",
)


class Scheduler:
    """Lends its GPU to whoever asks, until it is told that nothing is left; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.left = True
        self.address = ""

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        self.asked.append((path, query))
        if path != "/schedule":
            return 200, {}
        if not self.left:
            return 429, {"left": 3, "wait": "PT3H"}
        count = sum(name == "/schedule" for name, _ in self.asked)
        return 200, {"idle": count > 1, "nvidiaIndex": 0, "nvidiaUUID": "GPU-0", "allowToken": f"token-{count}"}

    def of(self, path: str) -> list[dict[str, str]]:
        return [query for name, query in self.asked if name == path]


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    lending = Scheduler()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            status, said = lending.answer(parts.path, query)
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    lending.address = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, daemon=True).start()
    yield lending
    server.shutdown()
    server.server_close()


def answers(scheduler: Scheduler, bundled: Path, folder: Path) -> dict[str, Any]:
    environment = os.environ | {"SPACES_ZERO_GPU": "true", "SPACES_ZERO_DEVICE_API_URL": scheduler.address}
    environment |= {"BEFORE_AFTER_BUNDLED": str(bundled), "HOME": str(folder), "HF_HUB_OFFLINE": "1"}
    environment |= {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "tests/integration/zero_gpu_answers.py", str(folder / "found.json")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return json.loads((folder / "found.json").read_text())  # type: ignore[no-any-return]


def test_an_answer_is_written_in_a_forked_process_as_it_would_be_here(
    scheduler: Scheduler, tiny_bundled: Path, tmp_path: Path
) -> None:
    found = answers(scheduler, tiny_bundled, tmp_path)
    assert found["kind"] == "OnLentGpu"
    assert found["lent"][:2] == found["again"][:2] == found["here"][:2]
    assert found["lent"][3] > 1  # as it is written, not at its end
    assert found["stopped"][3] == 1 and found["stopped"][2] is True
    asked = scheduler.of("/schedule")
    assert len(asked) == 3 and {query["durationSeconds"] for query in asked}
    assert all(float(query["durationSeconds"]) <= 2 * found["seconds"] for query in asked)
    assert found["seconds"] < 60  # less than is asked for by who says nothing
    assert {query["pid"] for query in scheduler.of("/allow")}.isdisjoint({str(found["pid"])})
    assert len(scheduler.of("/allow")) == 1  # the second answer finds the process, and its model, still there
    assert [query["fail"] for query in scheduler.of("/release")] == ["false"] * 3


def test_where_no_time_is_left_the_processor_answers(
    scheduler: Scheduler, tiny_bundled: Path, tmp_path: Path
) -> None:
    scheduler.left = False
    found = answers(scheduler, tiny_bundled, tmp_path)
    assert found["lent"][:2] == found["here"][:2] and not scheduler.of("/allow")
