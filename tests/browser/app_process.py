"""The app as a real process, and a real Chromium: for the browser tests and for the screenshots."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect

from benchmarks.app_process import started_app

LIMIT_S = 300
"""For whatever is waited for, which is over when it has happened: a busy machine takes long, and is not wrong."""
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
    expect.set_options(timeout=1000 * LIMIT_S)
    return playwright.chromium.launch(executable_path=found, args=CHROMIUM_ARGS)


def new_page(browser: Browser | BrowserContext) -> Page:
    """An empty page as wide as a laptop. A `Browser` gives it cookies of its own; a context, those of its pages."""
    page = browser.new_page()
    page.set_viewport_size({"width": 1280, "height": 800})
    page.set_default_timeout(1000 * LIMIT_S)
    return page
