"""Conversations become messages and the answer to them; what is out of order is named with its row."""

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.chats import Chat, chat_of
from data.hygiene import inspect
from data.problems import ProblemsError
from data.readers.conversations import Turn, turns_of
from data.samples import sample
from data.sources import open_source, open_test
from data.tasks import SENTIMENT
from data.tasks.own import OwnTask
from data.trained_rows import hash_rows
from plumbing.errors import DataError

CHAT = OwnTask(kind="chat", name="desk").definition()
COUNT = 20


def opened(tmp_path, rows, task=CHAT, name="a.jsonl", **choices):
    path = tmp_path / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return open_source(f"file:{path}", task, **choices)


def in_order(found):
    return sorted((row for rows in found.splits.values() for row in rows), key=lambda row: row["row"])


def turn(role, content, **more):
    return {"role": role, "content": content, **more}


def talk(n):
    return [
        turn("system", "Be brief."),
        turn("user", f"Is shop {n} open?"),
        turn("assistant", "Which day?", weight=0),
        turn("user", "Monday."),
        turn("assistant", f"Shop {n} is, till {n}.", weight=1),
    ]


def message(role, content, weight=1):
    return {"role": role, "content": content, "weight": weight}


def test_a_chat_keeps_every_turn_with_its_role_and_its_weight(tmp_path):
    found = opened(tmp_path, [{"messages": talk(n), "tools": [{"a": 1}]} for n in range(COUNT)])
    row = in_order(found)[7]
    assert row["messages"] == [
        message("system", "Be brief."),
        message("user", "Is shop 7 open?"),
        message("assistant", "Which day?", 0),
        message("user", "Monday."),
    ]
    assert row["answer"] == "Shop 7 is, till 7." and row["row"] == 8
    assert found.task.input_of(row)[-1]["content"] == "Monday."
    assert found.task.text_of(row).endswith("user: Monday.")
    assert "The column 'tools' is not read." in found.notes
    assert any(note.startswith("20 turns of the assistant have the weight 0") for note in found.notes)
    assert found.mapping.reason == "'messages' holds the chats."


def sharegpt(n):
    return {
        "system": "Be brief.",
        "conversations": [
            {"from": "human", "value": f"Is shop {n} open?"},
            {"from": "gpt", "value": "Which day?", "loss_weight": 0.0},
            {"from": "human", "value": "Monday."},
            {"from": "gpt", "value": f"Shop {n} is, till {n}."},
        ],
    }


def parts(n):
    return {"messages": [turn(each["role"], [{"type": "text", "text": each["content"]}], **(
        {"weight": each["weight"]} if "weight" in each else {})) for each in talk(n)]}  # fmt: skip


def newer(n):
    said = [(each["role"], each["content"], each.get("weight", 1)) for each in talk(n)]
    return {"messages": [turn(role, [{"type": "text", "value": text}], loss_weight=w) for role, text, w in said]}


def alpaca(n):
    history = [[f"Is shop {n} open?", "Which day?"]]
    return {"instruction": "Monday.", "input": "", "output": f"Shop {n} is, till {n}.", "history": history,
            "system": "Be brief."}  # fmt: skip


def in_two(n):
    return {"prompt": talk(n)[:-1], "completion": talk(n)[-1:]}


def pairs(n):
    return {"prompt": talk(n)[:-1], "chosen": talk(n)[-1:], "rejected": [turn("assistant", "No idea.")]}


def whole_pairs(n):
    return {"chosen": talk(n), "rejected": [*talk(n)[:-1], turn("assistant", "No idea.")]}


def sharegpt_pairs(n):
    row = sharegpt(n)
    *before, last = row["conversations"]
    return {**row, "conversations": before, "chosen": last, "rejected": {"from": "gpt", "value": "No."}}


@pytest.mark.parametrize(
    "make",
    [sharegpt, parts, newer, alpaca, in_two, pairs, whole_pairs, sharegpt_pairs],
    ids=lambda make: make.__name__,
)
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_every_form_of_a_chat_gives_the_same_rows(tmp_path, make, kind):
    plain = in_order(opened(tmp_path, [{"messages": talk(n)} for n in range(COUNT)]))
    rows = [make(n) for n in range(COUNT)]
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "b.parquet")
        found = open_source(f"file:{tmp_path}/b.parquet", CHAT)
    else:
        found = opened(tmp_path, rows, name="b.jsonl")
    if make is alpaca:  # it has no weights
        for row in plain:
            row["messages"][2]["weight"] = 1
    assert in_order(found) == plain
    said = " ".join(found.notes)
    assert ("training learns to answer as in 'chosen'" in said) == ("pairs" in make.__name__)


