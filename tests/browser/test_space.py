"""A Space as its visitors meet it: put together by deploy.py, started as the Hub does, opened in a browser."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser

from tests.browser.app_process import new_page
from tests.integration.test_spaces import copied as copied
from tests.integration.test_spaces import started


def test_what_is_put_together_for_zero_gpu_opens_in_a_browser(
    copied: Path, tmp_path: Path, chromium: Browser
) -> None:
    with started(copied, "zero", tmp_path / "app", SPACE_HOST="127.0.0.1") as app:
        app.wait_until_served()
        page = new_page(chromium)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"http://127.0.0.1:{app.url.rpartition(':')[2]}")
        page.wait_for_selector("#before .ba-panel")
        assert page.get_by_role("tab").count() > 3 and not errors
        page.close()
