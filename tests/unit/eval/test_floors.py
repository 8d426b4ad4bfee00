"""The floors answer without a model, always alike, whatever the dialogue's form, and score what the card says."""

import random
import re
import sys
from statistics import fmean

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from data.sources import CORPORA, open_source
from data.tasks import DIALOGUE, SENTIMENT, TASKS
from data.tasks.own import USUAL
from data.words import words
from eval.floors import FLOORS
from eval.floors import labels as floors
from eval.floors.labels import majority_class, tfidf_logistic_regression
from eval.floors.pairs import FLOORS as OF_PAIRS
from eval.floors.probe import FLOOR as PROBE
from eval.floors.turns import lead_two, longest_turn
from eval.metrics.rouge import rouge_scores
from plumbing.errors import DataError

CARD = (CORPORA / "README.md").read_text(encoding="utf-8")
WINDOWS = "Ana: My laptop is broken.\r\nLeo: Again?\r\nAna: Yes, since Monday."
DIALOGSUM = (
    "#Person1#: Hello, how are you?\n#Person2#: Fine.\n#Person1#: I would like a table for two at eight.\n"
    "#Person2#: Done."
)


@pytest.fixture(scope="module")
def reviews():
    return open_source("corpus:reviews", SENTIMENT).splits


@pytest.fixture(scope="module")
def dialogues():
    return open_source("corpus:dialogues", DIALOGUE).splits["test"]


@pytest.fixture(scope="module")
def tfidf_labels(reviews):
    train, test = reviews["train"], reviews["test"]
    return tfidf_logistic_regression(train["text"][:], train["label"][:], test["text"][:])


# ---- sentiment ---------------------------------------------------------------------------------------------


def test_the_majority_class_is_the_most_frequent_label():
    assert majority_class(["positive", "negative", "positive"], 3) == ["positive"] * 3
    assert majority_class(["negative"], 0) == []


@pytest.mark.parametrize("labels", [["b", "a"], ["a", "b"], ["c", "b", "a", "b", "a"]])
def test_of_equally_frequent_labels_the_first_in_the_alphabet_wins(labels):
    assert majority_class(labels, 2) == ["a", "a"]


@pytest.mark.parametrize("floor", [lambda: majority_class([], 3), lambda: tfidf_logistic_regression([], [], ["x"])])
def test_no_training_rows_are_refused(floor):
    with pytest.raises(DataError, match="no training row"):
        floor()


def test_tfidf_learns_which_words_go_with_which_label():
    train = ["a great film", "great soup", "an awful film", "awful soup"]
    labels = ["positive", "positive", "negative", "negative"]
    assert tfidf_logistic_regression(train, labels, ["great", "awful day", "GREAT!"]) == [
        "positive",
        "negative",
        "positive",
    ]


def test_tfidf_learns_where_no_space_is_between_words():
    train = ["这部电影很好", "汤很好喝", "这部电影很糟", "汤太糟了"]
    labels = ["positive", "positive", "negative", "negative"]
    assert tfidf_logistic_regression(train, labels, ["房间很好", "房间糟透了"]) == ["positive", "negative"]


def test_tfidf_sees_pairs_of_words():
    train = ["not good", "good not bad", "not bad", "bad not good"] * 3
    labels = ["negative", "positive", "positive", "negative"] * 3
    # Every word of these two occurs alike under both labels; only the pair tells.
    assert tfidf_logistic_regression(train, labels, ["bad good not good", "good bad not bad"]) == [
        "negative",
        "positive",
    ]


def test_tfidf_with_one_label_in_training_or_nothing_to_answer():
    assert tfidf_logistic_regression(["x", "y"], ["positive"] * 2, ["a", "", "b"]) == ["positive"] * 3
    assert tfidf_logistic_regression(["x", "y"], ["positive", "negative"], []) == []


def test_tfidf_answers_texts_without_a_known_word():
    train, labels = ["good", "good", "bad"], ["positive", "positive", "negative"]
    assert set(tfidf_logistic_regression(train, labels, ["", "?!", "好极了"])) <= {"positive", "negative"}
    assert tfidf_logistic_regression(["", "!"], ["positive", "negative"], ["", "x"]) == ["negative"] * 2


