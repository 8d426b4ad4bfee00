"""The Compare tab, with the adapters that ship, in a real browser."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.steps import wait_for_answers


def test_the_first_page_shows_two_answers_without_a_click_recorded_and_then_live(page: Page) -> None:
    recorded = page.evaluate("gradio_config.components.find(each => each.props.elem_id === 'after').props.value")
    assert "recorded" in recorded and "ba-verdict" in recorded, "it is in the page itself"
    expect(page.locator("#story")).to_contain_text("right on 400 new ones")
    wait_for_answers(page)
    told = page.locator("#told")
    expect(told).to_contain_text(re.compile("^(Before says|Before and After)"))
    expect(told.locator("[role=status][aria-live=polite]")).to_have_count(1)
    expect(page.locator("#stop")).to_be_disabled()
    for panel in ("#before", "#after"):
        expect(page.locator(f"{panel} .ba-answer .ba-text")).not_to_be_empty()
        expect(page.locator(f"{panel} .ba-bar-row")).to_have_count(2)
        expect(page.locator(f"{panel} .ba-stats")).to_contain_text(re.compile(r"\d+ tokens? · \d+\.\d s"))
    expect(page.locator("#badge")).to_contain_text("✓ adapter acts")
    expect(page.locator("#status")).to_contain_text("SmolLM2-135M · ")
    height = page.locator("#example-0").bounding_box()
    assert height is not None and height["y"] + height["height"] <= 800, "the first view fits the window"


def test_an_example_streams_and_is_scored_against_its_reference(page: Page) -> None:
    wait_for_answers(page)
    page.click("#example-1")
    page.wait_for_selector(".ba-growing")
    expect(page.locator("#reference")).to_contain_text(re.compile("positive|negative"))
    wait_for_answers(page)
    assert re.match("[✓✗] (positive|negative)", page.inner_text("#after .ba-score"))
    page.fill("#box textarea", "Not bad at all.")
    page.click("#send")
    expect(page.locator("#message .ba-text")).to_have_text("Not bad at all.")
    expect(page.locator("#after .ba-bar-row")).to_have_count(2)
    expect(page.locator("#past")).to_be_empty()
    expect(page.locator("#follow")).to_be_hidden()
    wait_for_answers(page)
    expect(page.locator("#after .ba-score")).to_have_text(re.compile("^(positive|negative)$"))
    page.set_viewport_size({"width": 390, "height": 800})  # one under the other, with bars to see
    sides = [page.locator(side).bounding_box() for side in ("#before .ba-panel", "#after .ba-panel")]
    assert sides[0]["y"] + sides[0]["height"] <= sides[1]["y"] and sides[1]["x"] + sides[1]["width"] <= 390
    assert page.locator("#after .ba-bar").first.bounding_box()["width"] > 100


def test_dialogues_are_stopped_followed_up_and_scored(page: Page) -> None:
    page.get_by_label("Dialogue summary").first.check()
    page.wait_for_selector("#before .ba-growing")
    expect(page.locator("#before .ba-stats")).to_contain_text(re.compile("[2-9] tokens"))
    page.click("#stop")
    page.wait_for_selector(".ba-growing", state="detached")
    expect(page.locator("#before .ba-stats")).to_contain_text("stopped")
    page.fill("#box textarea", "Who said <b>that</b>?")
    page.click("#follow")
    page.wait_for_selector("#past .ba-turn")
    expect(page.locator("#message .ba-text")).to_have_text("Who said <b>that</b>?")
    expect(page.locator("#box textarea")).to_have_value("")
    page.click("#example-2")
    expect(page.locator("#past")).to_be_empty()
    wait_for_answers(page)
    assert re.match(r"ROUGE-L 0\.\d\d", page.inner_text("#before .ba-score"))
    expect(page.locator("#reference")).to_contain_text("Reference")


def test_an_empty_message_is_a_toast_and_changes_nothing(page: Page) -> None:
    wait_for_answers(page)
    shown = page.inner_text("#message")
    page.fill("#box textarea", "   ")
    page.click("#send")
    expect(page.get_by_text("The message is empty")).to_be_visible()
    assert page.inner_text("#message") == shown


def test_a_message_longer_than_the_model_takes_is_kept_in_its_box(page: Page) -> None:
    wait_for_answers(page)
    long = "It was long. " * 4000
    page.fill("#box textarea", long)
    page.click("#send")
    expect(page.get_by_text("The message is too long")).to_be_visible()
    assert page.input_value("#box textarea") == long
