"""Pairs and thumbs: every form that people bring gives the same rows, and what is wrong is named with its row."""

import json

import pytest

from data.hygiene import inspect
from data.preferences import thumb_of
from data.problems import ProblemsError
from data.repeats import one_row_a_text
from data.sources import open_source, open_test
from data.specs import CORPORA, corpus_names
from data.tasks import DIALOGUE
from data.tasks.own import OwnTask
from data.tasks.task import LIKED, REJECTED, WHY
from data.trained_rows import hash_rows
from plumbing.errors import DataError

CHAT = OwnTask(kind="chat", name="desk").definition()
TEXT = OwnTask(kind="generation", name="shop").definition()
COUNT = 20
PAIRS, THUMBS = (REJECTED,), (LIKED,)


def source(tmp_path, rows, name="a.jsonl"):
    path = tmp_path / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return f"file:{path}"


def opened(tmp_path, rows, task=TEXT, besides=PAIRS, **choices):
    return open_source(source(tmp_path, rows), task, besides=besides, **choices)


def in_order(found):
    return sorted((row for rows in found.splits.values() for row in rows), key=lambda row: row["row"])


def turn(role, content):
    return {"role": role, "content": content}


def asked(n):
    return [turn("user", f"Is {n} open?"), turn("assistant", "Which day?"), turn("user", f"On day {n}.")]


GOOD, BAD = "Shop {n} is, till {n}.", "No idea about {n}."


def texts(n):
    return {"prompt": f"On day {n}.", "chosen": GOOD.format(n=n), "rejected": BAD.format(n=n)}


def by_hand(n):
    return {"prompt": f"On day {n}.", "completion": GOOD.format(n=n), "worse": BAD.format(n=n)}


def alpaca(n):
    return {"instruction": f"On day {n}.", "input": "", "chosen": GOOD.format(n=n), "rejected": BAD.format(n=n)}


def messages(n):
    good, bad = ([turn("assistant", said.format(n=n))] for said in (GOOD, BAD))
    return {"prompt": asked(n), "chosen": good, "rejected": bad}


def whole(n):
    return {side: asked(n) + last for side, last in messages(n).items() if side != "prompt"}


def with_system(n):
    return {"system": "Be brief.", **whole(n)}


def newer(n):
    row = {"chosen_messages": whole(n)["chosen"], "rejected_messages": whole(n)["rejected"]}
    return {
        side: [turn(each["role"], [{"type": "text", "value": each["content"]}]) for each in said]
        for side, said in row.items()
    }


def sharegpt(n):
    called = {"user": "human", "assistant": "gpt"}
    row = messages(n)
    said = {
        side: [{"from": called[each["role"]], "value": each["content"]} for each in turns]
        for side, turns in row.items()
    }
    return {"conversations": said["prompt"], "chosen": said["chosen"][0], "rejected": said["rejected"][0]}


def hh(n):
    before = f"\n\nHuman: Is {n} open?\n\nAssistant: Which day?\n\nHuman: On day {n}.\n\nAssistant: "
    return {"chosen": before + GOOD.format(n=n), "rejected": before + BAD.format(n=n)}


def prompt_and_texts(n):
    return {"prompt": asked(n), "chosen": GOOD.format(n=n), "rejected": BAD.format(n=n)}


OF_CHATS = [messages, whole, newer, sharegpt, hh, with_system]


@pytest.mark.parametrize("make", [texts, alpaca, *OF_CHATS], ids=lambda make: make.__name__)
def test_the_better_answer_is_the_target_and_the_worse_stands_beside_it(tmp_path, make):
    row = in_order(opened(tmp_path, [make(n) for n in range(COUNT)]))[7]
    assert row["output"] == GOOD.format(n=7) and row[REJECTED] == BAD.format(n=7) and row["row"] == 8
    assert row["input"] == "On day 7."


@pytest.mark.parametrize("make", OF_CHATS, ids=lambda make: make.__name__)
def test_of_a_chat_the_worse_answer_is_its_last(tmp_path, make):
    row = in_order(opened(tmp_path, [make(n) for n in range(COUNT)], CHAT))[7]
    assert row["answer"] == GOOD.format(n=7) and row[REJECTED] == BAD.format(n=7)
    said = [each["content"] for each in row["messages"] if each["role"] != "system"]
    assert said == ["Is 7 open?", "Which day?", "On day 7."]


def test_pairs_of_texts_may_be_a_chat_of_one_question(tmp_path):
    row = in_order(opened(tmp_path, [texts(n) for n in range(COUNT)], CHAT))[7]
    assert [each["content"] for each in row["messages"]] == ["On day 7."]
    assert row["answer"] == GOOD.format(n=7) and row[REJECTED] == BAD.format(n=7)


