"""llama.cpp's own server as the engine: what it answers is what this machine answers, to the token.

An adapter is put on the shelf, the server started with it, and asked; then it goes, and the server with it.
"""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

from data.tasks import DIALOGUE, SENTIMENT
from eval.sides.endpoint.client import Limits
from eval.sides.engine import Engine, EngineError, GoneError
from eval.sides.engine.shelf import Shelf, name_of
from eval.sides.named import open_sides
from eval.sides.side import Asked
from finetuning.export.engine import to_gguf

pytest.importorskip("xllamacpp")
from benchmarks.llama_server import llama_server
from finetuning.export.gguf.writing import Language, write_gguf
from finetuning.export.work import Work
from ui.drawing import text
from ui.drawing.answers import SideName
from ui.server import engine as on_page
from ui.server.models_in_use import MODELS, ModelsInUse
from ui.server.visitors import LOCAL
from ui.tabs.compare import build_compare

ROOT = Path(__file__).resolve().parents[2]
TEXTS = [f"The film was {word}, and nobody left before the end." for word in ("slow", "odd", "long")]
TEXTS += ["<|im_start|>", "Ünïcödé, 日本", "a\n\nb  c"]
TOKENS = 24
DIALOGUE_TEXT = "Ana: Is the soup good?\nLeo: It is better than it looks."
SIDES: tuple[SideName, SideName] = ("base", "tuned")
KEYS = {"sentiment": "bundled:sentiment-smollm2-lora", "dialogue": "bundled:dialogue-smollm2-qlora"}


@pytest.fixture(scope="module")
def adapters(writing_llama, make_adapter, tmp_path_factory):
    """Of two tasks, as those that ship; a folder for `BEFORE_AFTER_BUNDLED`."""
    folder = tmp_path_factory.mktemp("bundled")
    for seed, (task, key) in enumerate(KEYS.items(), start=1):
        make_adapter(folder / key.removeprefix("bundled:"), writing_llama, task=task, seed=seed)
    return folder


class Server:
    """llama.cpp's server on one port, started and stopped as a test likes."""

    def __init__(self, model):
        self.model = model
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.running = ExitStack()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self, shelf):
        """With all adapters of a shelf."""
        self.stop()
        found = sorted(shelf.folder.glob("*.gguf"))
        self.running.enter_context(llama_server(self.model, lora=found, exact=True, port=self.port))

    def stop(self):
        self.running.close()


@pytest.fixture(scope="module")
def server(writing_llama, tmp_path_factory):
    file = tmp_path_factory.mktemp("gguf") / "llama-f32.gguf"
    write_gguf(Language.in_folder(writing_llama), file, Work(), packing="f32")
    server = Server(file)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    return Shelf(tmp_path_factory.mktemp("runs") / ".engine", to_gguf)


@pytest.fixture(scope="module")
def engine(server, shelf, adapters):
    """Of a server that was started with both adapters, after it was found to lack them."""
    found = Engine(server.url, shelf, limits=Limits(connect_s=5.0, answer_s=120.0), patience_s=300.0)
    server.start(shelf)
    for folder in adapters.glob("*/"):
        with pytest.raises(EngineError, match=r"started without this one.*--lora .*\.gguf"):
            found.put_on(folder)
    assert shelf.names() == {name_of(folder) for folder in adapters.glob("*/")}
    server.start(shelf)
    yield found
    found.close()


def both(folder, base, task, engine=None):
    return open_sides([Asked(str(base)), Asked(str(folder))], task, engine=engine)


