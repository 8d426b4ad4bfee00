"""The public page in two browsers: each sees its own run, live in every tab of it, and is told its limits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from finetuning.runs.folder import list_runs
from tests.browser.app_process import new_page, running_app
from tests.browser.steps import choose_classifier, open_tab, open_train, start_small_run
from tests.standing_still import standing_still

STEPS = "of 4,000 steps"
"""Half an hour of them: nothing here waits for the end."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("public")


@pytest.fixture(scope="module")
def public_url(folder: Path) -> Iterator[str]:
    with running_app(folder / "runs", folder / "app.log", "--public", "--limits", "steps=4000") as url:
        yield url
    assert "Traceback" not in (folder / "app.log").read_text(errors="replace")


@pytest.fixture
def ana(public_url: str, chromium: Browser) -> Iterator[Page]:
    with chromium.new_context() as browser:
        page = new_page(browser)
        page.goto(public_url)
        yield page


@pytest.fixture
def bea(public_url: str, chromium: Browser) -> Iterator[Page]:
    with chromium.new_context() as browser:
        page = new_page(browser)
        page.goto(public_url)
        yield page


def test_each_browser_sees_its_own_run_and_is_told_its_limits(ana: Page, bea: Page, folder: Path) -> None:
    open_train(ana)
    expect(ana.get_by_label("Hub dataset")).to_have_count(0)
    choose_classifier(ana)
    start_small_run(ana, train_rows=640, epochs=100)
    expect(ana.locator("#train-state")).to_contain_text(STEPS)

    second = new_page(ana.context)
    second.goto(ana.url)
    open_train(second)
    expect(second.locator("#train-state")).to_contain_text(STEPS)
    (run,) = list_runs(folder / "runs")
    with standing_still(run):
        second.reload()
        open_train(second)
        expect(second.locator("#train-state")).to_contain_text(STEPS)
        second.click("#train-start")
        expect(second.locator(".toast-body").first).to_contain_text("You have a run that is not over")

        open_train(bea)
        expect(bea.locator("#train-state .ba-state")).to_have_count(0)
        bea.locator("#train-more button").first.click()
        bea.locator("#train-rank input").fill("64")
        bea.keyboard.press("Tab")
        bea.click("#train-start")
        expect(bea.locator(".toast-body").first).to_contain_text("“Rank” is 64, at most 32")
        open_tab(bea, "Runs")
        expect(bea.locator("#runs-table")).to_contain_text("No runs yet")

    ana.click("#train-cancel")
    expect(ana.locator("#train-state .ba-state-cancelled")).to_be_visible()
