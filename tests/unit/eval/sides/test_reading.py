"""Labels out of what was written: read where there is one, and never guessed."""

import pytest

from eval.sides.reading import read_label

TWO = ("negative", "positive")


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ("positive", "positive"),
        (" Positive.\n", "positive"),
        ('"NEGATIVE"', "negative"),
        ("**positive**", "positive"),
        ("`positive`", "positive"),
        ("“positive”", "positive"),
        ("The sentiment of this review is positive.", "positive"),
        ("Answer: negative", "negative"),
        ('{"label": "positive"}', "positive"),
        ('```json\n{"sentiment": "negative"}\n```', "negative"),
        ("positive, positive, positive", "positive"),
        ("ｐｏｓｉｔｉｖｅ", "positive"),
        ("<think>It could be negative.</think>\n\npositive", "positive"),
        ("It could be negative.</think> positive", "positive"),
        ("Positive. <think>Or negative?</think>", "positive"),
        ("No doubt. It is positive.", "positive"),
        ("", ""),
        ("   \n", ""),
        ("I cannot tell.", ""),
        ("positively", ""),
        ("unpositive", ""),
        ("positive_review", ""),
        ("It is not positive.", ""),
        ("It isn't really positive", ""),
        ("It isn’t positive", ""),
        ("non-positive", ""),
        ("neither positive nor negative", ""),
        ("positive and negative", ""),
        ("positive, not negative", ""),
        ('{"positive": 0.9, "negative": 0.1}', ""),
        ("<think>positive", ""),
        ("Das ist nicht positive", ""),
    ],
)
def test_one_of_two_labels(written, label):
    assert read_label(written, TWO) == label


@pytest.mark.parametrize(
    ("written", "labels", "label"),
    [
        # One label contains another.
        ("not spam", ("spam", "not spam"), "not spam"),
        ("It is not spam.", ("spam", "not spam"), "not spam"),
        ("This is spam!", ("spam", "not spam"), "spam"),
        ("very positive", ("positive", "very positive"), "very positive"),
        ("very positive or positive", ("positive", "very positive"), ""),
        ("card_payment_fee_charged", ("card_payment", "card_payment_fee_charged"), "card_payment_fee_charged"),
        # Numbers.
        ("1", ("0", "1"), "1"),
        ("Label: 1", ("0", "1"), "1"),
        ("1.5 stars", ("1", "5"), ""),
        ("-1", ("0", "1"), ""),
        ("-1", ("-1", "1"), "-1"),
        ("10", ("1", "10"), "10"),
        ("100 %", ("1", "10"), ""),
        ("5.", ("4", "5"), "5"),
        # Marks that belong to a label.
        ("C++", ("C", "C++"), "C++"),
        ("It is C#.", ("C", "C#"), "C#"),
        ("Sci/Tech", ("Sci/Tech", "Business"), "Sci/Tech"),
        ("(sci/tech)", ("Sci/Tech", "Business"), "Sci/Tech"),
        # Other scripts.
        ("正面", ("正面", "负面"), "正面"),
        ("这条评论是正面的。", ("正面", "负面"), "正面"),
        ("这不是正面的", ("正面", "负面"), ""),
        ("ポジティブです", ("ポジティブ", "ネガティブ"), "ポジティブ"),
        ("긍정입니다", ("긍정", "부정"), "긍정"),
        ("Отзыв положительный.", ("отрицательный", "положительный"), "положительный"),
        ("Отзыв не положительный.", ("отрицательный", "положительный"), ""),
        ("यह सकारात्मक है।", ("सकारात्मक", "नकारात्मक"), "सकारात्मक"),
        ("إيجابي", ("إيجابي", "سلبي"), "إيجابي"),
        ("STRASSE", ("straße", "weg"), "straße"),
        ("cafe\u0301", ("café", "bar"), "café"),
        # Labels that differ in case alone are told apart by it.
        ("us", ("us", "US"), "us"),
        ("“US”", ("us", "US"), "US"),
        ("Us", ("us", "US"), ""),
    ],
)
def test_labels_that_are_hard_to_tell_apart(written, labels, label):
    assert read_label(written, labels) == label


@pytest.mark.parametrize("label", ["No", "not", "none", "neither"])
def test_a_label_that_denies_is_a_label(label):
    labels = (label, "yes")
    assert read_label(label, labels) == label
    assert read_label(f"The answer is: {label}.", labels) == label


def test_a_long_answer_takes_no_long_time():
    assert read_label("positiv " * 200_000, ("positive", "negative")) == ""
    assert read_label("a" * 100_000, ("a" * 50, "b")) == ""


def test_every_label_is_read_as_itself():
    labels = ("c++", "C#", "1", "1.5", "-1", "not spam", "spam", "a b", "a_b", "…", "?", "🙂", "ü", "no", "N/A")
    for label in labels:
        assert read_label(label, labels) == label
        assert read_label(f"  {label}\n", labels) == label