def test_conversations_written_as_json_in_a_table_are_conversations(tmp_path):
    lines = [[n, json.dumps(talk(n))] for n in range(COUNT)]
    with (tmp_path / "a.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["id", "messages"], *lines])
    found = open_source(f"file:{tmp_path}/a.csv", CHAT)
    assert in_order(found) == in_order(opened(tmp_path, [{"messages": talk(n)} for n in range(COUNT)]))
    assert "'messages' holds conversations that are written as JSON." in found.notes
    for odd in ("[1, 2]", "[[[[[", '[{"role": "user", "content": {}}]', "[" * 100_000):
        (tmp_path / "b.csv").write_text("id,messages\n" + f"1,'{odd}'\n".replace("'", "") * 9, encoding="utf-8")
        with pytest.raises(DataError):
            open_source(f"file:{tmp_path}/b.csv", CHAT)


def test_thumbs_up_is_learned_and_thumbs_down_left_out(tmp_path):
    rows = [{"messages": talk(n), "label": n % 2 == 0} for n in range(COUNT)]
    found = opened(tmp_path, rows)
    assert [row["answer"] for row in in_order(found)] == [f"Shop {n} is, till {n}." for n in range(0, COUNT, 2)]
    assert "'label' marks 10 answers as good, which are learned; 10 others are left out." in found.notes


def test_two_columns_are_chats_of_one_question(tmp_path):
    rows = [{"question": f"Is shop {n} open?", "answer": f"Till {n}."} for n in range(COUNT)]
    row = in_order(opened(tmp_path, rows))[3]
    assert (row["messages"], row["answer"]) == ([message("user", "Is shop 3 open?")], "Till 3.")
    other = [{"a": f"Is shop {n} open?", "b": f"It is, till {n} o'clock."} for n in range(COUNT)]
    chosen = opened(tmp_path, other, columns={"messages": "a", "answer": "b"})
    assert in_order(chosen)[3]["answer"] == "It is, till 3 o'clock."
    assert chosen.mapping.reason.startswith("each row is a chat of one question and one answer; ")


def test_an_alpaca_row_is_a_chat_of_its_instruction_and_input(tmp_path):
    rows = [{"instruction": "Translate.", "input": f"Haus {n}", "output": f"house {n}"} for n in range(COUNT)]
    row = in_order(opened(tmp_path, rows))[2]
    assert row["messages"] == [message("user", "Translate.\nHaus 2")] and row["answer"] == "house 2"


def test_human_and_assistant_in_one_text_are_turns(tmp_path):
    rows = [
        {"chosen": f"\n\nHuman: Is {n} open?\n\nAssistant: It is.\n\nHuman: Till?\n\nAssistant: Till {n}.",
         "rejected": f"\n\nHuman: Is {n} open?\n\nAssistant: Go away."}
        for n in range(COUNT)
    ]  # fmt: skip
    row = in_order(opened(tmp_path, rows))[5]
    assert [each["content"] for each in row["messages"]] == ["Is 5 open?", "It is.", "Till?"]
    assert row["answer"] == "Till 5."


# ---- turns of other roles ----------------------------------------------------------------------------------


def test_tools_are_read_and_never_learned(tmp_path):
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "hours"}}]}
    rows = [
        {"messages": [turn("user", f"Is {n} open?"), call, turn("tool", "9-5"), turn("assistant", f"It is, {n}.")]}
        for n in range(COUNT)
    ]
    found = opened(tmp_path, rows)
    roles = [(each["role"], each["weight"]) for each in in_order(found)[0]["messages"]]
    assert roles == [("user", 1), ("assistant", 0), ("tool", 1)]
    assert '"name": "hours"' in in_order(found)[0]["messages"][1]["content"]
    assert any(
        "20 chats of a.jsonl with calls of tools: these, and what they give, are read only." in n
        for n in found.notes
    )
    gpt = [{"from": "human", "value": "Open?"}, {"from": "function_call", "value": "{}"},
           {"from": "observation", "value": "9-5"}, {"from": "gpt", "value": "It is."}]  # fmt: skip
    chat = chat_of(turns_of(gpt))
    assert isinstance(chat, Chat) and [each["role"] for each in chat.messages] == ["user", "assistant", "tool"]


def test_what_comes_after_the_last_answer_is_left_out_and_said(tmp_path):
    rows = [{"messages": [*talk(n), turn("user", "Thanks!")]} for n in range(COUNT)]
    found = opened(tmp_path, rows)
    assert in_order(found)[0]["answer"] == "Shop 0 is, till 0."
    assert any(
        note.startswith("20 chats of a.jsonl end with turns that nobody learns from") for note in found.notes
    )
    unlearned = chat_of((Turn("user", "a"), Turn("assistant", "b"), Turn("user", "c"), Turn("assistant", "d", 0)))
    assert (unlearned.answer, unlearned.left_out) == ("b", 2)


