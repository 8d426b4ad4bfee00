"""A part of some rows stands for all of them."""

import random
import time
from collections import Counter

import pytest
from datasets import Dataset

from data.samples import drawn, sample
from data.tasks import DIALOGUE, SENTIMENT


def sorted_by_label(negative, positive):
    labels = ["negative"] * negative + ["positive"] * positive
    return Dataset.from_dict({"text": [f"review {n}" for n in range(len(labels))], "label": labels})


def test_of_rows_sorted_by_label_every_label_has_its_share():
    assert Counter(sample(sorted_by_label(100, 100), 40, SENTIMENT)["label"]) == {"negative": 20, "positive": 20}
    assert Counter(sample(sorted_by_label(150, 50), 41, SENTIMENT)["label"]) == {"negative": 31, "positive": 10}


def test_a_rare_label_keeps_a_row():
    assert Counter(sample(sorted_by_label(500, 2), 10, SENTIMENT)["label"]) == {"negative": 9, "positive": 1}
    assert len(sample(sorted_by_label(500, 2), 1, SENTIMENT)) == 1


@pytest.mark.parametrize("count", [1, 2, 3, 17, 99, 100, 101])
def test_there_are_as_many_as_asked_for_and_no_row_twice(count):
    rows = sorted_by_label(70, 30)
    found = sample(rows, count, SENTIMENT)["text"]
    assert len(found) == len(set(found)) == min(count, 100)
    assert list(found) == [text for text in rows["text"] if text in set(found)]


def test_the_order_of_a_file_does_not_matter_and_the_seed_does():
    texts = [f"Ann: {n}" for n in range(300)]
    shuffled = random.Random(1).sample(texts, len(texts))
    rows, others = (Dataset.from_dict({"dialogue": each, "summary": each}) for each in (texts, shuffled))
    one, two = (set(sample(each, 50, DIALOGUE)["dialogue"]) for each in (rows, others))
    assert one == two
    assert one != set(sample(rows, 50, DIALOGUE, seed=1)["dialogue"])
    assert one < set(sample(rows, 80, DIALOGUE)["dialogue"])
    assert not any(one == set(texts[start : start + 50]) for start in range(250))


def test_nothing_asked_for_is_everything():
    rows = sorted_by_label(3, 3)
    assert sample(rows, None, SENTIMENT) is rows


def test_many_rows_are_sampled_in_no_time():
    """Of a column as it is, every single value would be read anew: 24 s for these rows."""
    rows = sorted_by_label(100_000, 100_000)
    started = time.process_time()
    assert len(sample(rows, 500, SENTIMENT)) == 500
    assert time.process_time() - started < 5


def test_every_row_has_the_same_chance():
    """Over 400 seeds, in draws of 5, each of 20 rows is drawn about 100 times."""
    counts = Counter(
        place for seed in range(400) for place in drawn([f"t{n}" for n in range(20)], 5, labels=None, seed=seed)
    )
    assert all(abs(counts[place] - 100) < 4 * (400 * 0.25 * 0.75) ** 0.5 for place in range(20))