def test_columns_of_pairs_can_be_named_and_a_reference_beside_them_is_not_the_better_answer(tmp_path):
    rows = [by_hand(n) for n in range(COUNT)]
    row = in_order(opened(tmp_path, rows, columns={REJECTED: "worse"}))[7]
    assert row["output"] == GOOD.format(n=7) and row[REJECTED] == BAD.format(n=7)
    with pytest.raises(DataError, match="chosen for rejected does not exist"):
        opened(tmp_path, rows, columns={REJECTED: "worst"})
    both = [{**texts(n), "output": f"Reference {n}."} for n in range(COUNT)]
    assert in_order(opened(tmp_path, both))[7]["output"] == GOOD.format(n=7)


def test_columns_that_were_named_for_other_rows_hold_where_there_are_such(tmp_path):
    """Of a second source for the test, and of other rows that a model is judged on later."""
    named = {REJECTED: "worse", "output": "completion"}
    spec = source(tmp_path, [by_hand(n) for n in range(COUNT)])
    other = source(tmp_path, [texts(n) for n in range(COUNT, 2 * COUNT)], "b.jsonl")
    found = open_source(spec, TEXT, test=other, columns=named, besides=PAIRS)
    judged = open_test(other, TEXT, usual_columns=named, besides=PAIRS)
    for rows in (found.splits["test"], judged.rows):
        assert rows[0]["output"] == GOOD.format(n=COUNT) and rows[0][REJECTED] == BAD.format(n=COUNT)
    alike = source(tmp_path, [by_hand(n) for n in range(COUNT, 2 * COUNT)], "c.jsonl")
    assert open_test(alike, TEXT, usual_columns=named, besides=PAIRS).rows[0][REJECTED] == BAD.format(n=COUNT)


def test_without_asking_pairs_are_answers_as_before(tmp_path):
    found = opened(tmp_path, [texts(n) for n in range(COUNT)], besides=())
    assert REJECTED not in found.splits["train"].column_names
    assert any("what was rejected is not read" in note for note in found.notes)
    asked_for = opened(tmp_path, [texts(n) for n in range(COUNT)])
    assert "Pairs: 'rejected' holds the worse answer, and 'chosen' the better." in asked_for.notes
    assert not any("not read" in note for note in asked_for.notes)


# ---- thumbs --------------------------------------------------------------------------------------------------


def thumb_texts(n):
    return {"prompt": f"On day {n}.", "completion": GOOD.format(n=n), "label": n % 2 == 0}


def thumb_messages(n):
    return {"messages": [*asked(n), turn("assistant", GOOD.format(n=n))], "label": n % 2 == 0}


def thumb_alpaca(n):
    return {"instruction": f"On day {n}.", "input": "", "output": GOOD.format(n=n), "kto_tag": n % 2 == 0}


def thumb_words(n):
    return {"prompt": f"On day {n}.", "completion": GOOD.format(n=n), "thumb": "up" if n % 2 == 0 else "down"}


@pytest.mark.parametrize(
    "make", [thumb_texts, thumb_messages, thumb_alpaca, thumb_words], ids=lambda make: make.__name__
)
def test_a_thumb_stands_beside_its_answer(tmp_path, make):
    rows = in_order(opened(tmp_path, [make(n) for n in range(COUNT)], besides=THUMBS))
    assert [row[LIKED] for row in rows] == [n % 2 == 0 for n in range(COUNT)]
    assert rows[7]["output"] == GOOD.format(n=7)
    if make is thumb_messages:
        rows = in_order(opened(tmp_path, [make(n) for n in range(COUNT)], CHAT, THUMBS))
        assert rows[7]["answer"] == GOOD.format(n=7) and rows[7][LIKED] is False


@pytest.mark.parametrize("make", [texts, *OF_CHATS], ids=lambda make: make.__name__)
def test_a_pair_gives_two_thumbs_in_one_split(tmp_path, make):
    found = opened(tmp_path, [make(n) for n in range(COUNT)], CHAT, THUMBS)
    of_seven = [row for row in in_order(found) if row["row"] == 8]
    assert {(row["answer"], row[LIKED]) for row in of_seven} == {
        (GOOD.format(n=7), True),
        (BAD.format(n=7), False),
    }
    assert len(in_order(found)) == 2 * COUNT
    for rows in found.splits.values():
        assert sum(rows[LIKED]) * 2 == len(rows)  # both answers to a question are on one side of each split


def test_values_that_are_thumbs():
    assert [thumb_of(value) for value in (True, "yes", "👍", 1, "thumbs_up", "Good")] == [True] * 6
    assert [thumb_of(value) for value in (False, "no", "👎", 0, -1, "down")] == [False] * 6
    assert [thumb_of(value) for value in ("maybe", 3, None, "")] == [None] * 4


