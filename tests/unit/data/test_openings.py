"""How a text begins, and how it goes on: together they are the text, to the sign."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.openings import WORDS, opening_of

LETTER = (
    "My dear Otto,\n\nThe kettle has been singing since six, and I have let it sing. You ask about the roof. "
    "It is still there, which is more than can be said for the gutter, and I am grateful for the sky."
)


@given(st.text())
def test_opening_and_rest_are_the_text(text):
    opening, rest = opening_of(text)
    assert opening + rest == text
    assert len(opening) <= max(200, len(text) // 2, WORDS)


def test_it_ends_with_a_sentence_where_one_ends_nearby():
    opening, rest = opening_of(LETTER)
    assert opening.endswith("and I have let it sing.") and rest.startswith(" You ask about the roof.")


@pytest.mark.parametrize(
    ("text", "opening"),
    [
        ("", ""),
        ("Word", "Word"),
        ("Two words", "Two"),
        ("a b c d e f g h", "a b c d"),
        ("one line here\nand another one", "one line here"),
        ("字" * 60, "字" * 30),
        ("字" * 900, "字" * 200),
    ],
)
def test_of_a_short_text_it_is_half(text, opening):
    assert opening_of(text)[0] == opening


def test_words_as_long_as_pages_are_cut():
    opening, rest = opening_of("x" * 900 + " " + "y" * 900)
    assert len(opening) == 200 and opening + rest == "x" * 900 + " " + "y" * 900
