"""An endpoint as a side, against a real HTTP server that goes wrong in every way that servers do."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from data.tasks import TASKS
from eval.sides.endpoint import Price, Settings, client, open_endpoint
from eval.sides.endpoint.address import Address, Key, variables
from eval.sides.endpoint.client import Limits
from eval.sides.endpoint.kept import Kept
from eval.sides.endpoint.replies import NoAnswerError, Reply, TooLongError, read_reply
from eval.sides.side import Asked
from plumbing.errors import UserError
from tests.unit.eval.faulty_server import completion, serving

ROOT = Path(__file__).resolve().parents[3]
TASK = TASKS["sentiment"]
QUICK = Limits(first_wait_s=0.01, answer_s=300.0)
KEY = "sk-test-4711-secret"


def echo(body, before="to "):
    """A right answer, which says what it was asked."""
    return completion(before + body["messages"][-1]["content"])


@pytest.fixture
def server():
    with serving() as found:
        yield found


@pytest.fixture
def opened(server, tmp_path):
    """`opened(task=TASK, model="", **settings)` → a side of the server; its answers are kept in `tmp_path`."""

    def open_it(task=TASK, *, model="", options=None, **settings):
        asked = Asked(server.url + (f"#{model}" if model else ""), options=options or {})
        found = Settings(**({"limits": QUICK, "keep_in": tmp_path} | settings))
        return open_endpoint(asked, task, settings=found)

    return open_it


def write(side, texts, **more):
    answers = side.write(texts, max_new_tokens=8, **more)
    return [answer.text if answer.written is None else answer.written for answer in answers]


# What is asked, and what comes of it


def test_rows_come_back_in_order_with_eight_in_flight(server, opened):
    def answer(number, body):
        ends = time.monotonic() + 600
        while 2 <= number <= 9 and server.most_at_once < 8 and time.monotonic() < ends:
            time.sleep(0.005)  # the first is asked alone; these have to be asked together
        time.sleep(0.01 * (number % 3))  # answers arrive in another order than they were asked
        return echo(body, "")

    server.answer = answer
    side = opened(price=Price(1.0, 2.0))
    rows = [f"row {number}" for number in range(200)]
    done = []
    assert write(side, rows, on_rows=lambda *both: done.append(both)) == rows
    assert server.most_at_once == 8 and sorted(server.texts) == sorted(rows)
    assert done[-1] == (200, 200) and [first for first, _ in done] == list(range(1, 201))
    assert (side.spent.requests, side.spent.retries, side.spent.tokens) == (200, 0, 600)
    assert side.spent.prompt_tokens == 1400 and side.spent.dollars == pytest.approx((1400 + 1200) / 1e6)
    assert side.spent.seconds > 0 and side.about.notes == ()


def test_what_is_asked_is_greedy_and_says_what_the_task_is(server, opened):
    side = opened(options={"body": '{"repeat_penalty": 1}'})
    write(side, ["a film"])
    [(path, headers, body)] = server.asked
    assert path == "/v1/chat/completions" and "Authorization" not in headers
    messages = [{"role": "system", "content": TASK.instruction}, {"role": "user", "content": "a film"}]
    assert body == {
        "model": "tiny",
        "messages": messages,
        "max_tokens": 8,
        "temperature": 0,
        "seed": 0,
        "stream": False,
        "repeat_penalty": 1,
    }
    prompted = side.prompted("a film")
    assert prompted.where_from == "server" and json.loads(prompted.example) == messages
    assert side.prompted("another").sha256 == prompted.sha256 != opened().prompted("a film").sha256
    assert side.about.name == f"{server.url}#tiny" and side.abilities == {"writes"}


def test_an_instruction_goes_where_it_is_wanted_and_stands_aside_for_a_chat_s_own(server, opened):
    task = replace(TASK, kind="chat", instruction="Be brief.")
    plain = [{"role": "user", "content": "hi", "weight": 1}]
    own = [{"role": "system", "content": "Be long."}, *plain]
    write(opened(task), [plain, own])
    write(opened(task, options={"instruction_in": "user"}), [plain])
    user = {"role": "user", "content": "hi"}
    assert [body["messages"] for _, _, body in server.asked] == [
        [{"role": "system", "content": "Be brief."}, user],
        [{"role": "system", "content": "Be long."}, user],
        [{"role": "user", "content": "Be brief.\n\nhi"}],
    ]


def written_on(number, body):
    """A completion of a bare prompt, from a server that does not count tokens."""
    return {"choices": [{"text": body["prompt"], "finish_reason": "length"}]}


def test_a_person_s_own_template_is_sent_as_it_stands(server, opened, tmp_path):
    server.answer = written_on
    (tmp_path / "prompt.jinja").write_text("{{ instruction[:2] }} {{ input | upper }} {{ labels | join('/') }}")
    side = opened(options={"prompt": str(tmp_path / "prompt.jinja")})
    [answer] = side.write(["loud"], max_new_tokens=8)
    assert answer.written == "Is LOUD negative/positive" and answer.cut_off and answer.tokens is None
    assert server.asked[0][0] == "/v1/completions" and side.prompted("loud").where_from == "file"


def test_a_space_between_a_prompt_of_ones_own_and_its_answer_is_neither_s(server, opened, tmp_path):
    server.answer = lambda number, body: {"choices": [{"text": " yes, it is", "finish_reason": "stop"}]}
    for number, template in enumerate(("{{ input }}?", "{{ input }}? ")):
        (tmp_path / f"{number}.jinja").write_text(template)
        side = opened(TASKS["dialogue"], options={"prompt": str(tmp_path / f"{number}.jinja")}, keep=False)
        [answer] = side.write(["Is it"], max_new_tokens=8)
        assert answer.text == "yes, it is" and server.asked[-1][2]["prompt"] == "Is it?"
        assert side.prompted("Is it").example == "Is it?"


def test_a_raw_text_takes_no_template(opened, tmp_path):
    (tmp_path / "prompt.jinja").write_text("Go on: {{ input }}")
    with pytest.raises(UserError, match="no place for a prompt template"):
        opened(
            replace(TASK, kind="text", target_column="", labels=()),
            options={"prompt": str(tmp_path / "prompt.jinja")},
        )


def test_of_a_raw_text_the_opening_is_sent_bare(server, opened):
    server.answer = written_on
    text = opened(replace(TASK, kind="text", target_column="", labels=()))
    assert write(text, ["one two three four"]) == ["one two"]
    assert text.prompted("one two three four").where_from == "bare text"
    assert server.asked[0][0] == "/v1/completions" and "does not count" in text.about.notes[-1]


def test_labels_are_read_out_of_what_it_writes(server, opened):
    server.answer = lambda number, body: completion(body["messages"][-1]["content"])
    said = ["Positive.", "negative", "It is not positive", "who knows", ""]
    answers = opened().write(said, max_new_tokens=8)
    assert [answer.text for answer in answers] == ["positive", "negative", "", "", ""]
    assert [answer.written for answer in answers] == said
    [words] = opened(TASKS["dialogue"]).write(["Positive."], max_new_tokens=8)
    assert (words.text, words.written) == ("Positive.", None)


def test_labels_of_two_servers_models_are_compared(server, opened, tmp_path):
    from eval.verdict.compare import judge_sides
    from eval.verdict.rows import open_rows

    texts = [
        f"{word} soup {number}" for number, word in enumerate(("odd", "good", "cold", "warm", "old", "hot") * 4)
    ]
    labels = ["negative", "positive"] * 12
    path = tmp_path / "rows.csv"
    path.write_text("text,label\n" + "".join(f"{both[0]},{both[1]}\n" for both in zip(texts, labels, strict=True)))
    rows = open_rows(f"file:{path}", [Asked("base"), Asked("tuned")], task=TASK)
    right = dict(zip(texts, labels, strict=True))
    server.models = [{"id": "base"}, {"id": "tuned"}]
    server.answer = lambda number, body: completion(
        f"It is {right[body['messages'][-1]['content']]}." if body["model"] == "tuned" else "Who knows?"
    )
    verdict, found = judge_sides([lambda: opened(model="base"), lambda: opened(model="tuned")], rows)
    assert [side.answered for side in verdict.sides] == ["read", "read"]
    assert [side.unread for side in verdict.sides] == [1.0, 0.0]
    assert [row.answers["tuned"].scores["accuracy"] for row in found] == [1.0] * len(found)
    assert {row.answers["base"].written for row in found} == {"Who knows?"}


def test_the_same_row_is_asked_once(server, opened):
    done = []
    assert write(opened(), ["a", "b", "a"], on_rows=lambda *both: done.append(both)) == ["to a", "to b", "to a"]
    assert sorted(server.texts) == ["a", "b"] and done[-1] == (3, 3)


# What passes


def half(handler):
    handler.send_response(200)
    handler.send_header("content-length", "500")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.close_connection = True


def hang_up(handler):
    handler.close_connection = True


def late(handler):
    """Answers once the same is asked again, since whoever asked has given this answer up."""
    asked, ends = handler.of.texts[1], time.monotonic() + 600
    while handler.of.texts.count(asked) < 2 and time.monotonic() < ends:
        time.sleep(0.01)
    handler.send(200, completion("late"))


PASSING = {
    "500": (500, {"error": {"message": "boom"}}),
    "503 in plain text": (503, b"overloaded\n"),
    "429": (429, {"error": {"message": "slow down"}}, {"retry-after": "0"}),
    "a half body": half,
    "no answer": hang_up,
    "late": late,
    "no JSON": (200, b"<html>starting</html>"),
    "half JSON": (200, b'{"choices": ['),
    "a list": (200, b"[]"),
    "no choices": {"choices": []},
    "no message": {"choices": [{"message": None}]},
    "an error inside": {"error": {"code": 502, "message": "upstream"}},
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_what_passes_is_asked_again(server, opened, fault):
    server.answer = lambda number, body: fault if number == 2 else echo(body)
    side = opened(limits=replace(QUICK, answer_s=1.0, late=9) if fault is late else QUICK)
    assert write(side, ["a", "b", "c"]) == ["to a", "to b", "to c"]
    assert side.spent.retries == len(server.asked) - 3 >= 1
    assert side.spent.retries == 1 or fault is late


def test_all_wait_as_long_as_the_server_asks(server, opened, monkeypatch):
    times, told, read = [], threading.Event(), client.wait_asked_s

    def wait_asked_s(*given):
        told.set()
        return read(*given)

    def answer(number, body):
        times.append(time.monotonic())
        if number == 3:  # under way when the other is told to wait, and answered once that is known
            told.wait(600)
        return (429, {"error": "slow down"}, {"retry-after": "2"}) if number == 2 else completion("x")

    server.answer = answer
    monkeypatch.setattr(client, "wait_asked_s", wait_asked_s)
    write(opened(limits=replace(QUICK, in_flight=2)), list("abcdef"))
    assert len(times) == 7 and times[3] - times[1] >= 1.9


def test_a_date_is_read_and_too_much_patience_is_the_end(server, opened):
    tomorrow = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 86_400))
    server.answer = lambda number, body: (429, {"error": "quota"}, {"retry-after": tomorrow})
    with pytest.raises(UserError, match=r"asks to wait 86,[34]\d\d s.*429: quota"):
        write(opened(), ["a"])
    assert len(server.asked) == 1


def test_an_end_after_so_many_tries_and_what_came_before_is_kept(server, opened):
    server.answer = lambda number, body: (
        (500, b"broken") if body["messages"][-1]["content"] == "c" else completion("fine")
    )
    with pytest.raises(UserError, match="did not answer, asked 6 times: 500: broken"):
        write(opened(limits=replace(QUICK, in_flight=1)), list("abcd"))
    assert server.texts == ["a", "b", *"c" * 6]
    server.asked.clear()
    server.answer = lambda number, body: completion("fine")
    side = opened()
    assert write(side, list("abcd")) == ["fine"] * 4
    assert sorted(server.texts) == ["c", "d"] and side.spent.from_cache == 2 and side.spent.requests == 2
    assert any("2 of 4 answers are from an earlier time" in note for note in side.about.notes)


# What does not get better


def endless(handler):
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b" " * 65_536)


REFUSED = {
    "401": (
        (401, {"error": {"message": "Incorrect\nAPI key"}}),
        "401: Incorrect API key.*BEFORE_AFTER_KEY_127_0_0_1 ",
    ),
    "400": ((400, {"error": {"message": "context \x1b[31mtoo long"}}), r"row 1: 400: context \\x1b\[31mtoo long"),
    "404": ((404, {"detail": "no such model"}), "404: no such model.*after the #"),
    "422": ((422, {"detail": [{"loc": ["body", "messages"], "msg": "bad"}]}), "422: .*messages"),
    "no money": ((429, {"error": {"message": "pay", "code": "insufficient_quota"}}), "429: pay"),
    "a long page": ((400, b"<p>" * 50_000), "400: <p><p>"),
    "redirect": (
        (307, b"", {"location": "http://elsewhere.example/v1?key=1"}),
        "redirects to http://elsewhere.example/v1,",
    ),
    "endless": (endless, "longer than 8,000,000 bytes"),
    "packed": ((200, b"zzz", {"content-encoding": "gzip"}), "packs its answer"),
    "no limit kept": (completion("x", tokens=200), "200 tokens where at most 8 tokens"),
    "no limit kept, uncounted": ({"choices": [{"message": {"content": "word " * 90}}]}, "90 words where"),
}


@pytest.mark.parametrize(("answer", "said"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_get_better_ends_at_once(server, opened, answer, said):
    server.answer = lambda number, body: answer
    with pytest.raises(UserError, match=said) as caught:
        write(opened(), ["a", "b", "c"])
    assert len(server.asked) == 1 and len(str(caught.value)) < 800 and "\n" not in str(caught.value)


def test_a_redirect_is_not_followed(server, opened):
    with serving() as other:
        server.answer = lambda number, body: (307, b"", {"location": f"{other.url}/chat/completions"})
        with pytest.raises(UserError, match="redirects are not followed"):
            write(opened(), ["a"])
        assert other.asked == []


def test_nobody_there(tmp_path):
    with serving() as gone:
        pass
    settings = Settings(limits=QUICK, keep_in=tmp_path)
    with pytest.raises(UserError, match=r"did not answer.*connected to.*127\.0\.0\.1"):
        open_endpoint(Asked(gone.url), TASK, settings=settings)


def test_one_that_fails_lets_the_others_come_to_their_end(server, opened):
    def answer(number, body):
        text = body["messages"][-1]["content"]
        if text == "bad":
            return 400, {"error": "bad row"}
        time.sleep(0.3)
        return completion(text)

    server.answer = answer
    with pytest.raises(UserError, match="refuses row 3: 400: bad row"):
        write(opened(), ["a", "b", "bad", "c", *(f"later {number}" for number in range(20))])
    asked = [text for text in server.texts if text != "bad"]
    assert 2 <= len(asked) < 20
    side = opened()
    assert write(side, asked) == asked and side.spent.from_cache == len(asked)


# Models


def test_the_only_model_is_taken_and_several_are_said(server, opened):
    server.models = [
        {"id": "one", "meta": {"n_params": 135, "ftype": "Q8_0"}, "parent": "whole", "aliases": ["uno"]}
    ]
    about = opened().about
    assert (about.name, about.parameters, about.base) == (f"{server.url}#one", 135, "whole")
    assert opened(model="uno").about.precision == "Q8_0" and opened(model="uno").about.notes == ()
    server.models = [{"id": "one"}, {"id": "two\x1b[0m"}]
    with pytest.raises(UserError, match=r"several models.*one, two\\x1b.*#one"):
        opened()
    assert opened(model="two").about.notes[0].startswith("The server does not list this model; it lists one")
    server.models = []
    with pytest.raises(UserError, match="no model"):
        opened()
    server.models = None
    with pytest.raises(UserError, match="does not say which models"):
        opened()
    assert opened(model="any/thing:7b").about.name.endswith("#any/thing:7b")


def test_a_server_that_answers_with_what_it_has_is_asked_for_that_only(server, opened):
    server.models = [{"id": "base.gguf", "owned_by": "llamacpp"}]
    with pytest.raises(UserError, match=r"no model of that name, and would answer.*It has base\.gguf"):
        opened(model="tuned.gguf")


def test_whether_there_are_adapters_is_known_or_it_is_not_asked(server, opened):
    server.models = [{"id": "base.gguf", "owned_by": "llamacpp"}]
    assert opened().about.notes == ()  # a version from before it had them
    server.adapters = (500, {"error": "overloaded"})
    with pytest.raises(UserError, match=r"did not answer.*500: overloaded"):
        opened()
    server.adapters = (200, [{"id": 0, "path": "/models/tuned.gguf", "scale": 1.0}])
    side = opened()
    write(side, ["a"])
    assert "applies tuned.gguf" in side.about.notes[0] and server.asked[-1][2]["cache_prompt"] is False


def test_a_server_that_cuts_long_prompts_without_a_word_is_known_for_it(server, opened):
    server.models = [{"id": "tiny:latest", "owned_by": "library"}]
    assert "OLLAMA_CONTEXT_LENGTH" in opened(model="tiny").about.notes[0]


def test_another_model_that_answers_is_said(server, opened):
    server.answer = lambda number, body: completion("x", model="tiny-2026-11-01")
    side = opened()
    write(side, ["a"])
    assert side.about.notes == ("The server says that this answered: tiny-2026-11-01.",)


# What servers do not take

REFUSALS = {
    "OpenAI": lambda name: (
        400,
        {"error": {"message": "Unsupported", "param": name, "code": "unsupported_parameter"}},
    ),
    "FastAPI": lambda name: (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", name], "msg": "x"}]}),
    "words": lambda name: (400, {"error": f"the parameter '{name}' is not supported by this model"}),
}


@pytest.mark.parametrize("refuse", REFUSALS.values(), ids=REFUSALS)
def test_what_a_server_does_not_take_is_left_out_or_named_otherwise(server, opened, refuse):
    def answer(number, body):
        wrong = [name for name in ("max_tokens", "temperature", "seed") if name in body]
        return refuse(wrong[0]) if wrong else echo(body)

    server.answer = answer
    side = opened()
    assert write(side, ["a", "b", "c"]) == ["to a", "to b", "to c"]
    assert len(server.asked) == 6  # found out once, by the first row alone
    assert set(server.asked[-1][2]) == {"model", "messages", "stream", "max_completion_tokens"}
    said = "takes no temperature"
    assert any(said in note for note in side.about.notes)
    again = opened()
    write(again, ["a"])
    assert again.spent.requests == 0 and any(said in note for note in again.about.notes)


def test_a_limit_that_is_too_large_is_no_other_name_for_it(server, opened):
    server.answer = lambda number, body: (400, {"error": {"message": "max_tokens is too large: 8", "param": None}})
    with pytest.raises(UserError, match="max_tokens is too large"):
        write(opened(), ["a"])
    assert len(server.asked) == 1


# Answers

ANSWERS = {
    "plain": (completion("yes"), Reply(text="yes", tokens=3, prompt_tokens=7, model="tiny")),
    "parts": (
        {"choices": [{"message": {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}}]},
        Reply(text="ab"),
    ),
    "empty": (completion("", tokens=0), Reply(text="", tokens=0, prompt_tokens=7, model="tiny")),
    "cut off": (
        completion("ye", finish="length"),
        Reply(text="ye", ended="length", tokens=3, prompt_tokens=7, model="tiny"),
    ),
    "a refusal": (
        completion(None, refusal="I can't."),
        Reply(text="I can't.", refused=True, tokens=3, prompt_tokens=7, model="tiny"),
    ),
    "thoughts": (
        completion("4", reasoning_content="2 and 2"),
        Reply(text="4", thought=True, tokens=3, prompt_tokens=7, model="tiny"),
    ),
    "thoughts alone": (
        completion(None, reasoning_content="hm", finish="length"),
        Reply(text="", thought=True, ended="length", tokens=3, prompt_tokens=7, model="tiny"),
    ),
    "filtered": (
        completion(None, finish="content_filter"),
        Reply(text="", ended="filter", tokens=3, prompt_tokens=7, model="tiny"),
    ),
    "counts of nonsense": (
        {"choices": [{"text": "x"}], "usage": {"completion_tokens": "3", "prompt_tokens": True}},
        Reply(text="x"),
    ),
}


@pytest.mark.parametrize(("body", "reply"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_read(body, reply):
    assert read_reply(body, max_new_tokens=8) == reply


@pytest.mark.parametrize("body", [{}, {"choices": "x"}, {"choices": [3]}, {"choices": [{"message": "x"}]}])
def test_no_answer(body):
    with pytest.raises(NoAnswerError):
        read_reply(body, max_new_tokens=8)


def test_a_token_more_is_the_end_s():
    assert read_reply(completion("x", tokens=9), max_new_tokens=8).tokens == 9
    with pytest.raises(TooLongError):
        read_reply(completion("x", tokens=10), max_new_tokens=8)


def test_what_a_reader_has_to_know_is_said(server, opened):
    kinds = iter([
        completion(None, refusal="No."),
        completion(None, reasoning_content="hm", finish="length"),
        completion("x", finish="content_filter"),
        {"choices": [{"message": {"content": "<think>x</think> y"}}]},
    ])  # fmt: skip
    server.answer = lambda number, body: next(kinds)
    side = opened(limits=replace(QUICK, in_flight=1), price=Price(1, 1))
    answers = side.write(list("abcd"), max_new_tokens=8)
    assert [answer.cut_off for answer in answers] == [False, True, False, False]
    said = " ".join(side.about.notes)
    for part in (
        "1 of 4 answers are refusals",
        "1 of 4 answers are empty",
        "filter",
        "not count the tokens of 1",
        "1 of 4 answers hold its thoughts",
    ):
        assert part in said
    assert side.spent.dollars is None


# Keys


def test_a_key_is_for_one_host_and_found_in_nothing_that_is_written(server, opened, monkeypatch, tmp_path):
    monkeypatch.setenv("BEFORE_AFTER_KEY_127_0_0_1", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-for-openai-alone")
    server.answer = lambda number, body: completion(f"you sent {KEY}", model=KEY)
    side = opened()
    assert write(side, ["a"]) == ["you sent [hidden]"]
    assert server.asked[0][1]["authorization"] == f"Bearer {KEY}"
    server.answer = lambda number, body: (401, {"error": f"wrong key {KEY}"})
    with pytest.raises(
        UserError, match=r"wrong key \[hidden\].*Look at the key in BEFORE_AFTER_KEY_127_0_0_1"
    ) as caught:
        write(side, ["b"])
    written = "".join(path.read_text() for path in tmp_path.iterdir())
    said = f"{caught.value!r} {side.about} {side.spent} {vars(side)} {side.prompted('a')}"
    assert "you sent" in written and KEY not in written + said and "openai-alone" not in written + said


def key_of(text, **environment):
    found = Key.of(Address.parse(text), environment)
    return found and found.value


def test_which_key_is_for_which_host():
    openai = {"OPENAI_API_KEY": "o"}
    assert key_of("https://api.openai.com/v1#m", **openai) == "o"
    for other in ("http://api.openai.com/v1", "https://api.openai.com:8443/v1", "https://api.openai.com.evil.example/v1",
                  "https://api-openai.com/v1", "https://localhost/v1"):  # fmt: skip
        assert key_of(other, **openai) is None
    assert variables(Address.parse("http://a-b.example:8000")) == [
        "BEFORE_AFTER_KEY_A__B_EXAMPLE_8000",
        "BEFORE_AFTER_KEY_A__B_EXAMPLE",
    ]
    own = {"BEFORE_AFTER_KEY_A_B_EXAMPLE": "k", "BEFORE_AFTER_KEY_A_B_EXAMPLE_81": "of the port"}
    assert (
        key_of("https://a.b.example/v1", **own) == "k" and key_of("http://A.B.example:81", **own) == "of the port"
    )
    for other in ("https://a-b.example", "https://a_b.example", "https://a.b.example.org", "https://b.example"):
        assert key_of(other, **own) is None
    with pytest.raises(UserError, match="BEFORE_AFTER_KEY_A holds no key") as caught:
        key_of("http://a/v1", BEFORE_AFTER_KEY_A="se\ncret")
    assert "cret" not in str(caught.value)


def test_a_key_that_went_in_the_clear_is_said(opened, monkeypatch, server):
    monkeypatch.setenv("BEFORE_AFTER_KEY_127_0_0_1", KEY)
    assert opened().about.notes == ()  # it never left this machine


# Addresses


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://localhost:11434", "http://localhost:11434/v1"),
        (" HTTP://Host.Example:80/v1/#Org/Model:7b ", "http://host.example/v1#Org/Model:7b"),
        ("https://h.example/api/v3/chat/completions#m", "https://h.example/api/v3#m"),
        ("http://[::1]:8000/v1#m", "http://[::1]:8000/v1#m"),
    ],
)
def test_an_address(text, shown):
    assert str(Address.parse(text)) == shown


@pytest.mark.parametrize(
    "text",
    [
        "http://", "ftp://h/v1", "http://h:port/v1", "http://h:99999/v1", "http://é.example/v1", "http://a b/v1",
        "http://ana:s3cret@h/v1#m", "https://s3cret@h/v1", "http://h/v1?key=s3cret#m", "http://h/v1#" + "m" * 400,
        "http://h/\x1b[0m/v1", "http://h/v1#a\nb", "http://-h/v1", "http://h/v1\\@other",
    ],
)  # fmt: skip
def test_no_address(text):
    with pytest.raises(UserError) as caught:
        Address.parse(text)
    assert "s3cret" not in str(caught.value)


GIVEN = ("https://a.example/v1#m", "http://b.example:8000/v1")


def asked_on_a_page(text, given=GIVEN, **options):
    return open_endpoint(Asked(text, options=options), TASK, settings=Settings(given=given, keep=False))


@pytest.mark.parametrize("given", [(), GIVEN], ids=["nothing", "two"])
@pytest.mark.parametrize(
    "text",
    [
        "https://a.example/v1#other", "https://a.example/v1", "http://a.example/v1#m", "https://a.example/v2#m",
        "https://a.example:444/v1#m", "http://b.example/v1#m", "https://b.example:8000/v1", "http://c.example/v1#m",
        "http://a.example.evil.example/v1#m", "http://b.example:8000/v1/../admin", "http://1.1.1.1/v1#m",
    ],
)  # fmt: skip
def test_a_public_page_asks_nothing_but_what_its_operator_gave(text, given, monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: pytest.fail("it looked where it must not"))
    with pytest.raises(UserError, match=r"does not ask that address|not the address of a server"):
        asked_on_a_page(text, given)


def test_what_its_operator_gave_is_asked_by_any_spelling_of_it_without_a_second_look(server, tmp_path, monkeypatch):
    port = server.url.rpartition(":")[2].partition("/")[0]
    looks = iter([("127.0.0.1",)])  # of the name; at the next look it would be somebody else

    def looked_up(host, port):
        return next(looks)

    monkeypatch.setattr("eval.sides.endpoint.address.public_addresses", looked_up)
    settings = Settings(limits=QUICK, keep_in=tmp_path, given=(f"http://rebound.invalid:{port}/v1",))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    side = open_endpoint(Asked(f"HTTP://REBOUND.invalid.:{port}/#tiny"), TASK, settings=settings)
    assert write(side, ["a", "b"]) == ["to a", "to b"]
    assert server.asked[0][1]["Host"] == f"rebound.invalid:{port}"


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "LOCALHOST.", "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1",
        "0177.0.0.1", "017700000001", "0", "0.0.0.0", "10.0.0.1", "192.168.1.1", "172.16.5.4", "169.254.169.254",
        "2852039166", "100.100.100.200", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]", "[::ffff:a9fe:a9fe]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]", "[fe80::1]",
        "[fd00:ec2::254]", "[64:ff9b::127.0.0.1]", "[2002:7f00:1::]", "[fec0::1]",
    ],
)  # fmt: skip
def test_a_private_address_is_not_asked_on_a_public_page_even_where_it_was_given(host):
    address = f"http://{host}:1/v1#m"  # nobody listens there: what is refused is not connected to
    with pytest.raises(UserError, match=r"private network|no host of that name"):
        asked_on_a_page(address, (address,))


def test_no_proxy_stands_between_this_machine_and_itself(server, opened, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "ftp://nonsense")
    assert write(opened(), ["a"]) == ["to a"]


# What is kept


def test_the_key_of_an_answer_is_everything_that_shapes_it(server, opened):
    def asked_again(side, *, limit=8):
        before = len(server.asked)
        side.write(["a"], max_new_tokens=limit)
        return len(server.asked) > before

    assert asked_again(opened())
    assert not asked_again(opened())
    assert asked_again(opened(), limit=9)
    assert asked_again(opened(options={"body": '{"top_k": 1}'}))
    assert asked_again(opened(options={"instruction_in": "user"}))
    assert asked_again(opened(replace(TASK, instruction="Otherwise.")))
    assert asked_again(opened(model="other"))
    server.models = [{"id": "tiny", "root": "/models/newer", "created": 1}]
    assert asked_again(opened())
    server.models[0]["created"] = 2
    assert not asked_again(opened())
    server.models[0]["meta"] = {"size": 3, "n_ctx": 5}
    assert asked_again(opened())
    server.models[0]["meta"]["n_ctx"] = 6
    assert not asked_again(opened())
    assert asked_again(opened(keep=False))


def test_ctrl_c_loses_nothing_that_came(server, opened):
    rows = [f"row {number}" for number in range(60)]
    server.seconds = 0.02

    def interrupt(done, of):
        if done == 20:
            signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # xdist's processes ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            write(opened(), rows, on_rows=interrupt)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(server.asked) < len(rows)  # the others are not waited for
    side = opened()
    assert write(side, rows) == [f"to {row}" for row in rows]
    assert side.spent.from_cache >= 20 and len(server.asked) <= 60 + 8


KILLED = """
import sys
from data.tasks import TASKS
from eval.sides.endpoint import Settings, open_endpoint
from eval.sides.side import Asked
from pathlib import Path
side = open_endpoint(Asked(sys.argv[1]), TASKS["sentiment"], settings=Settings(keep_in=Path(sys.argv[2])))
side.write([f"row {number}" for number in range(100)], max_new_tokens=8)
"""


def test_what_was_kept_when_a_process_is_killed_is_not_asked_again(server, opened, tmp_path):
    server.answer = lambda number, body: time.sleep(600) if number > 40 else echo(body)
    process = subprocess.Popen([sys.executable, "-c", KILLED, server.url, str(tmp_path)], cwd=ROOT)
    ends = time.monotonic() + 600
    while len(server.asked) < 48 and time.monotonic() < ends and process.poll() is None:
        time.sleep(0.02)
    process.kill()
    process.wait()
    first = server.texts
    assert len(first) == 48  # 40 were answered, 8 were under way
    [file] = tmp_path.glob("*.jsonl")
    with file.open("a") as handle:
        handle.write('{"key": "torn')  # as if it had been killed while it wrote
    server.asked.clear()
    server.answer = lambda number, body: echo(body)
    side = opened()
    rows = [f"row {number}" for number in range(100)]
    assert write(side, rows) == [f"to {row}" for row in rows]
    assert side.spent.from_cache == 40 and len(server.asked) == 60
    assert sorted({*first[:40], *server.texts}) == sorted(rows) and not {*first[:40]} & {*server.texts}
    assert opened().write(rows, max_new_tokens=8) and len(server.asked) == 60  # what came after the torn line, too


def test_lines_of_nonsense_are_passed_over_and_two_may_write(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(
        b'\xff\xfe\n{}\n[1]\n{"key": 1}\n{"key": "k", "text": "x", "odd": 1}\n' + b"[" * 99_999
    )
    one, other = Kept(tmp_path, "a"), Kept(tmp_path, "a")
    now = int(time.time())
    for number in range(20):
        one.add(f"one {number}", Reply(text="é\n" * number, at=now))
        other.add(f"other {number}", Reply(text="x", at=now))
    found = Kept(tmp_path, "a")
    assert [found.find(f"one {number}").text for number in range(20)] == ["é\n" * number for number in range(20)]
    assert all(found.find(f"other {number}") for number in range(20)) and found.find("k") is None
    found.add("old", Reply(text="x", at=now - 8 * 86_400))
    assert found.find("old") is None


def test_a_file_stays_small_and_so_does_the_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("eval.sides.endpoint.kept.MOST_MB", 0.01)
    monkeypatch.setattr("eval.sides.endpoint.kept.MOST_MB_OF_ALL", 0.02)
    now = int(time.time())
    for name in ("a", "b", "c"):
        kept = Kept(tmp_path, name)
        for number in range(300):
            kept.add(f"key {number}", Reply(text="some words", at=now))
        assert kept.path.stat().st_size <= 10_200
        os.utime(kept.path, (now - 100 + ord(name), now - 100 + ord(name)))
    found = Kept(tmp_path, "c")
    assert found.find("key 299") and not found.find("key 0")
    (tmp_path / "d.jsonl").write_bytes(b"x" * 9_000)
    Kept(tmp_path, "d")
    assert (
        sum(path.stat().st_size for path in tmp_path.glob("*.jsonl")) <= 20_000
        and not (tmp_path / "a.jsonl").exists()
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_a_full_disk_loses_no_run(server, opened, tmp_path):
    side = opened()
    write(side, ["a"])
    [file] = tmp_path.glob("*.jsonl")
    file.unlink()
    file.symlink_to("/dev/full")
    assert write(side, ["b", "c"]) == ["to b", "to c"]
    assert "could not be kept: No space left" in side.about.notes[-1]


def test_a_folder_that_cannot_be_is_said(opened, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be kept.*cache=off"):
        opened(keep_in=tmp_path / "file" / "folder")


# Options and prices


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"body": "[1]"}, "a JSON object"),
        ({"body": "{"}, "a JSON object"),
        ({"body": '{"max_tokens": 3}'}, "max_tokens is set"),
        ({"instruction_in": "assistant"}, "system or user"),
        ({"bodi": "{}"}, "no such option.*bodi"),
        ({"in_flight": "0"}, "a whole number from 1 to 256"),
        ({"in_flight": "2.5"}, "a whole number"),
        ({"timeout": "soon"}, "timeout is a number"),
        ({"cache": "no"}, "cache is on or off"),
        ({"price": "1"}, "two amounts"),
    ],
)
def test_an_option_that_is_none(opened, options, said):
    with pytest.raises(UserError, match=said):
        opened(options=options)


def test_a_price():
    assert Price.parse("$0.15 / 0.6").of(1_000_000, 500_000) == pytest.approx(0.45)
    for text in ("1", "1/2/3", "-1/2", "nan/1", "inf/1", "a/b", ""):
        with pytest.raises(UserError, match="Write it as"):
            Price.parse(text)
