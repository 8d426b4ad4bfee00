"""An engine: adapters put on it and taken off, questions as tokens, what it cannot do, and what becomes of faults.

vLLM and SGLang by a stand-in that speaks as they do; llama.cpp's own server is asked in `tests/integration`.
"""

import math
import shutil
import threading
from urllib.parse import urlsplit

import pytest

from eval.sides.endpoint.client import Limits
from eval.sides.engine import Engine, EngineError, GoneError
from eval.sides.engine.engine import _is
from eval.sides.engine.forms import Question
from eval.sides.engine.llama_cpp import LlamaCpp
from eval.sides.engine.shelf import FILES, Shelf, name_of
from plumbing.errors import ModelError, UserError
from tests.unit.eval.engine_stand_in import END, serving

KINDS = ("vllm", "sglang")
KEY = "sk-only-here"


@pytest.fixture(params=KINDS)
def server(request):
    with serving(request.param) as found:
        yield found


@pytest.fixture
def vllm():
    with serving("vllm") as found:
        yield found


@pytest.fixture
def open_engine(tmp_path):
    """`open_engine(server)` → an engine at it; closed after the test."""
    opened = []

    def open_it(server, **options):
        limits = Limits(connect_s=5.0, answer_s=20.0)
        opened.append(
            Engine(server.url, Shelf(tmp_path / "shelf"), limits=limits, **({"patience_s": 20.0} | options))
        )
        return opened[-1]

    yield open_it
    for engine in opened:
        engine.close()


@pytest.fixture
def adapter(tmp_path):
    folder = tmp_path / "adapter"
    folder.mkdir()
    for name in (*FILES, "prompt.json"):
        (folder / name).write_text(name)
    return folder


def question(prompt=(1, 2, 3), adapter="", limit=8):
    return Question(list(prompt), frozenset({END}), limit, lambda ids: " ".join(map(str, ids)), adapter)


def written(engine, *questions):
    *_, last = engine.stream(questions, threading.Event())
    return last


# ---- what is asked -----------------------------------------------------------------------------------------


def test_a_question_is_its_tokens_and_so_is_the_answer(server, open_engine, adapter):
    engine = open_engine(server)
    name = engine.put_on(adapter)
    base, tuned = written(engine, question(), question(adapter=name))
    assert (base.text, base.tokens, base.finished) == ("3 0 7", 3, True)
    assert (tuned.text, tuned.finished) == (f"3 {len(name)} 7", True)
    assert tuned.seconds >= tuned.first_token_seconds > 0
    bodies = [body for path, body in server.asked if path == "/v1/completions"]
    assert all(body["prompt"] == [1, 2, 3] and body["temperature"] == 0 for body in bodies)
    assert all(body["stop_token_ids"] == [END] and body["return_token_ids"] for body in bodies)
    asked_for = {body["model"] if server.kind == "vllm" else body["lora_path"] for body in bodies}
    assert asked_for == {"owner/tiny" if server.kind == "vllm" else None, name}


def test_an_answer_ends_at_the_limit_and_says_that_it_is_cut_off(server, open_engine):
    server.answer = lambda prompt, adapter: [7] * 100
    [answer] = written(open_engine(server), question(limit=4))
    assert (answer.text, answer.tokens, answer.finished) == ("7 7 7 7", 4, False)


def test_both_sides_grow_at_the_same_time(server, open_engine):
    server.answer = lambda prompt, adapter: [*range(10, 20), END]
    server.token_s = 0.02
    steps = [
        [each.tokens for each in step]
        for step in open_engine(server).stream([question(limit=20), question(limit=20)], threading.Event())
    ]
    assert any(0 < one < 10 and 0 < other < 10 for one, other in steps) and steps[-1] == [10, 10]


def test_a_stop_ends_it_at_once(server, open_engine):
    server.answer = lambda prompt, adapter: [7] * 500
    server.token_s, stop = 0.05, threading.Event()
    last = None
    for step in open_engine(server).stream([question(limit=500)], stop):
        last = step
        if step[0].tokens:
            stop.set()
    assert last is not None and 0 < last[0].tokens < 400 and not last[0].finished


def test_many_questions_come_back_in_order(server, open_engine):
    server.answer = lambda prompt, adapter: [*prompt, END]
    done = []
    found = open_engine(server).answers(
        [question([number]) for number in range(10, 70)], lambda *both: done.append(both)
    )
    assert [each.text for each in found] == [str(number) for number in range(10, 70)] and done[-1] == (60, 60)