def test_tfidf_refuses_texts_and_labels_of_different_numbers():
    with pytest.raises(ValueError, match="zip"):
        tfidf_logistic_regression(["a", "b"], ["positive"], ["c"])


def test_of_too_many_training_rows_as_many_as_allowed_are_drawn_by_the_seed(monkeypatch):
    monkeypatch.setattr(floors, "MOST_TRAIN_ROWS", 40)
    # Rare words, each with a label of its own: the answers show which rows were drawn.
    words = [f"word{number}" for number in range(400)]
    labels = random.Random(0).choices(["negative", "positive"], k=400)
    answers = [tfidf_logistic_regression(words, labels, words, seed=seed) for seed in (1, 1, 2)]
    assert answers[0] == answers[1] != answers[2]
    right = sum(answer == label for answer, label in zip(answers[0], labels, strict=True))
    assert right < 300  # with all rows it would be 400
    monkeypatch.setattr(floors, "MOST_TRAIN_ROWS", 400)
    assert tfidf_logistic_regression(words, labels, words) == labels


@pytest.mark.parametrize("sublinear", [True, False])
def test_tfidf_is_scikit_learns_with_logarithmic_counts(sublinear):
    rng = random.Random(0)
    words = [f"word{number}" for number in range(60)]
    weights = [1 / (rank + 1) for rank in range(60)]  # as in any text: a few words make most of it
    texts = [" ".join(rng.choices(words, weights, k=40)) for _ in range(400)]
    labels = rng.choices(["negative", "positive"], k=200)
    exact = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=sublinear), LogisticRegression(C=10, max_iter=1000)
    )
    expected = exact.fit(texts[:200], labels).predict(texts[200:]).tolist()
    found = tfidf_logistic_regression(texts[:200], labels, texts[200:])
    alike = fmean(map(str.__eq__, found, expected))
    assert (alike > 0.98) is sublinear, alike


def test_the_floors_score_on_the_bundled_reviews_what_the_card_says(reviews, tfidf_labels):
    labels = reviews["test"]["label"][:]
    majority = majority_class(reviews["train"]["label"][:], len(labels))
    for row, answers in [("always the same label", majority), ("TF-IDF and logistic regression", tfidf_labels)]:
        stated = re.search(rf"\| {row}[^|]*\| (\d\.\d+) \|", CARD)
        assert stated, f"the data card does not say what {row} scores"
        accuracy = fmean(map(str.__eq__, answers, labels))
        assert float(stated[1]) == pytest.approx(accuracy, abs=0.01)


# ---- dialogues ---------------------------------------------------------------------------------------------


def test_lead_two_is_the_first_two_turns_with_their_speakers():
    assert lead_two(DIALOGSUM) == "#Person1#: Hello, how are you?\n#Person2#: Fine."
    assert lead_two("Ana: Only me.") == "Ana: Only me."


def test_the_longest_turn_has_the_most_words_and_the_first_wins():
    assert longest_turn(DIALOGSUM) == "#Person1#: I would like a table for two at eight."
    assert longest_turn("Ana: one two\nLeo: one two three\nTom: four five six") == "Leo: one two three"


def test_the_longest_turn_is_so_in_any_script():
    assert longest_turn("小明：你好 吗 呢\n小红：我昨天买的笔记本电脑坏了") == "小红：我昨天买的笔记本电脑坏了"


def test_what_a_comma_parts_is_no_name_in_any_script():
    assert lead_two("小明：你好\n好，听着：明天见\n小红：再见") == "小明：你好 好，听着：明天见\n小红：再见"


def test_the_name_of_the_speaker_does_not_make_a_turn_longer():
    assert longest_turn("The old woman upstairs: Yes.\nLeo: I do not know.") == "Leo: I do not know."