def test_the_engine_answers_as_this_machine_does(engine, adapters, writing_llama):
    folder = adapters / "sentiment-smollm2-lora"
    here, there = both(folder, writing_llama, SENTIMENT), both(folder, writing_llama, SENTIMENT, engine)
    for own, other in zip(here, there, strict=True):
        assert own.write(TEXTS, max_new_tokens=TOKENS) == other.write(TEXTS, max_new_tokens=TOKENS)
        for one, same in zip(own.choose(TEXTS), other.choose(TEXTS), strict=True):
            assert one.text == same.text and one.prompt_tokens == same.prompt_tokens
            assert one.probabilities == pytest.approx(same.probabilities, abs=2e-3)
        assert own.prompted(TEXTS[0]) == other.prompted(TEXTS[0])
        assert "llama.cpp computes" in other.about.notes[-1] and other.about.precision.endswith("F32")
    base, tuned = there
    assert base.write(TEXTS, max_new_tokens=TOKENS) != tuned.write(TEXTS, max_new_tokens=TOKENS)
    assert tuned.about.kind == "adapter" and tuned.about.weights_sha256 == here[1].about.weights_sha256
    for side in (*here, *there):
        side.close()


def test_what_it_does_not_serve_is_answered_here_and_that_is_said(engine, adapters, tiny_llama, tmp_path):
    strange = tmp_path / "strange"  # another model by its name
    shutil.copytree(tiny_llama, strange)
    [side] = open_sides([Asked(str(strange))], SENTIMENT, engine=engine)
    assert (
        "and not the engine: The engine serves llama-f32.gguf, and this model stands on strange."
        in (side.about.notes[-1])
    )
    assert side.write(TEXTS[:1], max_new_tokens=2)[0].tokens
    side.close()


