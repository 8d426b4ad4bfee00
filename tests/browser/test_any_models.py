"""Any models: a base and two adapters judged on the same rows, and two models that chat."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from data.tasks import TASKS
from tests.browser.reviews import HOSTILE, write_reviews
from tests.browser.steps import open_tab

BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"
SENTIMENT, DIALOGUE = "Sentiment · LoRA · shipped", "Dialogue summary · QLoRA · shipped"


def choose(page: Page, field: str, option: str) -> None:
    """From a list, by its name."""
    page.locator(f"#{field} input").fill(option)
    page.get_by_role("option", name=option).first.click()
    page.keyboard.press("Tab")


def test_a_base_and_two_adapters_are_compared_on_a_file(page: Page, tmp_path: Path) -> None:
    open_tab(page, "Evaluate")
    page.locator("#evaluate-what").get_by_label("Any models").check()
    expect(page.locator("#any-base input")).to_have_value(re.compile("SmolLM2-135M-Instruct"))
    for option in (SENTIMENT, DIALOGUE):
        choose(page, "any-tuned", option)
    page.locator("#any-source").get_by_label("Upload a file").check()
    page.locator("#any-file input[type=file]").set_input_files(write_reviews(tmp_path / "reviews.csv"))
    page.fill("#any-rows textarea, #any-rows input", "6")
    page.click("#any-run")
    expect(page.get_by_text("The sides were tuned for several tasks")).to_be_visible()
    page.locator("#any-more button").first.click()
    choose(page, "any-task", TASKS["sentiment"].title)
    page.click("#any-run")
    expect(page.locator("#any-verdict .ba-headline")).to_contain_text("is the best of 2 here")
    expect(page.locator("#any-verdict svg")).to_have_count(2)
    rows = page.locator("#any-flips tbody tr")
    expect(rows).to_have_count(6)
    expect(page.locator("#any-flips")).to_contain_text(HOSTILE)
    assert page.locator("#any-flips img").count() == 0 and page.evaluate("window.hacked") is None
    page.fill("#any-wanted input, #any-wanted textarea", HOSTILE[:12])
    expect(rows).to_have_count(1)
    with page.expect_download() as download:
        page.click("#any-verdict-html")
    assert "<script" not in download.value.path().read_text(encoding="utf-8")
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_two_named_models_answer_side_by_side(page: Page) -> None:
    page.wait_for_selector("#before .ba-score")
    page.locator("#others button").first.click()
    page.locator("#other-left input").fill(BASE)
    page.keyboard.press("Enter")
    choose(page, "other-right", DIALOGUE)
    page.click("#other-use")
    expect(page.locator("#before h2")).to_contain_text("Left")
    expect(page.locator("#after h2")).to_contain_text(DIALOGUE)
    page.wait_for_selector(".ba-growing", state="detached")
    page.fill("#box textarea", "Ana: Is the shop still open?\nLeo: Until six.")
    page.click("#send")
    expect(page.locator("#message .ba-text")).to_contain_text("Until six.")
    page.wait_for_selector("#after .ba-growing")
    page.wait_for_selector(".ba-growing", state="detached")
    for panel in ("#before", "#after"):
        expect(page.locator(f"{panel} .ba-answer .ba-text")).not_to_be_empty()
    expect(page.locator("#badge")).to_contain_text("Votes are on what was tuned here")
