"""The app as a child process on a free port of this machine, for the benchmarks and the tests."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START_S = 120.0
STOP_S = 30.0
POLL_S = 0.02


@dataclass(frozen=True)
class App:
    """A started `python app.py`."""

    url: str
    log: Path
    process: subprocess.Popen[bytes]

    def wait_until_served(self) -> None:
        """Until the page is there.

        Raises:
            AssertionError: it does not come; with what the app said last.
        """
        ends = time.monotonic() + START_S
        while time.monotonic() < ends and self.process.poll() is None:
            try:
                with urllib.request.urlopen(self.url, timeout=5) as page:
                    page.read()
                    return
            except OSError:
                time.sleep(POLL_S)
        raise AssertionError(f"the app did not start:\n{self.log.read_text(errors='replace')[-3000:]}")


@contextmanager
def started_app(runs: Path, log: Path, *options: str, **more_environment: str) -> Iterator[App]:
    """`python app.py`, with its runs in `runs`, before it answers; ended afterwards as by Ctrl-C."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"BEFORE_AFTER_RUNS": str(runs), "PYTHONUNBUFFERED": "1"} | more_environment
    with log.open("wb") as output:
        command = [sys.executable, "app.py", "--port", str(port), *options]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield App(f"http://127.0.0.1:{port}", log, process)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