# ---- what is wrong -------------------------------------------------------------------------------------------


def wrong(tmp_path, row, task=TEXT, besides=PAIRS, make=texts):
    rows = [make(n) for n in range(COUNT)]
    rows[4] = row
    with pytest.raises(ProblemsError) as found:
        opened(tmp_path, rows, task, besides)
    assert len(found.value.problems) == 1
    return str(found.value.problems[0])


def test_what_is_wrong_with_a_pair_is_told_with_its_row(tmp_path):
    same = texts(4) | {"rejected": f"  {GOOD.format(n=4)} "}
    assert "row 5, column rejected: Both answers of the pair are the same" in wrong(tmp_path, same)
    assert "row 5, column rejected: The text is empty" in wrong(tmp_path, texts(4) | {"rejected": " "})
    assert "row 5, column rejected: The value is not text but int" in wrong(tmp_path, texts(4) | {"rejected": 3})
    assert "row 5, column output: The text is empty" in wrong(tmp_path, texts(4) | {"chosen": ""})
    apart = whole(4) | {"rejected": whole(5)["rejected"]}
    for task in (TEXT, CHAT):
        said = wrong(tmp_path, apart, task, make=whole)
        assert "row 5, column rejected: The two conversations of the pair are apart before" in said
    silent = whole(4) | {"rejected": asked(4)[:1]}
    assert "row 5, column rejected: No message is the assistant's" in wrong(tmp_path, silent, CHAT, make=whole)
    left = opened(
        tmp_path, [texts(n) | ({"rejected": ""} if n == 4 else {}) for n in range(COUNT)], skip_empty=True
    )
    assert len(in_order(left)) == COUNT - 1


def test_what_is_wrong_with_a_thumb_is_told_with_its_row(tmp_path):
    said = wrong(tmp_path, thumb_texts(4) | {"label": "maybe"}, besides=THUMBS, make=thumb_texts)
    assert "row 5, column liked: The thumb 'maybe' is neither up nor down" in said
    said = wrong(tmp_path, thumb_texts(4) | {"label": None}, besides=THUMBS, make=thumb_texts)
    assert "row 5, column liked: The thumb is missing" in said
    up = [thumb_texts(n) | {"label": True} for n in range(COUNT)]
    with pytest.raises(ProblemsError, match="Every thumb is up"):
        opened(tmp_path, up, besides=THUMBS)


def test_a_source_without_them_is_refused_with_what_would_do(tmp_path):
    rows = [{"prompt": f"On day {n}.", "completion": GOOD.format(n=n)} for n in range(COUNT)]
    for besides, what in (
        (PAIRS, "no worse answer beside the better one"),
        (THUMBS, "no thumb beside each answer"),
    ):
        with pytest.raises(DataError, match=what) as found:
            opened(tmp_path, rows, besides=besides)
        assert "data.columns." in str(found.value) and "way: sft" in str(found.value)
        with pytest.raises(DataError, match=what):
            open_test(source(tmp_path, rows), TEXT, besides=besides)
    with pytest.raises(DataError, match="This corpus has answers, and none of them is better"):
        open_source("corpus:dialogues", DIALOGUE, besides=PAIRS)
    with pytest.raises(DataError, match="This corpus is not for the task 'dialogue'"):
        open_source("corpus:reviews", DIALOGUE, besides=PAIRS)


def test_test_rows_without_a_good_answer_are_refused(tmp_path):
    rows = [thumb_texts(n) | {"label": False} for n in range(COUNT)]
    with pytest.raises(DataError, match="No answer of the test split has a thumb up"):
        open_test(source(tmp_path, rows), TEXT, besides=THUMBS)


# ---- splits, repeats, hygiene --------------------------------------------------------------------------------


def test_one_pair_a_text_is_judged_and_each_answer_with_one_thumb(tmp_path):
    rows = [{"input": "Why?", "output": f"Since {n}.", REJECTED: "No.", "row": n} for n in (1, 2)]
    kept, repeats = one_row_a_text(rows, TEXT)
    assert len(kept) == 1 and kept[0]["output"] == ["Since 1.", "Since 2."] and repeats.repeated == 1
    answers = [("Yes.", True), ("Yes!", True), ("No.", False), ("Maybe.", True), ("maybe", False)]
    rows = [{"input": "Why?", "output": said, LIKED: liked, "row": n} for n, (said, liked) in enumerate(answers)]
    kept, repeats = one_row_a_text(rows, TEXT)
    assert [row["output"] for row in kept] == ["Yes.", "No."]
    assert (repeats.given, repeats.repeated, repeats.contradictory) == (5, 1, 2)


