"""The Evaluate tab: the verdict in words, the rows that flipped, and from one of them into Compare."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from playwright.sync_api import Page, expect

from finetuning.jobs.asked import EVALUATION
from finetuning.runs.jobs import list_jobs
from tests.browser.reviews import HOSTILE, write_reviews
from tests.browser.steps import evaluate, open_tab, wait_for_answers

ROWS = 12


def count(page: Page, kind: str) -> int:
    """How many rows the filter says there are of a kind."""
    said = page.locator("#evaluate-kind label", has_text=kind).inner_text()
    return int(re.sub(r"\D", "", said))


def test_a_shipped_adapter_is_evaluated_and_a_row_is_opened_in_compare(page: Page) -> None:
    open_tab(page, "Evaluate")
    expect(page.locator("#evaluate-few-shot input")).not_to_be_checked()
    expect(page.locator("#evaluate-forgetting input")).not_to_be_checked()
    verdict = page.locator("#evaluate-verdict")
    expect(verdict.locator(".ba-headline")).to_contain_text("on 400 reviews")  # what it came with
    expect(page.locator("#evaluate-progress")).to_contain_text("when this model was tuned")
    evaluate(page, rows=ROWS)

    expect(verdict.locator(".ba-headline")).to_have_text(
        re.compile(rf"(Better|Worse|No evidence of a change)( than the base)?: on {ROWS} reviews accuracy ")
    )
    expect(verdict.locator(".ba-metrics tbody tr")).to_have_count(2)
    expect(verdict.locator(".ba-metrics tbody tr").last).to_contain_text("exploratory")
    expect(page.locator("#evaluate-details")).to_contain_text("majority class")
    expect(page.locator("#evaluate-details")).not_to_contain_text("What it cost")

    rows = page.locator("#evaluate-flips tbody tr")
    expect(rows).to_have_count(ROWS)
    kinds = [count(page, kind) for kind in ("Gained", "Lost", "Same")]
    assert sum(kinds) == count(page, "All") == ROWS
    page.locator("#evaluate-kind label", has_text="Same").click()
    expect(rows).to_have_count(kinds[2])
    page.locator("#evaluate-kind label", has_text="All").click()
    expect(rows).to_have_count(ROWS)
    review = rows.nth(3).locator("td").nth(2).inner_text()
    page.fill("#evaluate-wanted input, #evaluate-wanted textarea", review[:40].upper())
    expect(rows).to_have_count(1)

    with page.expect_download() as download:
        page.click("#evaluate-flips-csv")
    with Path(download.value.path()).open(encoding="utf-8-sig", newline="") as handle:
        flips = list(csv.DictReader(handle))
    assert [flip["flip"] for flip in flips].count("gained") == kinds[0]
    assert len(flips) == kinds[0] + kinds[1]

    rows.first.locator("button").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#message .ba-text")).to_have_text(review)
    expect(page.get_by_role("tab", name="Compare", exact=True)).to_have_attribute("aria-selected", "true")
    expect(page.locator("#model input")).to_have_value("Sentiment · LoRA · shipped")
    wait_for_answers(page)
    expect(page.locator("#reference")).to_contain_text(re.compile("positive|negative"))
    expect(page.locator("#box textarea")).to_have_value("")


def test_an_evaluation_goes_on_without_its_page_and_stops_when_it_is_asked_to(
    page: Page, runs_folder: Path, console_errors: list[str]
) -> None:
    open_tab(page, "Evaluate")
    page.click("#evaluate-run")  # on all rows: it is not over by itself before long
    state = page.locator("#evaluate-progress")
    expect(state.locator(".ba-state-running")).to_be_visible()
    expect(page).to_have_url(re.compile(r"\?tab=evaluate&report=evaluation\."))
    page.reload()
    expect(state.locator(".ba-progress")).to_be_visible()
    console_errors.clear()  # a reload cuts Gradio's connections, and it says so
    expect(page.locator("#going")).to_contain_text("Evaluating")
    job = list_jobs({EVALUATION}, runs_folder)[0]
    page.click("#evaluate-stop")
    expect(state.locator(".ba-state-cancelled")).to_be_visible()
    expect(state).to_contain_text("Nothing was measured")
    expect(page.locator("#evaluate-stop")).to_be_hidden()
    assert not job.process_alive() and not job.evaluation.exists()
    expect(page.locator("#going .ba-status")).to_have_count(0)


def test_a_file_is_evaluated_on_a_narrow_screen_and_its_markup_is_text(page: Page, tmp_path: Path) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    open_tab(page, "Evaluate")
    page.locator("#evaluate-sentiment-source").get_by_label("Upload a file").check()
    file = write_reviews(tmp_path / "reviews.csv")
    page.locator("#evaluate-sentiment-file input[type=file]").set_input_files(file)
    expect(page.locator("#evaluate-sentiment-mapping")).to_be_visible()
    evaluate(page, rows=4)

    expect(page.locator("#evaluate-flips")).to_contain_text(HOSTILE)
    assert page.locator("#evaluate-flips img").count() == 0
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    with page.expect_download() as download:
        page.click("#evaluate-report-json")
    assert '"task":' in download.value.path().read_text(encoding="utf-8")