def test_a_comparison_is_answered_by_the_engine_from_the_command_line(
    server, engine, adapters, writing_llama, reviews_file, tmp_path
):
    command = [sys.executable, "-m", "eval", "compare", "--base", str(writing_llama), "--engine", server.url]
    command += ["--tuned", str(adapters / "sentiment-smollm2-lora"), "--data", str(reviews_file), "--rows", "8"]
    written = tmp_path / "verdict.json"
    environment = os.environ | {"BEFORE_AFTER_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [*command, "--json", str(written)], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode in (0, 1), done.stderr
    sides = json.loads(written.read_text())["sides"]
    for side in sides:
        assert any("llama.cpp computes it" in note for note in side["info"]["notes"]), side["info"]["notes"]
        assert side["prompt"]["where_from"] in ("contract", "borrowed")


# ---- on the page -------------------------------------------------------------------------------------------


@pytest.fixture
def page(engine, server, adapters, monkeypatch, tmp_path):
    """The Compare tab, with that engine."""
    monkeypatch.setenv("BEFORE_AFTER_BUNDLED", str(adapters))
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(MODELS, "_open", ModelsInUse()._open)
    monkeypatch.setattr(on_page, "_served", on_page.Served(engine))

    async def inside_a_loop():  # else Gradio makes loops of its own, and closes none
        with gr.Blocks():
            return build_compare(gr.HTML())

    return asyncio.run(inside_a_loop())


def shown(steps):
    found = {}
    for updates in steps:
        found |= updates
    return found


def request(session="page1"):
    return gr.Request(request=SimpleNamespace(scope={"state": {"visitor": LOCAL}}), session_hash=session)


def answered(page, task, message, before=()):
    return shown(page.write(message, KEYS[task], list(before), request()))


def of_this_machine(page, monkeypatch, task, message):
    with monkeypatch.context() as patch:
        patch.setattr(on_page, "_served", None)
        return answered(page, task, message)[page.turns][0]


def test_compare_shows_both_streams_of_the_engine(page, monkeypatch):
    growing = []
    for updates in page.write(DIALOGUE_TEXT, KEYS["dialogue"], [], request()):
        if page.before in updates and "ba-growing" in updates[page.before]:
            growing.append((updates[page.before], updates[page.after]))
        last = updates.get(page.turns)
    assert len(set(growing)) > 1, "nothing was seen while it was written"
    assert not MODELS._open, "a model was loaded here"
    turn = shown(page.write(DIALOGUE_TEXT, KEYS["dialogue"], [], request()))[page.turns][0]
    own = of_this_machine(page, monkeypatch, "dialogue", DIALOGUE_TEXT)
    for name in SIDES:
        one, other = turn.side(name), own.side(name)
        assert (one.text, one.tokens, one.whole) == (other.text, other.tokens, other.whole)
        assert one.seconds >= one.first_token_seconds > 0
    assert turn.base.text != turn.tuned.text
    assert turn.models == own.models, "a vote is on the same"
    assert last is None or last[0].tuned.text == turn.tuned.text


def test_labels_have_their_probabilities_there_as_here(page, monkeypatch):
    updates = answered(page, "sentiment", TEXTS[0])
    [turn], own = updates[page.turns], of_this_machine(page, monkeypatch, "sentiment", TEXTS[0])
    for name in SIDES:
        one, other = turn.side(name), own.side(name)
        assert one.probabilities == pytest.approx(other.probabilities, abs=2e-3) and one.text == other.text
    assert "llama.cpp computes" in updates[page.badge] and text.HERE_INSTEAD not in updates[page.badge]


def test_a_chat_goes_on_with_what_each_side_said(page, monkeypatch):
    first = answered(page, "dialogue", DIALOGUE_TEXT)[page.turns]
    again = shown(page.follow_up("And then?", KEYS["dialogue"], first, request()))[page.turns][-1]
    with monkeypatch.context() as patch:
        patch.setattr(on_page, "_served", None)
        own = shown(page.follow_up("And then?", KEYS["dialogue"], first, request()))[page.turns][-1]
    assert [again.side(name).text for name in SIDES] == [own.side(name).text for name in SIDES]


def test_an_answer_that_is_stopped_says_so_and_the_next_is_whole(page):
    steps = page.write(DIALOGUE_TEXT, KEYS["dialogue"], [], request())
    for updates in steps:
        if page.before in updates and "ba-growing" in updates[page.before]:
            MODELS.stop("page1")
            break
    [turn] = shown(steps)[page.turns]
    assert turn.was_stopped or turn.tuned.whole
    assert not answered(page, "dialogue", DIALOGUE_TEXT)[page.turns][0].was_stopped


def test_an_engine_that_is_started_again_is_waited_for(page, server, shelf, engine):
    before = answered(page, "dialogue", DIALOGUE_TEXT)[page.turns][0]
    server.stop()
    starting = threading.Thread(target=lambda: (time.sleep(1.0), server.start(shelf)))
    starting.start()
    try:
        question = engine_question(engine, page)
        *_, [written] = engine.stream([question], threading.Event())
    finally:
        starting.join()
    assert written.text == before.tuned.text


def engine_question(engine, page):
    """What the page asks the tuned side of the dialogue."""
    opened = on_page._served._open[KEYS["dialogue"]]
    return opened.sides[1].question(DIALOGUE_TEXT, DIALOGUE.answer_tokens)


def test_an_adapter_whose_run_is_gone_goes_from_the_shelf(engine, shelf, adapters):
    kept, gone = (name_of(adapters / key.removeprefix("bundled:")) for key in KEYS.values())
    assert engine.keep_only({kept}) == set(), "it was put there just now"
    assert engine.keep_only({kept}, grace_s=0) == {gone} and shelf.names() == {kept}


def test_without_the_engine_this_machine_answers_and_says_why(page, server, monkeypatch):
    """Last, since the server stays away."""
    answered(page, "dialogue", DIALOGUE_TEXT)
    server.stop()
    monkeypatch.setattr(on_page._served.engine._link, "_patience_s", 1.0)
    updates = answered(page, "dialogue", DIALOGUE_TEXT)
    [turn] = updates[page.turns]
    assert turn.tuned.text and not turn.was_stopped and MODELS._open
    assert text.HERE_INSTEAD in updates[page.badge] and "does not answer" in updates[page.badge]
    with pytest.raises(GoneError):
        on_page._served.engine.look(fresh=True)
