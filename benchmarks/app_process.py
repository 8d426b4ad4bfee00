"""The app as a child process on a port of this machine that it finds free, for the benchmarks and the tests."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START_S = 300.0
STOP_S = 300.0
POLL_S = 0.02


@dataclass(frozen=True)
class App:
    """A started `python app.py`."""

    log: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """Its address, which it says once it listens; "" before."""
        said = re.search(r"^\* Running on local URL: +(\S+)$", self.log.read_text(errors="replace"), re.MULTILINE)
        return said[1] if said else ""

    def wait_until_served(self) -> None:
        """Until the page is there.

        Raises:
            AssertionError: it does not come; with what the app said last.
        """
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        ends = time.monotonic() + START_S
        while time.monotonic() < ends and self.process.poll() is None:
            try:
                if url := self.url:
                    with direct.open(url, timeout=START_S) as page:
                        page.read()
                        return
            except OSError:
                pass
            time.sleep(POLL_S)
        raise AssertionError(f"the app did not start:\n{self.log.read_text(errors='replace')[-3000:]}")


@contextmanager
def started_app(runs: Path, log: Path, *options: str, **more_environment: str) -> Iterator[App]:
    """`python app.py`, with its runs in `runs`, before it answers; ended afterwards as by Ctrl-C."""
    environment = os.environ | {"BEFORE_AFTER_RUNS": str(runs), "PYTHONUNBUFFERED": "1"} | more_environment
    with log.open("wb") as output:
        command = [sys.executable, "app.py", "--port", "0", *options]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield App(log, process)
    finally:
        # What a shell starts in the background is deaf to Ctrl-C, and so are its children.
        deaf = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        process.send_signal(signal.SIGTERM if deaf else signal.SIGINT)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
