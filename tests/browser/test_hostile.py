"""Script in every place of a file and of a form is text on the page."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.steps import open_tab, open_train

SCRIPT = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>\"><svg onload=window.hacked=1>"


def write(path: Path, header: list[str], rows: list[list[str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([header, *rows])
    return path


@pytest.mark.parametrize("place", ["texts", "labels", "columns"])
def test_script_in_a_file_is_text(page: Page, tmp_path: Path, place: str) -> None:
    labels = ["positive", "negative"] if place == "texts" else [f"{SCRIPT}{number}" for number in range(2)]
    header = (
        ["<img src=x onerror=window.hacked=1>", "<svg onload=window.hacked=1>"]
        if place == "columns"
        else ["text", "label"]
    )
    rows = [[f"{SCRIPT} number {number}", labels[number % 2]] for number in range(40)]
    file = write(tmp_path / "<b onmouseover=window.hacked=1>.csv", header, rows)
    open_train(page)
    page.get_by_label("Upload a file").first.check()
    page.locator("#train-file input[type=file]").set_input_files(file)
    says = {"texts": "train ·", "labels": "onerror", "columns": "It is not clear"}[place]
    expect(page.locator("#train-data")).to_contain_text(says)
    # What is drawn last: the tokens of a row, or none where no row can be read.
    tokens = page.locator("#train-tokens")
    if place == "texts":
        expect(tokens).to_contain_text("onerror")
    else:
        expect(tokens.locator(".ba-trained")).to_have_count(0)
    assert page.locator(".gradio-container img[src=x], .gradio-container svg[onload]").count() == 0
    assert page.evaluate("window.hacked") is None


def test_script_in_the_form_and_in_the_chat_is_text(page: Page) -> None:
    page.fill("#box textarea", SCRIPT)
    page.click("#send")
    expect(page.locator("#message")).to_contain_text("onerror")
    page.click("#stop")
    open_train(page)
    page.locator("#train-another button").first.click()
    page.locator("#train-base input").fill(SCRIPT)
    page.keyboard.press("Enter")
    page.click("#train-start")  # the run fails, and says why
    expect(page.locator("#train-state .ba-problems")).to_contain_text("onerror")
    open_tab(page, "Runs")
    page.locator("#runs-table tbody tr").first.click()
    expect(page.locator("#runs-state")).to_contain_text("onerror")
    page.click("#runs-delete")
    page.wait_for_selector("#runs-undo")
    assert page.locator(".gradio-container img[src=x], .gradio-container svg[onload]").count() == 0
    assert page.evaluate("window.hacked") is None
