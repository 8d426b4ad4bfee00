"""The corpora of the other kinds are what their data card says."""

import json
from collections import Counter

import pytest

from data.hygiene import inspect
from data.sources import CORPORA, open_source
from data.splits import normalised
from data.tasks import TASKS

CARD = (CORPORA / "README.md").read_text(encoding="utf-8")
NAMES = ("requests", "passages", "chats", "handbook")


@pytest.fixture(scope="module", params=NAMES)
def opened(request):
    return open_source(f"corpus:{request.param}", TASKS[request.param])


def rows_of(splits):
    return [row for split in splits.values() for row in split]


def raw(name):
    with (CORPORA / f"{name}.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def test_the_card_states_the_sizes(opened):
    name = opened.spec.partition(":")[2]
    sizes = [len(opened.splits[split]) for split in ("train", "validation", "test")]
    cells = " | ".join(f"{cell:,}" for cell in [sum(sizes), *sizes])
    assert f"| `{name}` | {cells} |" in CARD
    assert sum(sizes) == len(raw(name))


def test_no_two_rows_are_alike(opened):
    # Two questions of one passage share it: there the questions are compared.
    if opened.task.name == "passages":
        questions = [normalised(row["question"]) for row in raw("passages")]
        assert len(set(questions)) == len(questions)
        return
    found = inspect(opened.splits, opened.task, near=0.4)
    assert (found.duplicates, found.near_duplicates, found.leaked) == ((), (), ())


def test_every_row_has_something_to_say(opened):
    for row in rows_of(opened.splits):
        assert opened.task.text_of(row).strip()
        assert all(answer.strip() for answer in opened.task.references(row))


def test_messages_have_eight_labels_in_like_numbers():
    opened = open_source("corpus:requests", TASKS["requests"])
    for split, each in (("train", 75), ("validation", 15), ("test", 30)):
        counts = Counter(opened.splits[split]["label"])
        assert set(counts) == set(opened.task.labels)
        assert set(counts.values()) == {each}


def test_both_questions_of_a_passage_are_in_one_split():
    splits = {}
    for row in raw("passages"):
        splits.setdefault(row["passage"], set()).add(row["split"])
    assert len(splits) == 165
    assert all(len(found) == 1 for found in splits.values())


def test_chats_alternate_and_end_with_the_assistant():
    for row in raw("chats"):
        roles = [message["role"] for message in row["messages"]]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        assert 4 <= len(roles) <= 8


def test_letters_are_whole_in_a_split_and_begin_and_end_as_one_hand_does():
    opened = open_source("corpus:letters", TASKS["letters"])
    sizes = [len(set(opened.splits[split]["document"])) for split in ("train", "validation", "test")]
    assert f"| `letters` | {' | '.join(map(str, [sum(sizes), *sizes]))} |" in CARD
    letters = raw("letters")
    assert len(letters) == sum(sizes) == len({normalised(row["text"]) for row in letters}) >= 60
    for row in letters:
        heading, name, *_, closing = row["text"].split("\n\n")
        assert heading.startswith("Weigh-House, ") and name.endswith("—") and len(closing) < 400, row["title"]
    found = inspect(opened.splits, opened.task, near=0.4)
    assert (found.duplicates, found.near_duplicates, found.leaked) == ((), (), ())


def test_each_fact_has_six_questions_of_which_two_are_for_the_test():
    facts = {}
    for row in raw("handbook"):
        facts.setdefault(row["fact"], []).append(row)
    assert len(facts) == 64
    for rows in facts.values():
        assert len(rows) == 6
        assert Counter(row["split"] for row in rows)["test"] == 2
        assert len({tuple(row["answer"]) for row in rows}) == 1


def test_the_handbook_states_every_answer():
    handbook = normalised((CORPORA / "handbook.md").read_text(encoding="utf-8"))
    for row in raw("handbook"):
        assert any(normalised(answer) in handbook for answer in row["answer"]), row["fact"]