def test_windows_line_ends_and_blank_lines_change_nothing():
    plain = WINDOWS.replace("\r\n", "\n")
    for text in (WINDOWS, plain.replace("\n", "\n\n"), f"\n  {plain}  \n", plain.replace("\n", "\r")):
        assert lead_two(text) == "Ana: My laptop is broken.\nLeo: Again?"
        assert longest_turn(text) == "Ana: My laptop is broken."


def test_a_line_without_a_speaker_belongs_to_the_turn_above():
    text = "Ana: Look:\nhttps://example.org/a at 10:30\n  or later \nLeo:\nI will.\nAna: Fine"
    assert lead_two(text) == "Ana: Look: https://example.org/a at 10:30 or later\nLeo: I will."
    assert longest_turn(text) == "Ana: Look: https://example.org/a at 10:30 or later"


@pytest.mark.parametrize(
    "turn",
    ["Dr. Anna Müller: ja", "小明：你好", "Pet shop : Hi!", "#Person_1#: Yes", "O'Neil-Ruiz: Well: no.", "mum: ok"],
)
def test_what_a_speaker_may_be_called(turn):
    assert lead_two(f"{turn}\nLeo: Two\n{turn}") == f"{turn}\nLeo: Two"
    assert longest_turn(f"{turn}\nLeo: a b c d") == "Leo: a b c d"


def test_turns_that_say_nothing_are_left_out():
    assert lead_two("Ana:\nLeo: \nTom: Hi\nAna: Hello\nTom: So") == "Tom: Hi\nAna: Hello"


def test_where_nobody_is_named_every_line_is_a_turn():
    assert lead_two("One line.\nAnother one, longer.\nA third.") == "One line.\nAnother one, longer."
    assert longest_turn("One line.\nAnother one, longer.\nA third.") == "Another one, longer."
    assert longest_turn("Well, mum said: yes\nThree words here") == "Well, mum said: yes"
    assert lead_two("On the phone\nAna: Hi\nLeo: Hi") == "On the phone\nAna: Hi"


@pytest.mark.parametrize("text", ["No line ends here: at all, and nobody speaks", "word", "Ana: Hi!"])
def test_a_text_of_one_line_is_its_own_floor(text):
    assert lead_two(text) == longest_turn(text) == text


@pytest.mark.parametrize("text", ["", " \r\n\t\n", "Ana:", "Ana: \nLeo:"])
def test_a_dialogue_in_which_nothing_is_said_gives_an_empty_answer(text):
    assert lead_two(text) == longest_turn(text) == ""


def test_the_bundled_dialogues_are_read_turn_by_turn(dialogues):
    for text in dialogues["dialogue"]:
        lines = text.split("\n")
        assert lead_two(text) == f"{lines[0]}\n{lines[1]}"
        assert longest_turn(text) == max(lines, key=lambda line: len(words(line.partition(": ")[2])))


def test_a_floor_of_the_bundled_dialogues_is_neither_nothing_nor_a_summary(dialogues):
    for floor in (lead_two, longest_turn):
        pairs = zip(dialogues["dialogue"], dialogues["summary"], strict=True)
        rouge = fmean(rouge_scores(floor(text), [summary])["rougeL"] for text, summary in pairs)
        assert 0.05 < rouge < 0.25


# ---- for the page ------------------------------------------------------------------------------------------


def test_every_floor_that_a_task_names_is_there_and_has_one_sentence():
    tasks = [*TASKS.values(), *USUAL.values()]
    assert all(task.floors for task in tasks if task.kind != "text")
    of_pairs = {floor.name for floor in OF_PAIRS}
    assert {name for task in tasks for name in task.floors} | {PROBE.name} | of_pairs == set(FLOORS)
    for name, floor in FLOORS.items():
        assert floor.name == name
        assert re.fullmatch(r"[A-Z][^.]+\.", floor.sentence), floor.sentence


def test_scikit_learn_is_imported_only_by_the_floor_that_needs_it(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "sklearn"]:
        monkeypatch.setitem(sys.modules, name, None)
    assert majority_class(["a"], 1) == ["a"]
    with pytest.raises(ImportError):
        tfidf_logistic_regression(["a", "b"], ["x", "y"], ["a"])
