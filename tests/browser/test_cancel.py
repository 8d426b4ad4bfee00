"""A second run is queued behind the first; Cancel ends either; Resume goes on with what was cancelled."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.steps import open_tab, open_train, start_small_run


def test_a_run_waits_is_cancelled_and_goes_on(page: Page) -> None:
    open_train(page)
    start_small_run(page, train_rows=640)
    state = page.locator("#sentiment-state")
    expect(state).to_contain_text("of 40 steps", timeout=90_000)
    page.click("#sentiment-start")
    expect(state.locator(".ba-state-queued")).to_be_visible(timeout=15_000)
    expect(state).to_contain_text("1 run before this one")
    page.click("#sentiment-cancel")  # a run that has not begun is cancelled at once
    expect(state.locator(".ba-state-cancelled")).to_be_visible(timeout=15_000)
    expect(page.locator("#sentiment-compare")).to_be_hidden()

    open_tab(page, "Runs")
    page.locator("#runs-table tbody tr", has=page.locator(".ba-state-running")).first.click()
    running = page.locator("#runs-state")
    expect(running.locator(".ba-state-running")).to_be_visible(timeout=15_000)
    page.click("#runs-cancel")
    expect(running.locator(".ba-state-cancelled")).to_be_visible(timeout=60_000)
    expect(page.locator("#runs-cancel")).to_be_hidden()
    page.click("#runs-resume")
    expect(running).to_contain_text("of 40 steps", timeout=90_000)
    page.click("#runs-cancel")
    expect(running.locator(".ba-state-cancelled")).to_be_visible(timeout=60_000)