@pytest.mark.parametrize(
    ("turns", "said"),
    [
        ([("user", "a")], "No message is the assistant's"),
        ([("user", "a"), ("assistant", " ")], "Message 2, which is the assistant's, is empty"),
        ([("user", ""), ("assistant", "b")], "Message 1, which is the user's, is empty"),
        ([("assistant", "b"), ("user", "a")], "begins with message 1, which is the assistant's"),
        ([("system", "s"), ("assistant", "b")], "begins with message 2, which is the assistant's"),
        ([("user", "a"), ("user", "b"), ("assistant", "c")], "Message 2 is the user's, and so out of order"),
        ([("user", "a"), ("assistant", "b"), ("assistant", "c")], "after one that is the assistant's"),
        ([("user", "a"), ("system", "s"), ("assistant", "b")], "Message 2 is the system's, which can only"),
        ([("user", "a"), ("tool", "b"), ("assistant", "c")], "Message 2 is a tool's, and so out of order"),
        ([("user", "a"), ("Ann", "b")], "Message 2 has the role 'Ann'"),
    ],
)  # fmt: skip
def test_a_chat_that_cannot_be_learned_is_a_problem_with_its_row(tmp_path, turns, said):
    rows = [{"messages": talk(n)} for n in range(COUNT)]
    rows[4] = {"messages": [turn(role, content) for role, content in turns]}
    with pytest.raises(ProblemsError) as caught:
        opened(tmp_path, rows)
    (problem,) = caught.value.problems
    assert (problem.row, problem.column) == (5, "messages")
    assert said in problem.what and problem.fix


def test_weights_of_nothing_are_a_problem(tmp_path):
    chat = chat_of((Turn("user", "a"), Turn("assistant", "b", 0)))
    assert chat[0].startswith("No message of the assistant is to be learned")


def test_pictures_and_missing_chats_are_problems_with_their_rows(tmp_path):
    rows = [{"messages": talk(n)} for n in range(COUNT)]
    picture = [turn("user", [{"type": "image_url", "image_url": {"url": "x"}}]), turn("assistant", "A cat.")]
    rows[2] = {"messages": picture}
    rows[3] = {"messages": [], "id": 3}  # without the id it were a blank row
    rows[6] = {"messages": "Hello"}
    with pytest.raises(ProblemsError) as caught:
        opened(tmp_path, rows)
    said = {problem.row: problem.what for problem in caught.value.problems}
    assert "holds a part that is no text but 'image_url'" in said[3]
    assert said[4] == "The conversation is empty" and said[7] == "The value is not a conversation"


def test_a_chat_with_an_empty_turn_is_left_out_by_the_setting(tmp_path):
    rows = [{"messages": talk(n)} for n in range(COUNT)]
    rows[4]["messages"][2]["content"] = ""
    assert len(in_order(opened(tmp_path, rows, skip_empty=True))) == COUNT - 1


# ---- what is done with rows of chats -----------------------------------------------------------------------


def test_chats_are_divided_compared_sampled_and_hashed_by_what_is_asked(tmp_path):
    rows = [{"messages": talk(n)} for n in range(COUNT)]
    again = [*rows, {"messages": [*talk(3)[:-1], turn("assistant", "Another answer.")]}]
    found = opened(tmp_path, again)
    hygiene = inspect(found.splits, found.task)
    texts = [found.task.text_of(row) for split in found.splits.values() for row in split]
    assert len(texts) - len(set(texts)) == len(hygiene.duplicates) <= 1
    assert any(sentence.startswith("The chat has ") for sentence in hygiene.sentences())
    part = sample(found.splits["train"], 5, found.task)
    assert len(part) == 5 and part[0]["messages"]
    lighter = [{"messages": [{**each, "weight": 1} for each in talk(n)]} for n in range(COUNT)]
    hashes = [hash_rows(opened(tmp_path, each).splits["train"], CHAT) for each in (rows, rows, lighter)]
    assert hashes[0] == hashes[1] != hashes[2]
    test = open_test(f"file:{tmp_path}/a.jsonl", CHAT)
    assert len(test.rows) == COUNT


def test_of_a_chat_a_classification_reads_the_last_exchange(tmp_path):
    said = ["good", "bad"]
    rows = [{"messages": [turn("user", f"soup {n}"), turn("assistant", said[n % 2])]} for n in range(COUNT)]
    assert in_order(opened(tmp_path, rows, SENTIMENT))[0] == {"text": "soup 0", "label": "positive", "row": 1}
    own = OwnTask(kind="classification").definition()
    assert opened(tmp_path, rows, own).task.labels == ("bad", "good")
    labelled = [{"messages": talk(n), "label": "ab"[n % 2]} for n in range(COUNT)]
    text = in_order(opened(tmp_path, labelled, own))[0]["text"]
    assert text.splitlines()[1] == "user: Is shop 0 open?"
