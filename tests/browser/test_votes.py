"""A blind vote in a real browser: nothing on the page names a side before it, and everything does afterwards."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.steps import wait_for_answers

QUESTION = "The tea was cold, and the cake was worse."


def test_a_vote_is_given_by_keyboard_and_then_the_sides_have_their_names(page: Page) -> None:
    wait_for_answers(page)
    expect(page.locator("#vote")).to_be_hidden()
    page.get_by_label("Blind").check()
    page.fill("#box textarea", QUESTION)
    page.click("#send")
    expect(page.locator("#vote")).to_be_visible()
    for panel, place in (("#before", "Left"), ("#after", "Right")):
        expect(page.locator(f"{panel} h2")).to_have_text(place)
        assert not re.search("before|after|base|tuned|tokens|%", page.inner_text(panel), re.IGNORECASE)
        assert not re.search("ba-(base|tuned)", page.inner_html(panel))
    expect(page.locator("#reference")).to_be_empty()
    page.set_viewport_size({"width": 390, "height": 800})
    for button in ("left", "right", "tie", "both-bad"):
        box = page.locator(f"#vote-{button}").bounding_box()
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 390
    page.locator("#vote-left").focus()
    for _ in range(2):
        page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Tie")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#votes")).to_contain_text("won 0.50 of 1 vote")
    expect(page.locator("#before h2")).to_contain_text("a tie, by your vote")
    expect(page.locator("#vote")).to_be_hidden()
    titles = sorted(page.locator(f"{panel} h2").inner_text() for panel in ("#before", "#after"))
    assert titles[0].startswith("After") and titles[1].startswith("Before")
    page.locator("#votes-learn button").first.click()
    expect(page.locator("#votes-learn")).to_contain_text("vote on 8 more messages")
    expect(page.locator("#votes-pairs")).to_be_disabled()
    page.click("#votes-delete")
    page.click("#votes-really")
    expect(page.locator("#votes")).to_be_hidden()
    expect(page.locator("#votes-learn")).to_be_hidden()