def test_another_worse_answer_is_another_row(tmp_path):
    hashes = {
        hash_rows(opened(tmp_path, [texts(n) | more for n in range(COUNT)]).splits["train"], TEXT)
        for more in ({}, {"rejected": "Never."})
    }
    assert len(hashes) == 2
    thumbs = [thumb_texts(n) for n in range(COUNT)]
    turned = [row | {"label": not row["label"]} for row in thumbs]
    both = [opened(tmp_path, rows, besides=THUMBS).splits["train"] for rows in (thumbs, turned)]
    assert len({hash_rows(rows, TEXT) for rows in both}) == 2


def test_hygiene_tells_of_pairs_and_thumbs(tmp_path):
    rows = [texts(n) for n in range(COUNT)]
    rows[3] |= {"rejected": "shop 3 is till 3"}
    said = " ".join(inspect(opened(tmp_path, rows).splits, TEXT).sentences())
    assert "1 pair has two answers that are the same but for case and punctuation (row 4)." in said
    assert "more words than the worse in 19 of 20 pairs, so that length alone tells them apart." in said
    found = opened(tmp_path, [texts(n) for n in range(COUNT)], besides=THUMBS)
    said = " ".join(inspect(found.splits, TEXT).sentences())
    up = sum(found.splits["train"][LIKED])
    assert " repeated" not in said and f"The training thumbs are balanced ({up} up, {up} down)." in said
    again = [*(thumb_texts(n) for n in range(COUNT)), thumb_texts(2), thumb_texts(4) | {"label": False}]
    read = [{"input": row["prompt"], "output": row["completion"], LIKED: row["label"]} for row in again]
    columns = {name: [row[name] for row in read] for name in read[0]} | {"row": list(range(1, len(read) + 1))}
    empty = dict.fromkeys(columns, ())
    hygiene = inspect({"train": columns, "validation": empty, "test": empty}, TEXT)
    assert len(hygiene.duplicates) == 2 and len(hygiene.contradictions) == 1
    assert "1 row is repeated with another thumb (train row 5 and train row 22)." in hygiene.sentences()


def test_pairs_that_contradict_each_other_are_told(tmp_path):
    columns = {"input": ["Why?"] * 3, "output": ["Yes.", "No.", "Maybe."], REJECTED: ["No.", "yes", "No."]}
    empty = dict.fromkeys([*columns, "row"], ())
    said = inspect({"train": columns | {"row": [1, 2, 3]}, "validation": empty, "test": empty}, TEXT).sentences()
    assert any(s == "2 pairs contradict each other: the same two answers, judged both ways (row 1)." for s in said)


# ---- bundled pairs -------------------------------------------------------------------------------------------


def test_a_corpus_of_pairs_is_for_the_task_whose_input_it_has(tmp_path, monkeypatch):
    from data import origins, specs

    rows = [
        {"dialogue": f"Ana: Is {n} open?\nLeo: Yes.", "chosen": f"Shop {n} is open.", "rejected": "A shop is open.",
         "why": "specific", "split": ("train", "validation", "test")[n % 3]}
        for n in range(12)
    ]  # fmt: skip
    (tmp_path / "better.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for module in (specs, origins):
        monkeypatch.setattr(module, "CORPORA", tmp_path)
    assert corpus_names(DIALOGUE, PAIRS) == ("better",) and corpus_names() == ("better",)
    assert corpus_names(DIALOGUE) == () and corpus_names(TEXT, PAIRS) == ()
    row = in_order(open_source("corpus:better", DIALOGUE, besides=PAIRS))[3]
    assert row["summary"] == "Shop 3 is open." and row[REJECTED] == "A shop is open." and row["why"] == "specific"
    thumbs = open_source("corpus:better", DIALOGUE, besides=THUMBS)
    assert [len(thumbs.splits[name]) for name in ("train", "validation", "test")] == [8, 8, 8]
    plain = open_source("corpus:better", DIALOGUE)
    assert REJECTED not in plain.splits["train"].column_names and len(plain.splits["train"]) == 4


def test_the_pairs_that_ship_are_as_their_card_says():
    found = open_source("corpus:preferences", DIALOGUE, besides=PAIRS)
    sizes = [len(found.splits[name]) for name in ("train", "validation", "test")]
    cells = " | ".join(map(str, [sum(sizes), *sizes]))
    assert f"| `preferences` | {cells} |" in (CORPORA / "README.md").read_text(encoding="utf-8")
    said = inspect(found.splits, DIALOGUE, near=0.4).sentences()
    assert said[:2] == ["No test row occurs in training.", "No duplicates and no near-duplicates."]
    dialogues = open_source("corpus:dialogues", DIALOGUE).splits
    for name, rows in found.splits.items():
        assert set(rows["dialogue"]) == set(dialogues[name]["dialogue"])  # in the same split, so nothing leaks
        assert all(row[WHY] for row in rows)
