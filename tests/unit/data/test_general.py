"""The general corpus is what its card says, is about none of the tasks, and shares nothing with their corpora."""

import json
import re
from collections import Counter
from itertools import combinations

import pytest
from datasets import Dataset

from data.general import INSTRUCTIONS, PASSAGES, instructions, passages
from data.hygiene import inspect, similarity
from data.sources import CORPORA, corpus_names
from data.splits import normalised
from data.tasks import DIALOGUE, TASKS

CARD = (CORPORA / "README.md").read_text(encoding="utf-8")
SECTION = CARD.partition("## general and instructions\n")[2].partition("\n## ")[0]
BUNDLED = {"reviews": ("text",), "dialogues": ("dialogue", "summary")}


def rows_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def bundled_texts():
    return [
        row[column]
        for name, columns in BUNDLED.items()
        for row in rows_of(CORPORA / f"{name}.jsonl")
        for column in columns
    ]


def six_word_runs(text):
    words = normalised(text).split()
    return {" ".join(words[i : i + 6]) for i in range(len(words) - 5)}


def as_split(texts):
    """The texts as a split of the task that has no labels, which is how `data.hygiene` reads them."""
    return Dataset.from_dict({"row": range(1, len(texts) + 1), "dialogue": texts, "summary": [""] * len(texts)})


@pytest.fixture(scope="module")
def subjects():
    return Counter(row["subject"] for row in rows_of(PASSAGES))


def test_passages_and_instructions_are_read_in_the_order_of_their_files():
    assert passages() == [row["text"] for row in rows_of(PASSAGES)]
    assert instructions() == [row["text"] for row in rows_of(INSTRUCTIONS)]
    assert "Königsberg" in " ".join(passages()), "the file is UTF-8 whatever the machine's own encoding is"


def test_there_are_72_passages_of_80_to_160_words():
    assert len(passages()) == 72
    for passage in passages():
        assert 80 <= len(passage.split()) <= 160, passage[:60]
        assert passage == passage.strip()


def test_the_passages_have_many_subjects_and_none_has_many_passages(subjects):
    assert len(subjects) >= 24
    assert max(subjects.values()) <= 3


def test_there_are_ten_different_instructions():
    assert len(instructions()) == 10
    assert len({normalised(instruction) for instruction in instructions()}) == 10
    assert all(len(instruction.split()) <= 40 for instruction in instructions())


def test_no_instruction_is_about_a_task():
    of_a_task = re.compile(r"\b(sentiment|reviews?|positive|negative|summar\w+|dialogues?|conversations?)\b", re.I)
    assert [instruction for instruction in instructions() if of_a_task.search(instruction)] == []


def test_no_passage_is_a_dialogue():
    """A dialogue of the task has turns: lines that open with a speaker's name and a colon."""
    turn = re.compile(r"^[A-Z][\w .]{0,29}: \S", re.M)
    assert [passage[:60] for passage in passages() if len(turn.findall(passage)) > 1] == []


def test_no_two_passages_share_a_run_of_six_words():
    runs = [six_word_runs(passage) for passage in passages()]
    assert [a & b for a, b in combinations(runs, 2) if a & b] == []


def test_no_passage_shares_a_run_of_six_words_with_a_review_or_a_dialogue():
    bundled = {run for text in bundled_texts() for run in six_word_runs(text)}
    assert [run for passage in passages() for run in six_word_runs(passage) & bundled] == []


def test_no_passage_is_like_another_or_like_a_review_or_a_dialogue():
    # 0.4 as for the other corpora: far below what a person calls a near-duplicate.
    splits = {"train": as_split(bundled_texts()), "validation": as_split([]), "test": as_split(passages())}
    found = inspect(splits, DIALOGUE, near=0.4)
    assert found.leaked == ()
    assert [pair for pair in found.duplicates + found.near_duplicates if pair.split_b == "test"] == []


def test_neither_file_is_offered_as_examples_of_a_task():
    offered = {name for task in TASKS.values() for name in corpus_names(task)}
    assert not offered & {"general", "instructions"}
    assert offered >= set(BUNDLED)


def test_the_card_states_the_counts(subjects):
    lengths = sorted(len(passage.split()) for passage in passages())
    middle = lengths[len(lengths) // 2]
    assert (
        f"| `general` | {len(lengths)} passages | {lengths[0]} to {lengths[-1]} words, {middle} in the middle"
        in SECTION
    )
    assert f"{len(subjects)} subjects" in SECTION
    assert f"{sum(lengths):,} words" in SECTION
    assert f"| `instructions` | {len(instructions())} instructions |" in SECTION


def test_the_card_lists_the_subjects(subjects):
    listed = re.search(r"\d+ subjects, one to three passages each: ([^.]+)\.", SECTION)
    assert listed, "the data card does not list the subjects"
    assert sorted(" ".join(listed[1].split()).split(", ")) == sorted(subjects)


def test_the_card_says_how_alike_the_most_alike_passages_are():
    closest = max(similarity(a, b) for a, b in combinations(passages(), 2))
    stated = re.search(r"two passages reach a similarity of (\d\.\d+)", " ".join(SECTION.split()))
    assert stated, "the data card does not say how alike the passages are"
    assert float(stated[1]) == pytest.approx(closest, abs=0.005)
