"""What a person does on the page, step by step, for the tests and the screenshots."""

from __future__ import annotations

from playwright.sync_api import Page, TimeoutError, expect

from finetuning.recipe import load_recipe
from finetuning.runs.states import RESUMABLE

ENDS = ("finished", *RESUMABLE, "damaged")
"""How a run can end, as the page says it."""


def open_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def wait_for_answers(page: Page) -> None:
    """Until both answers are complete and scored."""
    page.wait_for_selector("#before .ba-score")
    page.wait_for_selector("#after .ba-score")
    page.wait_for_selector(".ba-growing", state="detached")


def open_train(page: Page) -> None:
    """The Train tab with its data read."""
    open_tab(page, "Train")
    open_tab(page, "Sentiment · LoRA")
    page.wait_for_selector("#sentiment-tokens .ba-trained")


def choose_classifier(page: Page, *, task: str = "sentiment") -> None:
    """The recipe for MiniLM, in the open Train tab: it is ready sooner, trains faster, and writes no text."""
    recipe = load_recipe("sentiment-minilm-lora")
    page.locator(f"#{task}-another button").first.click()
    page.locator(f"#{task}-recipe input").click()
    page.get_by_role("option", name=recipe.title).click()
    expect(page.locator(f"#{task}-base input")).to_have_value(recipe.model.base)


def start_small_run(
    page: Page,
    *,
    task: str = "sentiment",
    train_rows: int = 32,
    test_rows: int = 8,
    epochs: int = 1,
    batch_size: int = 16,
) -> None:
    """A run on a few rows, through the form of a task."""
    page.locator(f"#{task}-more button").first.click()
    wanted = {"train-rows": train_rows, "test-rows": test_rows, "epochs": epochs, "batch-size": batch_size}
    for name, value in wanted.items():
        page.locator(f"#{task}-{name}").locator("input, textarea").fill(str(value))
        page.keyboard.press("Tab")
    page.click(f"#{task}-start")
    page.wait_for_selector(f"#{task}-state .ba-state")


def evaluate(page: Page, *, rows: int) -> None:
    """The chosen model on the first `rows` test rows, in the open Evaluate tab."""
    page.fill("#evaluate-rows input, #evaluate-rows textarea", str(rows))
    page.keyboard.press("Tab")
    page.click("#evaluate-run")
    page.wait_for_selector("#evaluate-progress .ba-progress")
    page.wait_for_selector("#evaluate-verdict .ba-headline")
    page.wait_for_selector("#evaluate-flips tbody tr")


def wait_for_run(page: Page, state: str, *, task: str = "sentiment") -> None:
    """Until the run has ended, which must be in `state`; else the error says what the page showed of it."""
    ends = ", ".join(f"#{task}-state .ba-state-{end}" for end in ENDS)
    try:
        page.wait_for_selector(ends)
    except TimeoutError as error:
        raise AssertionError(f"Not ended: {shown(page, task)}") from error
    assert page.locator(f"#{task}-state .ba-state-{state}").count(), f"Not {state}: {shown(page, task)}"


def shown(page: Page, task: str) -> str:
    return page.locator(f"#{task}-state").inner_text()
