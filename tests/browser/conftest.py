"""One app and one Chromium for all browser tests; a fresh page for each, which may not log an error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.browser.app_process import launch_chromium, new_page, running_app


@pytest.fixture(scope="session")
def runs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("browser") / "runs"


@pytest.fixture(scope="session")
def app_url(runs_folder: Path) -> Iterator[str]:
    with running_app(runs_folder, runs_folder.parent / "app.log") as url:
        yield url


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = launch_chromium(playwright)
        yield browser
        browser.close()


@pytest.fixture
def console_errors() -> list[str]:
    """What the page has logged as an error so far; a test that causes one on purpose clears it."""
    return []


@pytest.fixture
def page(app_url: str, chromium: Browser, console_errors: list[str]) -> Iterator[Page]:
    page = new_page(chromium)

    def note(message: ConsoleMessage) -> None:
        # Gradio's own page asks another host for a font, which our policy forbids; that changes nothing.
        where = message.location.get("url", "")
        is_ours = (not where or where.startswith(app_url)) and "fonts.googleapis.com" not in message.text
        if message.type == "error" and is_ours:
            console_errors.append(f"{message.text} ({where})")

    page.on("console", note)
    page.on("pageerror", lambda error: console_errors.append(str(error)))
    page.goto(app_url)
    page.wait_for_selector("#before .ba-panel")
    yield page
    page.close()
    assert not console_errors, console_errors
