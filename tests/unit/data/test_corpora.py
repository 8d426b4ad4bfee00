"""The bundled corpora are what their data card says: sizes, balance, lengths, no repetition, not too easy."""

import re
from collections import Counter
from itertools import combinations

import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

from data.hygiene import inspect
from data.sources import CORPORA, open_source
from data.splits import normalised
from data.tasks import DIALOGUE, SENTIMENT

CARD = (CORPORA / "README.md").read_text(encoding="utf-8")
REVIEW_TOPICS = {"films", "books", "food", "hotels", "gadgets", "apps", "services"}
REVIEW_STYLES = {"plain", "contrast", "mixed", "negation", "sarcasm", "faint praise or mild complaint"}
DIALOGUE_TOPICS = {"friends", "work", "shops", "doctors", "support", "travel", "family"}


@pytest.fixture(scope="module")
def reviews():
    return open_source("corpus:reviews", SENTIMENT).splits


@pytest.fixture(scope="module")
def dialogues():
    return open_source("corpus:dialogues", DIALOGUE).splits


def rows_of(splits):
    return [row for split in splits.values() for row in split]


def test_there_are_enough_reviews(reviews):
    assert len(rows_of(reviews)) >= 1000
    assert len(reviews["test"]) >= 300
    assert len(reviews["validation"]) >= 100


def test_there_are_enough_dialogues(dialogues):
    assert len(rows_of(dialogues)) >= 320
    assert len(dialogues["test"]) >= 80
    assert len(dialogues["validation"]) >= 20


def test_reviews_are_balanced_in_every_split_and_topic(reviews):
    for split in reviews.values():
        assert len(set(Counter(split["label"]).values())) == 1
        assert set(split["topic"]) == REVIEW_TOPICS
        assert set(split["style"]) == REVIEW_STYLES
        by_topic = Counter(zip(split["topic"], split["label"], strict=True))
        for topic in REVIEW_TOPICS:
            assert abs(by_topic[topic, "positive"] - by_topic[topic, "negative"]) <= 2


def test_no_style_gives_the_label_away(reviews):
    rows = rows_of(reviews)
    for style in REVIEW_STYLES:
        labels = Counter(row["label"] for row in rows if row["style"] == style)
        assert 0.4 <= labels["positive"] / labels.total() <= 0.6, style


def test_dialogues_have_every_topic_in_every_split(dialogues):
    for split in dialogues.values():
        assert set(split["topic"]) == DIALOGUE_TOPICS


def test_reviews_have_5_to_60_words(reviews):
    for row in rows_of(reviews):
        assert 5 <= len(row["text"].split()) <= 60, row["row"]


def test_dialogues_have_4_to_14_turns_of_named_speakers(dialogues):
    for row in rows_of(dialogues):
        turns = row["dialogue"].split("\n")
        assert 4 <= len(turns) <= 14, row["row"]
        speakers = {re.match(r"([^:]{1,30}): \S", turn)[1] for turn in turns}
        assert 2 <= len(speakers) <= 5, row["row"]


def test_summaries_are_one_or_two_sentences_that_name_a_speaker(dialogues):
    for row in rows_of(dialogues):
        sentences = re.split(r"(?<=[a-z0-9][.!?])\s+(?=[A-Z])", re.sub(r"\b(Mrs?|Ms|Dr)\.", r"\1", row["summary"]))
        assert len(sentences) <= 2, row["row"]
        assert row["summary"].endswith("."), row["row"]
        speakers = {turn.split(":")[0].split()[-1] for turn in row["dialogue"].split("\n")}
        assert any(name in row["summary"] for name in speakers), row["row"]
        assert len(row["summary"].split()) < len(row["dialogue"].split()) / 2, row["row"]


@pytest.mark.parametrize(("name", "task"), [("reviews", SENTIMENT), ("dialogues", DIALOGUE)])
def test_no_two_rows_are_alike_within_or_across_splits(name, task):
    # 0.4 is far below what a person calls a near-duplicate: it would also catch a frame with other words.
    found = inspect(open_source(f"corpus:{name}", task).splits, task, near=0.4)
    assert (found.duplicates, found.near_duplicates, found.leaked) == ((), (), ())
    assert found.sentences()[:2] == [
        "No test row occurs in training.",
        "No duplicates and no near-duplicates.",
    ]


def test_no_two_reviews_share_a_frame(reviews):
    """A frame is a run of words that a template would repeat: no six words in a row occur in two reviews."""
    runs = {}
    for row in rows_of(reviews):
        words = normalised(row["text"]).split()
        runs[row["row"]] = {tuple(words[i : i + 6]) for i in range(len(words) - 5)}
    pairs = combinations(runs, 2)
    shared = [(a, b, runs[a] & runs[b]) for a, b in pairs if not runs[a].isdisjoint(runs[b])]
    assert shared == []


CLASSIFIERS = {
    "word counts and naive Bayes": lambda: make_pipeline(CountVectorizer(), MultinomialNB()),
    "TF-IDF and logistic regression": lambda: make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(C=10, max_iter=1000)
    ),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_counting_words_is_not_enough_and_the_card_says_what_it_scores(name, reviews):
    classifier = CLASSIFIERS[name]()
    classifier.fit(list(reviews["train"]["text"]), list(reviews["train"]["label"]))
    accuracy = classifier.score(list(reviews["test"]["text"]), list(reviews["test"]["label"]))
    assert accuracy < 0.9
    stated = re.search(rf"{name}[^|]*\|\s*(\d\.\d+)", CARD)
    assert stated, f"the data card does not say what {name} scores"
    assert float(stated[1]) == pytest.approx(accuracy, abs=0.01)


@pytest.mark.parametrize(("name", "task"), [("reviews", SENTIMENT), ("dialogues", DIALOGUE)])
def test_the_card_states_the_sizes(name, task):
    splits = open_source(f"corpus:{name}", task).splits
    total = sum(len(split) for split in splits.values())
    cells = [total, *(len(splits[split]) for split in ("train", "validation", "test"))]
    assert f"| `{name}` | " + " | ".join(f"{cell:,}" for cell in cells) + " |" in CARD
