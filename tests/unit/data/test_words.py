"""A word is the same thing in every script, however it is encoded."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.words import words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ana's re-do, 3.50!", ["ana", "s", "re", "do", "3", "50"]),
        ("snake_case", ["snake", "case"]),
        ("Größe GRÖSSE", ["grösse", "grösse"]),
        ("Ｆｕｌｌ ｗｉｄｔｈ", ["full", "width"]),
        ("хороший фильм", ["хороший", "фильм"]),
        ("फ़िल्म अच्छी", ["फ़िल्म", "अच्छी"]),  # vowel signs and the nukta are marks
        ("电影 iPhone15很好。", ["电", "影", "iphone15", "很", "好"]),
        ("映画は良い", ["映", "画", "は", "良", "い"]),
        ("영화가 좋다", ["영", "화", "가", "좋", "다"]),
        ("ดีมาก", ["ด\u0e35", "ม", "า", "ก"]),  # a vowel above its consonant belongs to it
        ("می\u200cخواهم", ["میخواهم"]),  # a joiner within a word is not seen
        ("one\u200btwo", ["one", "two"]),  # a space of no width is one
        ("👍 ❤️ — …", []),
        ("\u0301a", ["a"]),  # a mark on nothing
    ],
)
def test_words(text, expected):
    assert words(text) == [unicodedata.normalize("NFKC", word) for word in expected]


@given(st.text(max_size=40))
def test_the_encoding_of_accents_does_not_matter(text):
    assert words(unicodedata.normalize("NFD", text)) == words(unicodedata.normalize("NFC", text))