def test_labels_are_weighed_by_the_probabilities_of_their_tokens(server, open_engine, adapter):
    engine = open_engine(server)
    name = engine.put_on(adapter)
    table = {(1,): {5: -1.0, 6: -2.0}, (1, 5): {8: -0.5, 9: -3.0}}
    server.probabilities = lambda prompt, adapter: table[tuple(prompt)]
    [[one, other]] = engine.choose([question([1], name)], [[5], [6]])
    assert math.exp(one) + math.exp(other) == pytest.approx(1) and one - other == pytest.approx(1.0)
    # Of several tokens the product counts.
    [[long, short, last]] = engine.choose([question([1])], [[5, 8], [6], [5, 9]])
    assert long - short == pytest.approx(-1.5 + 2.0) and last - long == pytest.approx(-2.5)


def test_an_engine_that_tells_no_probabilities_says_so(server, open_engine):
    server.probabilities = lambda prompt, adapter: {}
    with pytest.raises(EngineError, match="does not tell how probable each label is"):
        open_engine(server).choose([question()], [[5], [6]])


# ---- adapters ----------------------------------------------------------------------------------------------


def test_an_adapter_is_put_on_once_as_the_two_files_that_it_needs(server, open_engine, adapter):
    engine = open_engine(server)
    name = engine.put_on(adapter)
    assert engine.put_on(adapter) == name == name_of(adapter)
    assert sum(path.endswith("/load_lora_adapter") for path, _ in server.asked) == 1
    place = engine.shelf.place(name)
    assert server.adapters == {name: str(place)}
    assert sorted(path.name for path in place.iterdir()) == sorted(FILES)
    # Another process of the app has it on already, since this one looked.
    server.adapters.clear()
    open_engine(server).put_on(adapter)
    assert server.adapters == {name: str(place)}


def test_what_is_in_an_adapter_is_its_name(adapter, tmp_path):
    other = shutil.copytree(adapter, tmp_path / "other")
    assert name_of(other) == name_of(adapter)
    (other / FILES[0]).write_text("another rank")
    assert name_of(other) != name_of(adapter)


def test_an_engine_that_has_forgotten_the_adapter_is_given_it_again(server, open_engine, adapter):
    engine = open_engine(server)
    name = engine.put_on(adapter)
    server.adapters.clear()  # it was started again, and this process has not looked since
    [answer] = written(engine, question(adapter=name))
    assert answer.text == f"3 {len(name)} 7" and name in server.adapters


def test_adapters_of_runs_that_are_gone_are_taken_off_and_strangers_stay(server, open_engine, adapter, tmp_path):
    engine = open_engine(server)
    kept = engine.put_on(adapter)
    other = shutil.copytree(adapter, tmp_path / "other")
    (other / FILES[0]).write_text("another")
    gone = engine.put_on(other)
    server.adapters["somebody-s"] = "/elsewhere/adapter"
    assert engine.keep_only({kept}) == set() and gone in server.adapters, "it was put there just now"
    assert engine.keep_only({kept}, grace_s=0) == {gone}
    assert set(server.adapters) == {kept, "somebody-s"} and engine.shelf.names() == {kept}


def test_an_adapter_that_it_does_not_take_is_told_in_its_own_words(server, open_engine, adapter):
    said = "LoRA rank 64 is greater than max_lora_rank 16."
    server.takes = (400, {"error": {"message": said}} if server.kind == "vllm" else {"error_message": said})
    with pytest.raises(EngineError, match=r"does not take this adapter .*rank 64 is greater"):
        open_engine(server).put_on(adapter)


def test_vllm_without_the_switch_says_which_it_is(vllm, open_engine, adapter):
    vllm.updates = False
    with pytest.raises(EngineError, match=r"no adapters while it runs.*VLLM_ALLOW_RUNTIME_LORA_UPDATING=1"):
        open_engine(vllm).put_on(adapter)


def test_a_folder_that_it_cannot_see_is_no_missing_switch(vllm, open_engine, adapter):
    place = open_engine(vllm).shelf.place(name_of(adapter))
    vllm.takes = (404, {"error": {"message": f"No adapter found for {place}"}})
    with pytest.raises(EngineError, match=r"does not take this adapter.*by the same path"):
        open_engine(vllm).put_on(adapter)


