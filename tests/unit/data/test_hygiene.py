"""Repetitions, leakage, imbalance and lengths are found, counted, placed and said in sentences."""

import random
import time

import pytest
from datasets import Dataset, DatasetDict

from data.hygiene import NEAR, inspect, similarity
from data.tasks import DIALOGUE, SENTIMENT

PLAIN = [
    "The soup was cold and nobody said sorry.",
    "A quiet room above the harbour, and fresh bread at seven.",
    "It charged once and never again.",
    "Our driver sang all the way to the airport, in tune.",
    "I finished the book on the train and missed my stop.",
]


def opened(train, validation=(), test=(), *, labels=("negative", "positive")):
    def make(texts):
        labelled = [labels[n % len(labels)] for n in range(len(texts))]
        return Dataset.from_dict({"text": list(texts), "label": labelled, "row": list(range(1, len(texts) + 1))})

    return DatasetDict(train=make(train), validation=make(validation), test=make(test))


def test_clean_splits_are_said_to_be_clean():
    found = inspect(opened(PLAIN[:2], PLAIN[2:3], PLAIN[3:]), SENTIMENT)
    assert (found.duplicates, found.near_duplicates, found.leaked, found.contradictions) == ((), (), (), ())
    assert found.rows == {"train": 2, "validation": 1, "test": 2}
    assert found.sentences()[:3] == [
        "No test row occurs in training.",
        "No duplicates and no near-duplicates.",
        "The training labels are balanced (1 negative, 1 positive).",
    ]


def test_equal_texts_are_found_within_and_across_splits():
    found = inspect(opened([PLAIN[0], PLAIN[1], PLAIN[0].upper()], [PLAIN[1]], [PLAIN[2], PLAIN[0]]), SENTIMENT)
    assert [(pair.split_a, pair.row_a, pair.split_b, pair.row_b) for pair in found.duplicates] == [
        ("train", 1, "train", 3),
        ("train", 2, "validation", 1),
        ("train", 1, "test", 2),
    ]
    assert found.leaked == (2,)
    assert "1 row in the test split is in training too" in found.sentences()[0]


def test_a_text_with_two_labels_is_a_contradiction():
    found = inspect(opened([PLAIN[0], PLAIN[0], PLAIN[1]]), SENTIMENT)
    (pair,) = found.contradictions
    assert (pair.row_a, pair.row_b) == (1, 2)
    assert any("with another label" in sentence for sentence in found.sentences())


def test_nearly_equal_texts_are_found_across_splits():
    train = "The waiter brought the wrong wine twice and then charged us for both of the bottles."
    test = "The waiter brought the wrong beer twice and then charged us for both of the bottles."
    found = inspect(opened([*PLAIN, train], [], [test]), SENTIMENT)
    (pair,) = found.near_duplicates
    assert (pair.split_a, pair.row_a, pair.split_b, pair.row_b) == ("train", 6, "test", 1)
    assert pair.similarity == pytest.approx(similarity(train, test), abs=1e-3)
    assert found.leaked == ()
    assert found.sentences()[0] == "1 row in the test split is nearly the same as one in training."


def test_similarity_is_jaccard_of_words_and_neighbours():
    assert similarity("a b c", "A, b c!") == 1
    assert similarity("a b c", "a b d") == 3 / 7  # a, b, a b of a, b, c, d, a b, b c, b d
    assert similarity("a b", "c d") == 0


def test_one_word_in_six_may_differ_in_near_duplicates():
    words = [f"w{n}" for n in range(1200)]

    def changed(every):
        return similarity(" ".join(words), " ".join(f"x{n}" if n % every == 3 else w for n, w in enumerate(words)))

    assert changed(5) < NEAR - 0.05
    assert changed(6) == pytest.approx(NEAR, abs=0.005)
    assert changed(8) > NEAR + 0.05


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        (
            "这部电影的开头很慢但是结尾让我流下了眼泪我还想再看一遍",
            "这部电影的开头很慢但是结局让我流下了眼泪我还想再看一遍",
        ),
        ("หนังเรื่องนี้เริ่มช้าแต่ตอนจบทำให้ฉันร้องไห้และอยากดูอีกครั้ง", "หนังเรื่องนั้เริ่มช้าแต่ตอนจบทำให้ฉันร้องไห้และอยากดูอีกครั้ง"),
    ],
)
def test_near_duplicates_are_found_where_no_space_is_between_words(text, changed):
    assert similarity(text, changed) >= NEAR
    assert similarity(text, text[::-1]) < NEAR


def test_imbalance_is_said():
    found = inspect(opened(PLAIN[:4], labels=("positive", "positive", "positive", "negative")), SENTIMENT)
    assert found.label_counts["train"] == {"negative": 1, "positive": 3}
    assert "The training labels are 75% positive (1 negative, 3 positive)." in found.sentences()


def test_lengths_are_counted_for_both_columns_of_a_dialogue():
    def make(*rows):
        return Dataset.from_list(
            [{"dialogue": "Ann: " + "so " * n, "summary": [s], "row": n} for n, s in rows]
            or [{"dialogue": "Bo: no", "summary": ["Bo refuses."], "row": 1}]
        )

    splits = DatasetDict(
        train=make((3, "Ann goes on."), (9, "Ann goes on and on.")), validation=make(), test=make()
    )
    found = inspect(splits, DIALOGUE)
    assert found.word_counts["dialogue"] == {"shortest": 2, "median": 4, "95 %": 10, "longest": 10}
    assert found.word_counts["summary"]["longest"] == 5
    assert found.label_counts == {}


def test_lsh_finds_what_comparing_every_pair_finds():
    chance = random.Random(3)
    vocabulary = [f"word{n}" for n in range(400)]
    texts = [chance.choices(vocabulary, k=20) for _ in range(150)]
    copies = []
    for words in texts[:60]:
        copy = list(words)
        for place in chance.sample(range(20), chance.randint(1, 2)):
            copy[place] = "other"
        copies.append(copy)
    train, test = [" ".join(words) for words in texts], [" ".join(words) for words in copies]
    truth = {
        (a, b)
        for a, left in enumerate(train, 1)
        for b, right in enumerate(test, 1)
        if similarity(left, right) >= 0.6
    }
    found = {
        (pair.row_a, pair.row_b)
        for pair in inspect(opened(train, [], test), SENTIMENT).near_duplicates
        if pair.split_a != pair.split_b
    }
    assert found <= truth
    assert len(truth) >= 50
    assert len(found) >= 0.95 * len(truth)


def test_thousands_of_rows_from_one_template_do_not_cost_the_square():
    texts = [f"we stayed {n} nights at the same old grand hotel by the lake and loved it" for n in range(3000)]
    start = time.process_time()
    found = inspect(opened(texts), SENTIMENT)
    assert time.process_time() - start < 60  # pair by pair it takes minutes
    assert len({pair.row_b for pair in found.near_duplicates}) == 2999
