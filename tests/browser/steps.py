"""What a person does on the page, step by step, for the tests and the screenshots."""

from __future__ import annotations

import re

from playwright.sync_api import Page, TimeoutError, expect

from finetuning.recipe import load_recipe
from finetuning.runs.states import RESUMABLE
from ui.drawing.text import OTHERS_FIRST

ENDS = ("finished", *RESUMABLE, "damaged")
"""How a run can end, as the page says it."""


def open_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def wait_for_answers(page: Page) -> None:
    """Until both answers are complete and scored: live ones, which say how long they took.

    A page that was opened while others were answered leaves it at what was recorded, and is asked.
    """
    live, waits = page.locator("#after .ba-stats", has_text=re.compile(r"\d\.\d s")), page.get_by_text(OTHERS_FIRST)
    expect(live.or_(waits)).to_be_visible()
    if waits.is_visible():
        page.click("#example-0")
    for panel in ("#before", "#after"):
        expect(page.locator(f"{panel} .ba-stats")).to_contain_text(re.compile(r"\d\.\d s"))
        page.wait_for_selector(f"{panel} .ba-score")
    page.wait_for_selector(".ba-growing", state="detached")


def open_train(page: Page) -> None:
    """The Train tab, which begins with reviews, with its data read."""
    open_tab(page, "Train")
    page.wait_for_selector("#train-tokens .ba-trained")


def choose_place(page: Page, title: str) -> None:
    """Another starting point, in the open Train tab."""
    page.locator("#train-from").get_by_label(title).check()


def choose_classifier(page: Page) -> None:
    """The recipe for MiniLM, in the open Train tab: it is ready sooner, trains faster, and writes no text."""
    recipe = load_recipe("sentiment-minilm-lora")
    page.locator("#train-another button").first.click()
    page.locator("#train-recipe input").click()
    page.get_by_role("option", name=recipe.title).click()
    expect(page.locator("#train-base input")).to_have_value(recipe.model.base)


def start_small_run(
    page: Page,
    *,
    train_rows: int = 32,
    test_rows: int = 8,
    epochs: int = 1,
    batch_size: int = 16,
) -> None:
    """A run on a few rows, through the form."""
    page.locator("#train-more button").first.click()
    wanted = {"train-rows": train_rows, "test-rows": test_rows, "epochs": epochs, "batch-size": batch_size}
    for name, value in wanted.items():
        page.locator(f"#train-{name}").locator("input, textarea").fill(str(value))
        page.keyboard.press("Tab")
    page.click("#train-start")
    page.wait_for_selector("#train-state .ba-state")


def evaluate(page: Page, *, rows: int) -> None:
    """The chosen model on the first `rows` test rows, in the open Evaluate tab."""
    page.fill("#evaluate-rows input, #evaluate-rows textarea", str(rows))
    page.keyboard.press("Tab")
    page.click("#evaluate-run")
    page.wait_for_selector("#evaluate-progress .ba-progress")
    page.wait_for_selector("#evaluate-verdict .ba-headline")
    page.wait_for_selector("#evaluate-flips tbody tr")


def wait_for_run(page: Page, state: str) -> None:
    """Until the run has ended, which must be in `state`; else the error says what the page showed of it."""
    ends = ", ".join(f"#train-state .ba-state-{end}" for end in ENDS)
    try:
        page.wait_for_selector(ends)
    except TimeoutError as error:
        raise AssertionError(f"Not ended: {shown(page)}") from error
    assert page.locator(f"#train-state .ba-state-{state}").count(), f"Not {state}: {shown(page)}"


def shown(page: Page) -> str:
    return page.locator("#train-state").inner_text()
