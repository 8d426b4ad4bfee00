"""The same rows give the same splits in any order; like texts stay together; labels are shared out."""

import random
import re
import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.splits import SPLIT_NAMES, assign_splits, normalised, split_rows
from data.tasks import DIALOGUE, SENTIMENT


def reviews(count):
    return [
        {"text": f"review number {n}", "label": "positive" if n % 4 else "negative", "row": n}
        for n in range(1, count + 1)
    ]


def members(splits):
    return {name: {row["row"] for row in rows} for name, rows in splits.items()}


def test_sizes_follow_the_fractions_within_each_label():
    splits = split_rows(reviews(400), SENTIMENT, test_fraction=0.2, validation_fraction=0.05)
    assert {name: Counter(row["label"] for row in rows) for name, rows in splits.items()} == {
        "train": {"positive": 225, "negative": 75},
        "validation": {"positive": 15, "negative": 5},
        "test": {"positive": 60, "negative": 20},
    }


def test_the_order_of_the_rows_changes_nothing_but_the_order():
    rows = reviews(120)
    shuffled = random.Random(5).sample(rows, len(rows))
    assert members(split_rows(rows, SENTIMENT)) == members(split_rows(shuffled, SENTIMENT))
    assert [row["row"] for row in split_rows(rows, SENTIMENT)["train"]] == sorted(
        row["row"] for row in split_rows(rows, SENTIMENT)["train"]
    )


def test_the_split_is_the_same_on_every_machine_and_in_every_version():
    assert members(split_rows(reviews(16), SENTIMENT))["test"] == {5, 8, 13}


def test_few_added_rows_move_few_rows():
    before, after = (members(split_rows(reviews(count), SENTIMENT)) for count in (400, 404))
    assert len(before["test"] - after["test"]) <= 2


def test_texts_that_differ_only_in_case_and_punctuation_stay_together():
    rows = reviews(60)
    rows += [{**row, "text": row["text"].upper() + " !", "row": row["row"] + 100} for row in rows]
    for numbers in members(split_rows(rows, SENTIMENT)).values():
        assert {number % 100 for number in numbers if number > 100} == {n for n in numbers if n <= 100}


def test_eight_rows_are_enough_for_three_splits():
    rows = [{"dialogue": f"Ann: {n}", "summary": "Ann counts.", "row": n} for n in range(8)]
    assert {name: len(split) for name, split in split_rows(rows, DIALOGUE).items()} == {
        "train": 6,
        "validation": 1,
        "test": 1,
    }


def test_a_fraction_of_zero_leaves_the_split_empty():
    splits = split_rows(reviews(40), SENTIMENT, test_fraction=0)
    assert splits["test"] == []
    assert len(splits["train"]) + len(splits["validation"]) == 40


def test_what_counts_as_the_same_text():
    assert normalised("  It's FINE…\n") == normalised("it s fine") == "it s fine"
    assert normalised("ｆｕｌｌ　width") == "full width"
    assert normalised("!!!") == "!!!"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("पिता", "पोती"),  # father and granddaughter
        ("ดีมาก", "ดูมาก"),
        ("பால்", "பல்"),  # milk and tooth
        ("کِتاب", "کُتاب"),
        ("x\u0304 = 2", "x = 2"),
    ],
)
def test_words_that_differ_by_their_marks_are_different_texts(one, other):
    assert normalised(one) != normalised(other)
    assert normalised(f"{one}, {one}!") == f"{normalised(one)} {normalised(one)}"
    assert normalised(unicodedata.normalize("NFD", one)) == normalised(one)


@pytest.mark.parametrize("text", ["I ❤️ it", "❤️", "1️⃣ Größe, café", "葛\U000e0100城", "\u0301a", "_\u0301a"])
def test_a_mark_of_no_letter_and_how_a_sign_is_drawn_say_nothing(text):
    assert normalised(text) == normalised(text, marks=False)


@given(st.text(alphabet=st.characters(exclude_categories=["Mn", "Mc"])))
def test_texts_without_marks_have_the_keys_of_earlier_versions(text):
    """Splits do not move, and what was trained on is known again."""
    composed = unicodedata.normalize("NFKC", text).casefold()
    if any(unicodedata.category(sign) in ("Mn", "Mc") for sign in composed):
        return  # İ in lower case is an i with a dot
    assert normalised(text) == (" ".join(re.sub(r"[\W_]+", " ", composed).split()) or composed.strip())


def test_a_corpus_is_divided_once_evenly_in_every_stratum():
    rows = [
        {"text": f"{label} {topic} {n}", "label": label, "topic": topic}
        for label in ("negative", "positive")
        for topic in ("films", "food")
        for n in range(25)
    ]
    sizes = {"train": 50, "validation": 10, "test": 40}
    assigned = assign_splits(rows, sizes, stratify_by=("label", "topic"))
    assert Counter(row["split"] for row in assigned) == sizes
    for name in SPLIT_NAMES:
        mine = [row for row in assigned if row["split"] == name]
        assert set(Counter(row["label"] for row in mine).values()) == {sizes[name] / 2}
        by_topic = Counter((row["label"], row["topic"]) for row in mine)
        assert all(abs(count - sizes[name] / 4) <= 1 for count in by_topic.values())
    assert assigned == assign_splits(rows[::-1], sizes, stratify_by=("label", "topic"))
    assert [row["text"] for row in assigned] != [row["text"] for row in rows]


def test_sizes_that_do_not_add_up_are_refused():
    with pytest.raises(ValueError, match="add up to 3, but there are 2"):
        assign_splits([{"text": "a"}, {"text": "b"}], {"train": 2, "test": 1}, stratify_by=())
