"""Length, novelty, repetition, empty and cut off: by hand, at the edges, and in any script."""

import json
import random
from statistics import fmean

import pytest
from pydantic import ValidationError

from data.sources import open_source
from data.tasks import DIALOGUE
from eval.text_quality import TextQuality, length_ratio, novelty, repetition, text_quality

TALK = "Ana: My laptop is broken.\r\nLeo: I can look at it on Friday."


def test_all_measures_of_one_answer():
    # leo repairs ana s laptop leo repairs ana s phone: 10 words, 8 runs of three
    answer = "Leo repairs Ana's laptop. Leo repairs Ana's phone."
    found = text_quality(answer, asked=TALK, references=["Leo looks at the laptop."], tokens=64, max_new_tokens=64)
    assert found.length_ratio == pytest.approx(10 / 5)
    assert found.novelty == pytest.approx(5 / 10)  # repairs and s twice, phone
    assert found.repetition == pytest.approx(2 / 8)  # leo repairs ana, repairs ana s
    assert (found.empty, found.cut_off) == (0.0, 1.0)
    assert length_ratio(answer, ["Leo looks at the laptop."]) == found.length_ratio
    assert novelty(answer, TALK) == found.novelty
    assert repetition(answer) == found.repetition


def test_of_several_references_the_nearest_in_length_counts():
    answer = "one two three four"
    assert length_ratio(answer, ["a", "a b c d e", "a b c d e f g h"]) == pytest.approx(4 / 5)
    assert length_ratio(answer, ["a b c d e f", "a b"]) == pytest.approx(4 / 2)  # as near: the shorter
    assert length_ratio(answer, ["a b", "a b c d e f"]) == pytest.approx(4 / 2)
    assert length_ratio(answer, ["a b c d", "a b c"]) == 1.0


def test_references_that_say_nothing():
    assert length_ratio("one two", ["..."]) == 2.0
    assert length_ratio("", ["!"]) == 0.0
    with pytest.raises(ValueError, match="at least one reference"):
        text_quality("x", asked=TALK, references=[])


@pytest.mark.parametrize("answer", ["", " \r\n", "...", "—", "👍", "❤️"])
def test_an_answer_without_a_word_is_empty(answer):
    found = text_quality(answer, asked=TALK, references=["Leo helps."], tokens=1, max_new_tokens=64)
    assert found == TextQuality(length_ratio=0, novelty=0, repetition=0, empty=1, cut_off=0)


@pytest.mark.parametrize("answer", ["Soup", "7", "好", "é"])
def test_an_answer_of_one_word(answer):
    found = text_quality(answer, asked=TALK, references=["word"])
    assert found == TextQuality(length_ratio=1, novelty=1, repetition=0, empty=0, cut_off=0)


@pytest.mark.parametrize(
    ("tokens", "limit", "cut_off"),
    [
        (63, 64, 0.0),
        (64, 64, 1.0),
        (65, 64, 1.0),
        (0, 64, 0.0),
        (None, 64, 0.0),
        (64, None, 0.0),
        (None, None, 0.0),
    ],
)
def test_an_answer_at_the_token_limit_is_cut_off(tokens, limit, cut_off):
    found = text_quality("x", asked=TALK, references=["x"], tokens=tokens, max_new_tokens=limit)
    assert found.cut_off == cut_off


def test_a_text_repeats_nothing_of_itself_and_copies_without_novelty():
    assert novelty(TALK, TALK) == 0.0
    assert novelty("LEO CAN LOOK, on friday!", TALK) == 0.0
    assert novelty("Tom eats soup", TALK) == 1.0
    assert novelty("Ana eats eats soup", TALK) == pytest.approx(3 / 4)  # each time it is said


@pytest.mark.parametrize(
    ("answer", "share"),
    [
        ("a b", 0),
        ("a b c", 0),
        ("a b c a b c", 1 / 4),  # abc bca cab abc
        ("a a a a", 1 / 2),
        ("no no no no no no no no no no", 7 / 8),
        ("A b c. a B C!", 1 / 4),
        ("a b c d e f g", 0),
    ],
)
def test_repetition_by_hand(answer, share):
    assert repetition(answer) == pytest.approx(share)


def test_one_sentence_over_and_over_repeats_ever_more():
    shares = [repetition("Leo will look at it. " * times) for times in (1, 2, 5, 50)]
    assert shares[0] == 0.0
    assert shares == sorted(set(shares))
    assert 0.95 < shares[-1] < 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Größe ÉTÉ", "GRÖSSE été"),  # case-folded
        ("caf\u00e9", "cafe\u0301"),  # composed or not
        ("ＡＢＣ １２", "abc 12"),  # full width
        ("Ana\r\nLeo", "Ana\nLeo"),
        ("हिन्दी भाषा", "भाषा हिन्दी"),  # vowel signs are marks, not letters
        ("_Ana_ *Leo*", "Ana Leo"),
        ("don\u2019t", "don't"),
    ],
)
def test_words_are_compared_by_what_a_reader_sees(one, other):
    assert novelty(one, other) == novelty(other, one) == 0.0
    assert length_ratio(one, [other]) == 1.0


def test_marks_do_not_divide_a_word():
    assert length_ratio("हिन्दी भाषा", ["two words"]) == 1.0
    assert length_ratio("İstanbul", ["word"]) == 1.0


def test_every_measure_stays_in_its_range_and_ignores_white_space():
    rng = random.Random(3)
    for _ in range(200):
        words = rng.choices(["Ana", "leo", "soup", "—", "é", "7.", "\u0301"], k=rng.randrange(12))
        given = {
            "asked": "Ana: Soup?\nLeo: 7",
            "references": [" ".join(rng.choices("abc", k=rng.randint(1, 9)))],
        }
        found = text_quality(" ".join(words), **given)
        assert found == text_quality("\r\n\t".join(words) + " ", **given)
        assert found.length_ratio <= 12
        assert found.empty == float(found.length_ratio == 0)


def test_bundled_references_measured_as_answers():
    test = open_source("corpus:dialogues", DIALOGUE).splits["test"]
    rows = [text_quality(row["summary"], asked=row["dialogue"], references=[row["summary"]]) for row in test]
    means = TextQuality(**{name: fmean(getattr(row, name) for row in rows) for name in TextQuality.model_fields})
    assert (means.length_ratio, means.empty, means.cut_off, means.repetition) == (1, 0, 0, 0)
    assert 0.2 < means.novelty < 0.6  # people retell, in part with the words that were said


def test_a_model_that_is_frozen_described_and_made_of_numbers():
    found = text_quality("Leo helps", asked=TALK, references=["Leo helps Ana"])
    with pytest.raises(ValidationError):
        found.novelty = 0.5
    with pytest.raises(ValidationError):
        TextQuality(**found.model_dump(), other=1)
    assert all(field.description for field in TextQuality.model_fields.values())
    assert all(isinstance(value, float) for value in json.loads(found.model_dump_json()).values())
