"""The app as a real process, and a real Chromium: for the browser tests and for the screenshots."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Playwright

ROOT = Path(__file__).resolve().parent.parent.parent
START_S = 60.0
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@contextmanager
def running_app(runs: Path, log: Path, *options: str, **more_environment: str) -> Iterator[str]:
    """Start `python app.py` on a free port with its runs in `runs`; gives its address, and ends it afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = os.environ | {"BEFORE_AFTER_RUNS": str(runs), "PYTHONUNBUFFERED": "1"} | more_environment
    with log.open("wb") as output:
        app = subprocess.Popen(
            [sys.executable, "app.py", "--port", str(port), *options],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_it_answers(url, app, log)
        yield url
    finally:
        app.send_signal(signal.SIGINT)
        try:
            app.wait(10)
        except subprocess.TimeoutExpired:
            app.kill()
            app.wait()


def _wait_until_it_answers(url: str, app: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if app.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(f"the app did not start:\n{log.read_text(errors='replace')[-3000:]}")


def launch_chromium(playwright: Playwright) -> Browser:
    """The machine's Chromium; an error if there is none, because a skipped browser test tests nothing."""
    found = next((path for name in CHROMIUM_NAMES if (path := shutil.which(name))), None)
    assert found, f"No Chromium: none of {', '.join(CHROMIUM_NAMES)} is on the PATH."
    return playwright.chromium.launch(executable_path=found, args=CHROMIUM_ARGS)
