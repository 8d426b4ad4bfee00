"""Several runs side by side, what they are called, and addresses: each opens what it names, for whoever has it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from eval.report.folder import load, save
from eval.statistics import judge_labels
from finetuning.recipe import load_recipe
from finetuning.runs.folder import Run, create_run
from models.tuned import bundled_folder
from tests.browser.app_process import new_page
from tests.browser.steps import open_tab

SHIPPED = bundled_folder() / "sentiment-smollm2-lora"


def finished_run(runs_folder: Path, *settings: str, wrong: int = 0) -> Run:
    """A run of the adapter that ships, judged on its rows, of which the first so many are wrong."""
    run = create_run(load_recipe("sentiment-smollm2-lora", settings), runs_folder)
    shutil.copytree(SHIPPED, run.tuned, ignore=shutil.ignore_patterns("eval"))
    report, found = load(SHIPPED / "eval")
    rows = [
        row.model_copy(update={"tuned": row.tuned.model_copy(update={"scores": {"accuracy": 0.0}})})
        if number < wrong
        else row
        for number, row in enumerate(found)
    ]
    base, tuned = ([getattr(row, side).scores["accuracy"] for row in rows] for side in ("base", "tuned"))
    changes = {"tuned": sum(tuned) / len(tuned), "judgement": judge_labels(base, tuned)}
    metrics = [report.primary.model_copy(update=changes), *report.metrics[1:]]
    save(report.model_copy(update={"metrics": metrics}), rows, run.evaluation)
    for step in range(1, 13):
        run.append_metrics({"step": step, "loss": 2 / step})
    run.append_metrics({"step": 12, "loss": None, "eval_loss": 0.4})
    for state in ("running", "evaluating", "finished"):
        run.update(state=state)
    return run


@pytest.fixture
def runs(runs_folder: Path) -> list[Run]:
    """Two that differ in one setting."""
    settings = (("training.epochs=3",), ("training.epochs=6",))
    return [finished_run(runs_folder, *each, wrong=60 * (place == 0)) for place, each in enumerate(settings)]


def test_two_runs_are_ticked_compared_named_and_sent_by_their_address(
    page: Page, chromium: Browser, runs: list[Run]
) -> None:
    worse, better = runs
    open_tab(page, "Runs")
    expect(page).to_have_url(re.compile(r"\?tab=runs$"))
    for run in (worse, better):
        page.locator(f"#runs-table [data-tick='{run.id}']").check()
    compared = page.locator("#runs-compared")
    expect(compared.locator(".ba-headline")).to_contain_text("B is better than A: on the same 400 reviews accuracy")
    expect(compared.locator("figure polyline")).to_have_count(4)  # training and validation of both
    expect(compared.locator("[role=img]")).to_have_attribute(
        "aria-label", re.compile("B: training 0.167 at step 12")
    )
    expect(compared.locator(".ba-plot-across")).to_have_text("optimizer step")
    rows = compared.get_by_role("table", name="Settings that differ").locator("tbody tr")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("training.epochs")
    address = f"?tab=runs&runs={worse.id},{better.id}"
    expect(page).to_have_url(re.compile(re.escape(address)))
    page.click("#runs-link-compared")
    expect(page.locator("#address-said")).to_have_text("The link is copied.")

    other = new_page(chromium)
    other.set_viewport_size({"width": 390, "height": 800})
    other.goto(page.url)
    expect(other.locator("#runs-compared .ba-headline")).to_contain_text("B is better than A")
    assert other.evaluate("document.documentElement.scrollWidth") <= 390
    assert other.locator("#before .ba-score").count() == 0, "nobody looks at Compare, so nothing is asked there"
    other.goto(page.url.partition("?")[0] + "?tab=runs&run=gone-20260101-000000-0000")
    expect(other.locator("#address")).to_contain_text("is not here: it was deleted")
    other.wait_for_selector("#box")
    other.close()

    page.locator("#runs-table tbody tr", has=page.locator(f"[data-tick='{better.id}']")).locator("button").click()
    expect(page).to_have_url(re.compile(rf"\?tab=runs&run={better.id}$"))
    expect(compared).to_be_hidden()
    page.fill("#runs-name input, #runs-name textarea", "Six times <b>")
    page.keyboard.press("Enter")
    named = page.locator("#runs-table").get_by_role("button", name="Six times <b>")
    expect(named).to_be_visible()
    page.click("#runs-delete")
    expect(page.locator("#runs-deleted")).to_contain_text("Six times <b> is in the trash")
    expect(named).to_have_count(0)
    page.click("#runs-undo")
    expect(named).to_be_visible()
    expect(page.locator("#runs-verdict")).to_contain_text("on 400 reviews")
