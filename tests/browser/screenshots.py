"""Save a picture of every tab: `python tests/browser/screenshots.py [OUT_FOLDER]`, by default spaces/screenshots/.

Makes a small training run of its own in a temporary runs folder, so that no tab is empty.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))  # run as a script, the rooms are not on the path

from playwright.sync_api import Page, sync_playwright  # noqa: E402

from tests.browser.app_process import launch_chromium, new_page, running_app  # noqa: E402
from tests.browser.steps import (  # noqa: E402
    evaluate,
    open_tab,
    open_train,
    start_small_run,
    wait_for_answers,
    wait_for_run,
)


def main(out: Path) -> None:
    """Start the app, go through its tabs, and write the pictures into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        folder = Path(scratch)
        with running_app(folder / "runs", folder / "app.log") as url:
            page = new_page(launch_chromium(playwright))
            page.goto(url)
            _go_through(page, out)


def _go_through(page: Page, out: Path) -> None:
    wait_for_answers(page)
    open_train(page)
    start_small_run(page, train_rows=320, test_rows=100)
    wait_for_run(page, "finished")
    _save(page, out / "train.png", whole=True)
    open_tab(page, "Evaluate")
    evaluate(page, rows=100)
    _save(page, out / "evaluate.png", whole=True)
    open_tab(page, "Runs")
    page.locator("#runs-table tbody tr").first.click()
    page.wait_for_selector("#runs-verdict .ba-headline")
    _save(page, out / "runs.png", whole=True)
    open_tab(page, "Compare")
    page.get_by_label("Dialogue summary").first.check()
    page.wait_for_selector("#after .ba-growing")
    wait_for_answers(page)
    _save(page, out / "compare.png")


def _save(page: Page, path: Path, *, whole: bool = False) -> None:
    page.mouse.move(0, 0)
    page.wait_for_timeout(600)  # transitions
    page.screenshot(path=path, full_page=whole)
    print(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "spaces" / "screenshots")