def test_an_adapter_that_cannot_be_written_as_gguf_is_a_reason(tmp_path, adapter):
    def refuse(folder, target):
        raise ModelError("Only a plain LoRA is written", got=["use_dora"])

    shelf = Shelf(tmp_path / "shelf", refuse)
    with pytest.raises(EngineError, match="Only a plain LoRA is written"):
        shelf.add(adapter, LlamaCpp().adapter_at(shelf.place("x")))
    with pytest.raises(EngineError, match="finetuning engine"):
        Shelf(tmp_path / "shelf").add(adapter, LlamaCpp().adapter_at(shelf.place("x")))
    assert shelf.names() == set()


# ---- faults ------------------------------------------------------------------------------------------------


def test_an_answer_that_breaks_off_is_asked_for_anew(server, open_engine):
    server.answer, server.breaks_after = lambda prompt, adapter: [7, 8, 9, END], 2
    [answer] = written(open_engine(server), question())
    assert (answer.text, answer.finished) == ("7 8 9", True)
    assert sum(path == "/v1/completions" for path, _ in server.asked) == 2


def test_an_engine_that_does_not_come_back_is_gone_in_a_sentence(open_engine):
    with serving("vllm") as server:
        engine = open_engine(server, patience_s=0.3)
        assert written(engine, question())
    with pytest.raises(GoneError, match="The engine does not answer: it cannot be connected to"):
        written(engine, question())
    with pytest.raises(GoneError):  # and nobody waits for it again
        engine.look(fresh=True)


def test_an_engine_that_was_started_again_answers_on(open_engine):
    with serving("vllm") as server:
        engine = open_engine(server)
        assert written(engine, question())
    restarted = threading.Event()

    def start_again():
        with serving("vllm", urlsplit(server.url).port) as again:
            again.answer = lambda prompt, adapter: [9, END]
            restarted.wait(600)

    thread = threading.Thread(target=start_again)
    thread.start()
    try:
        [answer] = written(engine, question())
        assert answer.text == "9"
    finally:
        restarted.set()
        thread.join()


def test_an_engine_that_is_loading_is_not_there_yet(server, open_engine):
    server.status = (503, {"error": {"message": "Loading model"}})
    with pytest.raises(GoneError, match="503: Loading model"):
        open_engine(server, patience_s=0.1).look()


def test_the_key_is_its_own_and_one_that_is_missing_is_asked_for(vllm, open_engine, monkeypatch):
    vllm.key = KEY
    with pytest.raises(EngineError, match="A key is read from the environment: BEFORE_AFTER_KEY_127_0_0_1"):
        open_engine(vllm).look()
    monkeypatch.setenv("BEFORE_AFTER_KEY_127_0_0_1", KEY)
    assert open_engine(vllm).look()[1].model == "owner/tiny"


def test_what_is_no_engine_says_so(vllm, open_engine):
    vllm.model["owned_by"] = "library"
    with pytest.raises(EngineError, match=r"none that is known here.*vLLM, SGLang, llama.cpp"):
        open_engine(vllm).look()
    with pytest.raises(UserError, match="not the address of a server"):
        Engine("localhost:8000", open_engine(vllm).shelf)


def test_an_engine_of_another_model_says_which(server, open_engine):
    engine = open_engine(server)
    engine.require("owner/tiny", vocabulary=100)
    with pytest.raises(EngineError, match="The engine serves tiny, and this model stands on large"):
        engine.require("owner/large", vocabulary=100)


@pytest.mark.parametrize(
    ("base", "called", "same"),
    [
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "HuggingFaceTB/SmolLM2-135M-Instruct", True),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "/models/smollm2-135m-instruct-q8_0.gguf", True),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "SmolLM2-135M-Instruct.Q4_1.gguf", True),
        ("owner/name", "/cache/models--owner--name/snapshots/0dfa/", True),
        ("/data/my-model", "/data/my-model/", True),
        ("meta/Llama-3", "meta/Llama-3.1-8B", False),
        ("owner/name", "owner/name-chat", False),
        ("owner/name", "", False),
    ],
)
def test_models_are_told_apart_by_their_names(base, called, same):
    assert _is(base, called) is same


def test_of_llama_cpp_the_text_counts_where_tokens_are_half_characters():
    kind = LlamaCpp()
    part = kind.piece({"content": "é", "tokens": [9], "stop": False})
    assert (part.text, part.tokens, part.ended, part.counted) == ("é", [9], False, None)
    last = kind.piece({"content": "", "tokens": [], "stop": True, "stop_type": "eos", "tokens_predicted": 4})
    assert (last.ended, last.counted) == (True, 3)
    with pytest.raises(EngineError, match=r"Update llama.cpp"):
        kind.piece({"content": "x"})
