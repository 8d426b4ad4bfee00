"""Every other tab: data that is uploaded, a run to its end and into Compare, the list of runs."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.reviews import write_reviews, write_tickets
from tests.browser.steps import (
    choose_classifier,
    choose_place,
    open_tab,
    open_train,
    start_small_run,
    wait_for_answers,
    wait_for_run,
)


def test_every_tab_opens(page: Page) -> None:
    for name, shows in {
        "Train": "#train-start",
        "Evaluate": "#evaluate-run",
        "Runs": "#runs-table",
        "Learn": "#learn ol",
        "Compare": "#box",
    }.items():
        open_tab(page, name)
        expect(page.locator(shows)).to_be_visible()
    open_train(page)
    expect(page.locator("#train-data")).to_contain_text("train ·")
    expect(page.locator("#train-estimate")).to_contain_text("parameters train")
    choose_place(page, "Dialogue summary · QLoRA")
    expect(page.locator("#train-learns")).to_contain_text("Read a conversation")
    expect(page.locator("#train-data")).to_contain_text("235 train ·")
    expect(page.locator("#train-tokens .ba-trained").first).to_be_visible()
    choose_place(page, "Your own")
    expect(page.locator("#train-file")).to_be_visible()
    expect(page.locator("#train-tokens")).to_be_empty()


def test_learn_counts_draws_and_leads_to_a_form_that_is_filled(page: Page) -> None:
    open_tab(page, "Learn")
    expect(page.locator("#learn h2").first).to_be_visible()
    expect(page.locator("#learn")).to_contain_text("134,515,008")
    expect(page.locator("#learn-update")).to_contain_text("2,442,240 of")
    slider = page.locator("#learn-rank input[type=range]")
    slider.focus()
    for _ in range(8):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#learn-update")).to_contain_text("4,884,480 of")
    expect(page.locator("#learn-levels svg").first).to_be_visible()
    for target, place, recipe, rate in (
        ("recipe:dialogue-smollm2-qlora", "Dialogue summary", "Dialogue summary · QLoRA", "0.0005"),
        ("demonstration:forgetting", "Sentiment", "Sentiment · LoRA", "0.001"),
        ("recipe:sentiment-minilm-lora", "Sentiment", "Sentiment classifier · LoRA on MiniLM", "0.001"),
    ):
        open_tab(page, "Learn")
        button = page.locator(f"[data-go='{target}']").first
        button.focus()
        page.keyboard.press("Enter")
        expect(page.locator("#train-start")).to_be_visible()
        expect(page.locator("#train-from").get_by_label(place)).to_be_checked()
        page.locator("#train-another button").first.click()
        expect(page.locator("#train-recipe input")).to_have_value(recipe)
        page.locator("#train-another button").first.click()
        page.locator("#train-more button").first.click()
        expect(page.locator("#train-learning-rate input")).to_have_value(rate)
        page.locator("#train-more button").first.click()
        expect(page.locator("#train-estimate")).to_contain_text("parameters train")


def test_all_tabs_fit_a_narrow_screen_and_learn_is_not_wider(page: Page) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    for name in ("Compare", "Train", "Evaluate", "Runs", "Lab", "Learn"):
        expect(page.get_by_role("tab", name=name, exact=True)).to_be_visible()
    open_tab(page, "Learn")
    expect(page.locator("#learn")).to_contain_text("134,515,008")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_an_uploaded_file_shows_its_mapping_and_its_markup_as_text(page: Page, tmp_path: Path) -> None:
    open_train(page)
    page.get_by_label("Upload a file").first.check()
    page.locator("#train-file input[type=file]").set_input_files(write_reviews(tmp_path / "good.csv"))
    expect(page.locator("#train-data")).to_contain_text("'Stars' is taken as label")
    expect(page.locator("#train-input-column input")).to_have_value("Comment")
    expect(page.locator("#train-target-column input")).to_have_value("Stars")
    expect(page.locator("#train-tokens .ba-trained").first).to_be_visible()
    shown = page.locator("#train-preview").inner_text()
    assert "Visit" in shown
    assert page.locator("#train-preview img, #train-tokens img").count() == 0
    assert page.evaluate("window.hacked") is None


def test_what_is_opened_asks_for_nothing_and_what_is_wrong_is_said_by_its_label(page: Page) -> None:
    open_train(page)
    page.locator("#train-more button").first.click()
    rows = page.locator("#train-train-rows").locator("input, textarea")
    expect(rows).to_be_visible()
    page.locator("#train-epochs input").fill("2")
    page.keyboard.press("Tab")
    expect(page.locator("#train-estimate")).to_contain_text("parameters train")
    expect(page.locator("#train-size").get_by_label("As written below")).to_be_checked()
    assert rows.input_value() == ""
    rows.fill("0")
    page.keyboard.press("Tab")
    expect(page.locator("#train-estimate")).to_contain_text("“Training rows” is a whole number from 1")
    page.locator("#train-test-rows").locator("input, textarea").fill("4")
    rows.fill("")
    page.keyboard.press("Tab")
    expect(page.locator("#train-estimate")).to_contain_text("4 test rows: no verdict will be possible")


def test_a_file_with_problems_lists_them_with_their_rows(page: Page, tmp_path: Path) -> None:
    open_train(page)
    page.get_by_label("Upload a file").first.check()
    broken = write_reviews(tmp_path / "broken.csv", broken=True)
    page.locator("#train-file input[type=file]").set_input_files(broken)
    data = page.locator("#train-data")
    expect(data).to_contain_text("broken.csv cannot be used")
    expect(data).to_contain_text("row 4, column Comment: The text is empty")


def test_a_run_goes_to_its_end_survives_a_reload_and_can_be_compared(page: Page, console_errors: list[str]) -> None:
    open_train(page)
    choose_classifier(page)
    start_small_run(page)
    page.reload()
    open_train(page)
    console_errors.clear()  # a reload cuts Gradio's connections, and it says so
    expect(page.locator("#train-state .ba-state")).to_be_visible()
    wait_for_run(page, "finished")
    expect(page.locator("#train-loss svg polyline")).to_have_count(2)  # with the validation loss
    expect(page.locator("#train-loss figcaption")).to_contain_text("kept: step")
    expect(page.locator("#train-verdict")).to_contain_text("on 8 reviews accuracy")
    expect(page.locator("#train-verdict .ba-metrics tbody tr")).to_have_count(2)
    expect(page.locator("#train-flips tbody tr")).to_have_count(8)
    expect(page.locator("#train-details")).to_contain_text("Where the numbers come from")
    page.click("#train-compare")
    expect(page.locator("#model input")).not_to_have_value("Sentiment · LoRA · shipped")
    expect(page.locator("#status")).to_contain_text("all-MiniLM-L6-v2")
    wait_for_answers(page)
    open_tab(page, "Runs")
    expect(page.locator("#runs-table")).to_contain_text("finished")
    page.locator("#runs-table tbody tr").first.click()
    expect(page.locator("#runs-verdict")).to_contain_text("on 8 reviews")


def test_a_file_of_ones_own_is_proposed_trained_and_compared(page: Page, tmp_path: Path) -> None:
    open_tab(page, "Train")
    choose_place(page, "Your own")
    page.locator("#train-file input[type=file]").set_input_files(write_tickets(tmp_path / "tickets.csv"))
    expect(page.locator("#train-data")).to_contain_text("3 labels: billing 24, defect 24, shipping 24")
    expect(page.locator("#train-learns")).to_contain_text("has 3 values that repeat")
    expect(page.locator("#train-instruction textarea")).to_have_value(re.compile("billing, defect, shipping"))
    expect(page.locator("#train-input-column input")).to_have_value("Message")
    expect(page.locator("#train-sizes tbody tr")).to_have_count(3)
    choose_classifier(page)
    page.locator("#train-size").get_by_label("Quick").check()
    expect(page.locator("#train-sizes")).to_contain_text("54 rows, 6 times; 12 to test")
    start_small_run(page, train_rows=32, test_rows=8)
    wait_for_run(page, "finished")
    expect(page.locator("#train-verdict")).to_contain_text("on 8 texts accuracy")
    expect(page.locator("#train-details")).to_contain_text("Each of the 3 labels")
    page.click("#train-compare")
    expect(page.locator("#task").get_by_label("Your own")).to_be_checked()
    expect(page.locator("#model input")).to_have_value(re.compile("^tickets · LoRA"))
    wait_for_answers(page)
    expect(page.locator("#after .ba-bar-row")).to_have_count(3)
    open_tab(page, "Evaluate")
    page.locator("#evaluate-task").get_by_label("Your own").check()
    expect(page.locator("#evaluate-verdict")).to_contain_text("on 8 texts accuracy")


def test_a_damaged_run_is_shown_and_the_others_still_work(page: Page, runs_folder: Path) -> None:
    damaged = runs_folder / "sentiment-smollm2-lora-20200101-000000-abcd"
    damaged.mkdir(parents=True)
    (damaged / "status.json").write_text('{"state": "runn', encoding="utf-8")
    open_tab(page, "Runs")
    expect(page.locator("#runs-table .ba-state-damaged")).to_be_visible()
    page.locator("#runs-table tbody tr").last.click()
    expect(page.locator("#runs-state")).to_contain_text("cannot be read")
