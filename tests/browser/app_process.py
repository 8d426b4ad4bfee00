"""The app as a real process, and a real Chromium: for the browser tests and for the screenshots."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Playwright

from benchmarks.app_process import started_app

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
    """`python app.py` once it answers, its runs in `runs`; gives its address, and ends it afterwards."""
    with started_app(runs, log, *options, **more_environment) as app:
        app.wait_until_served()
        yield app.url


def launch_chromium(playwright: Playwright) -> Browser:
    """The machine's Chromium; an error if there is none, because a skipped browser test tests nothing."""
    found = next((path for name in CHROMIUM_NAMES if (path := shutil.which(name))), None)
    assert found, f"No Chromium: none of {', '.join(CHROMIUM_NAMES)} is on the PATH."
    return playwright.chromium.launch(executable_path=found, args=CHROMIUM_ARGS)
