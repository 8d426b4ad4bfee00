"""`python app.py` on a machine as people have it: a port that is taken, proxies, folders of others."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest

from benchmarks.app_process import started_app

ROOT = Path(__file__).resolve().parents[2]


def refused(*options: str, **environment: str) -> str:
    """What a start says that ends at once: one line, and exit code 2."""
    command = [sys.executable, "app.py", *options]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 2, done.stderr
    [line] = done.stderr.splitlines()
    return line


@pytest.fixture
def taken() -> Iterator[int]:
    """A port of this machine that somebody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_a_port_that_is_in_use_is_one_line_with_one_that_is_free(taken: int) -> None:
    for said in (refused("--port", str(taken)), refused(GRADIO_SERVER_PORT=str(taken))):
        assert f"Port {taken} is in use by another program." in said
        free = re.search(r"Choose another: add --port (\d+)\.$", said)
        assert free and free[1] != str(taken)
        with socket.create_server(("127.0.0.1", int(free[1]))):
            pass


@pytest.mark.parametrize("port", ["80000", "-1", "abc", "٣"])
def test_a_port_that_there_is_not_is_one_line(port: str) -> None:
    assert "That is no port" in refused(f"--port={port}")
    assert "That is no port" in refused(GRADIO_SERVER_PORT=port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-name.invalid"])
def test_an_address_of_another_machine_is_one_line(host: str) -> None:
    said = refused("--public", "--host", host)
    assert (
        "This machine cannot be asked by this name or address" in said
        and host in said
        and "--host 127.0.0.1" in said
    )


def test_a_folder_for_uploads_that_cannot_be_written_to_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = refused("--port", "0", GRADIO_TEMP_DIR=str(tmp_path / "file" / "folder"))
    assert "Uploads cannot be kept here" in said and "Set GRADIO_TEMP_DIR" in said and str(tmp_path) in said


class Refusing(BaseHTTPRequestHandler):
    """A proxy that serves nothing, as a company's does for local addresses."""

    def do_GET(self) -> None:
        self.send_response(503)
        self.send_header("content-length", "0")
        self.end_headers()

    do_HEAD = do_POST = do_CONNECT = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def proxy() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"HTTP_PROXY": "http://127.0.0.1:9", "https_proxy": "PROXY", "NO_PROXY": "example.org"}, []),
        (
            {"ALL_PROXY": "socks://127.0.0.1:7891/", "http_proxy": "socks5://127.0.0.1:7891/"},
            ["ALL_PROXY names a proxy that cannot be used", "pip install httpx[socks]"],
        ),
    ],
    ids=["one that is down and one that refuses", "socks and socks5"],
)
def test_the_page_opens_whatever_proxy_is_set(
    environment: dict[str, str], says: list[str], proxy: str, tmp_path: Path
) -> None:
    """What can be used, and what cannot; each kind by itself is in `tests/unit/data/test_proxies.py`."""
    environment = {name: value.replace("PROXY", proxy) for name, value in environment.items()}
    with started_app(tmp_path / "runs", tmp_path / "log", **environment) as app:
        app.wait_until_served()
        # It is served before Gradio asks for it, by way of the proxies unless told otherwise; then it may end.
        ends = time.monotonic() + 600
        while (said := app.log.read_text()) and "To create a public link" not in said:
            assert app.process.poll() is None and time.monotonic() < ends, said
            time.sleep(0.05)
        assert "Traceback" not in said and all(sentence in said for sentence in says)
        assert said.count("app.py:") == len(says)


def test_the_port_is_taken_from_the_environment_and_the_page_lies_under_a_path(tmp_path: Path) -> None:
    """As behind a proxy that serves more than this page, and takes the path off."""
    at = {"GRADIO_SERVER_PORT": "1", "GRADIO_ROOT_PATH": "/tune"}  # a port that --port wins over
    with started_app(tmp_path / "runs", tmp_path / "log", **at) as app:
        app.wait_until_served()
        with httpx.Client(base_url=app.url, trust_env=False) as http:
            page, config = http.get("/"), http.get("/config").json()
            assert config["root"].endswith("/tune")
            found = re.search(r'(?:src|href)="(?:\./|[^"]*/tune/)(assets/[^"]+)"', page.text)
            assert found and http.get(f"/{found[1]}").status_code == 200
