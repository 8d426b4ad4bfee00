"""A second run is queued behind the first; Cancel ends either; Resume goes on; Delete can be taken back."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from finetuning.runs.folder import list_runs
from tests.browser.app_process import new_page
from tests.browser.steps import choose_classifier, open_tab, open_train, start_small_run
from tests.standing_still import standing_still

STEPS = "of 4,000 steps"
"""Half an hour of them: nothing here waits for the end."""


def test_a_run_waits_is_cancelled_goes_on_and_is_deleted(page: Page, chromium: Browser, runs_folder: Path) -> None:
    open_train(page)
    runs = len(list(runs_folder.glob("sentiment-*/recipe.yaml")))
    choose_classifier(page)
    start_small_run(page, train_rows=640, epochs=100)
    state = page.locator("#train-state")
    expect(state).to_contain_text(STEPS)
    with chromium.new_context() as other:  # another browser on one's own machine sees the same run, live
        second = new_page(other)
        second.goto(page.url)
        open_train(second)
        expect(second.locator("#train-state")).to_contain_text(STEPS)
    with standing_still(next(run for run in list_runs(runs_folder) if run.state() == "running")):
        page.dblclick("#train-start")  # the same form once more is the same run
        expect(page.locator(".toast-body").first).to_contain_text("it is shown below")
        page.locator("#train-seed input").fill("7")
        page.keyboard.press("Tab")
        page.dblclick("#train-start")  # and so are two clicks on another
        expect(state.locator(".ba-state-queued")).to_be_visible()
        expect(state).to_contain_text("next, when what is going on ends")
        page.click("#train-cancel")  # a run that has not begun is cancelled at once
        expect(state.locator(".ba-state-cancelled")).to_be_visible()
        expect(page.locator("#train-compare")).to_be_hidden()

        open_tab(page, "Runs")
        page.locator("#runs-table tbody tr", has=page.locator(".ba-state-running")).first.click()
        running = page.locator("#runs-state")
        expect(running.locator(".ba-state-running")).to_be_visible()
    page.click("#runs-cancel")
    expect(running.locator(".ba-state-cancelled")).to_be_visible()
    expect(page.locator("#runs-cancel")).to_be_hidden()
    page.click("#runs-resume")
    expect(running).to_contain_text(STEPS)
    page.click("#runs-cancel")
    expect(running.locator(".ba-state-cancelled")).to_be_visible()

    made = len(list(runs_folder.glob("sentiment-*/recipe.yaml"))) - runs
    assert made == 2, "two forms, each sent twice"  # looked at now, when a third would have been made long ago
    before = page.locator("#runs-table tbody tr").count()
    page.click("#runs-delete")
    page.click("#runs-undo")
    expect(page.locator("#runs-table tbody tr")).to_have_count(before)
    page.click("#runs-delete")
    expect(page.locator("#runs-table tbody tr")).to_have_count(before - 1)
    expect(page.locator("#runs-detail")).to_be_hidden()
    open_tab(page, "Train")  # whose newest run is another: the page goes on
    expect(page.locator("#train-start")).to_be_enabled()
