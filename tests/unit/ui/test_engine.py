"""An engine in Compare: who is answered by it, how many at once, and what this machine does instead.

The engine is a stand-in that speaks as vLLM does and answers with tokens of its own; what a real one answers is
asked in `tests/integration`.
"""

from __future__ import annotations

import math
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from data.tasks import SENTIMENT
from eval.sides.engine import EngineError
from eval.sides.engine.shelf import SHELF, name_of
from finetuning.limits import Limits
from plumbing.errors import UserError
from tests.unit.eval.engine_stand_in import Engine as StandIn
from tests.unit.eval.engine_stand_in import serving
from tests.unit.ui.report_samples import save_recorded
from ui.api.comparing import compare
from ui.drawing import text
from ui.server import engine as on_page
from ui.server import health
from ui.server.choices import find
from ui.server.models_in_use import MODELS, Line, ModelsInUse
from ui.server.visitors import LOCAL, Visitor
from ui.serving import parse
from ui.tabs.compare import Compare, build_compare

SENTIMENT_KEY, DIALOGUE_KEY, WHOLE_KEY = "bundled:sentiment", "bundled:dialogue", "bundled:whole"
STRANGER = Visitor("browser-a", Limits(), holder="browser-a")


def request(visitor: Visitor = LOCAL, session: str = "page1") -> gr.Request:
    behind = SimpleNamespace(scope={"state": {"visitor": visitor}})
    return gr.Request(request=behind, session_hash=session)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def bundled(
    tmp_path: Path,
    tiny_adapter: Path,
    tiny_dialogue_adapter: Path,
    tiny_whole: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    folder = tmp_path / "bundled"
    for key, made in (
        (SENTIMENT_KEY, tiny_adapter),
        (DIALOGUE_KEY, tiny_dialogue_adapter),
        (WHOLE_KEY, tiny_whole),
    ):
        shutil.copytree(made, folder / key.removeprefix("bundled:"))
    monkeypatch.setenv("BEFORE_AFTER_BUNDLED", str(folder))
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(MODELS, "_open", ModelsInUse()._open)
    return folder


@pytest.fixture
def server(tiny_llama: Path) -> Iterator[StandIn]:
    """An engine that serves the tiny Llama; its base answers `a`, an adapter on it `b`, twice."""
    from models.loading import load_tokenizer
    from models.sources import resolve

    tokenizer = load_tokenizer(resolve(str(tiny_llama)))
    a, b = tokenizer.encode("ab", add_special_tokens=False)
    with serving("vllm") as found:
        found.model |= {"id": "tiny", "root": str(tiny_llama), "max_model_len": 1024}
        found.base = "tiny"
        found.answer = lambda prompt, adapter: [b if adapter else a] * 2 + [tokenizer.eos_token_id]
        yield found


@pytest.fixture
def served(server: StandIn) -> Iterator[on_page.Served]:
    found = on_page.use(server.url)
    assert found is not None
    yield found
    on_page.use(None)


@pytest.fixture
def tab(laid_out: Callable[..., Compare]) -> Compare:
    return laid_out(lambda: build_compare(gr.HTML()))


def shown(steps: Iterator[Any]) -> dict[Any, Any]:
    """The page after all of a handler's updates."""
    found: dict[Any, Any] = {}
    for updates in steps:
        found |= updates
    return found


def test_the_engine_answers_and_no_model_is_loaded_here(tab: Compare, served: on_page.Served) -> None:
    page = shown(tab.write("Ana: Soup?\nLeo: Yes.", DIALOGUE_KEY, [], request()))
    [turn] = page[tab.turns]
    assert (turn.base.text, turn.tuned.text, turn.tuned.tokens) == ("aa", "bb", 2)
    assert turn.models is not None and not turn.was_stopped and not MODELS._open
    assert "vLLM computes it by its own weights" in page[tab.badge] and text.HERE_INSTEAD not in page[tab.badge]
    assert "vLLM" in page[tab.status]


def test_labels_have_the_engine_s_probabilities(
    tab: Compare, served: on_page.Served, server: StandIn, tiny_pair: Any
) -> None:
    one, other = (tokens for [tokens] in tiny_pair.prompter.encode_labels(SENTIMENT.labels))
    server.probabilities = lambda prompt, adapter: {one: -1.0, other: -3.0 if adapter else -1.0}
    [turn] = shown(tab.write("Fine soup.", SENTIMENT_KEY, [], request()))[tab.turns]
    assert turn.base.probabilities == pytest.approx([0.5, 0.5])
    assert turn.tuned.probabilities == pytest.approx([1 / (1 + math.exp(-2)), 1 / (1 + math.exp(2))])
    assert turn.tuned.label == SENTIMENT.labels[0] and turn.tuned.text == "bb"


def test_what_it_asks_is_what_this_machine_would_ask(
    tab: Compare, served: on_page.Served, server: StandIn, tiny_dialogue_pair: Any
) -> None:
    first = shown(tab.write("Ana: Soup?", DIALOGUE_KEY, [], request()))[tab.turns]
    shown(tab.follow_up("And then?", DIALOGUE_KEY, first, request()))
    said = [
        {"role": "user", "content": "Ana: Soup?"},
        {"role": "assistant", "content": "aa"},
        {"role": "user", "content": "And then?"},
    ]
    asked = [body["prompt"] for path, body in server.asked if path == "/v1/completions"]
    encode = tiny_dialogue_pair.prompter.encode_prompt
    assert asked[:2] == [encode("Ana: Soup?")] * 2 and encode(said) in asked[2:]


def test_two_visitors_are_answered_at_once(tab: Compare, served: on_page.Served, server: StandIn) -> None:
    shown(tab.write("Ana: Soup?", DIALOGUE_KEY, [], request()))  # it is open now
    together, answer = threading.Barrier(4), server.answer

    def both_sides_of_both(prompt: list[int], adapter: str) -> list[int]:
        together.wait(600)
        return answer(prompt, adapter)

    server.answer = both_sides_of_both
    pages: list[Any] = []

    def visit(session: str) -> None:
        pages.append(shown(tab.write("Ana: Soup?", DIALOGUE_KEY, [], request(session=session))))

    threads = [threading.Thread(target=visit, args=[f"page{number}"]) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [page[tab.turns][0].tuned.text for page in pages] == ["bb", "bb"]


def test_a_page_that_is_opened_asks_the_engine_while_this_machine_is_busy(
    tab: Compare,
    served: on_page.Served,
    server: StandIn,
    bundled: Path,
    tiny_pair: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ui.tabs.compare._PATIENCE_S", 0.01)
    labels = tiny_pair.prompter.encode_labels(SENTIMENT.labels)
    server.probabilities = lambda prompt, adapter: {token: -1.0 for [token] in labels}
    save_recorded(bundled / "sentiment")
    with MODELS.line.place():
        page = shown(tab.greet("sentiment", SENTIMENT_KEY, [], request()))
        assert [turn.tuned.text for turn in page[tab.turns]] == ["bb"]
        with served.line.place():
            served.line.at_once = 1
            page = shown(tab.greet("sentiment", SENTIMENT_KEY, [], request(session="page2")))
    assert page[tab.turns] == [] and text.OTHERS_FIRST in page[tab.reference]


def test_a_whole_model_is_answered_here_and_the_page_says_why(tab: Compare, served: on_page.Served) -> None:
    [turn] = (page := shown(tab.write("Fine soup.", WHOLE_KEY, [], request())))[tab.turns]
    assert turn.tuned.probabilities and MODELS._open
    assert f"{text.HERE_INSTEAD} An engine puts adapters on its model, and this is a whole one." in page[tab.badge]


def test_an_adapter_that_is_refused_is_answered_here_and_a_stranger_sees_no_path(
    tab: Compare, served: on_page.Served, server: StandIn
) -> None:
    server.takes = (400, {"error": {"message": "rank 4 is too much for /srv/engine/adapters/x"}})
    page = shown(tab.write("Ana: Soup?", DIALOGUE_KEY, [], request(STRANGER)))
    assert page[tab.turns][0].tuned.text not in ("", "bb") and MODELS._open
    assert "rank 4 is too much" in page[tab.badge] and "/srv/engine" not in page[tab.badge]


def test_a_program_is_answered_by_the_engine_and_without_it_by_this_machine(
    served: on_page.Served, server: StandIn
) -> None:
    answered = compare(request(), "Ana: Soup?", DIALOGUE_KEY)
    assert (answered["before"]["answer"], answered["after"]["answer"]) == ("aa", "bb") and not MODELS._open
    server.takes = (400, {"error": {"message": "no"}})
    server.adapters.clear()
    served._open.clear()
    assert compare(request(), "Ana: Soup?", DIALOGUE_KEY)["after"]["answer"] not in ("", "bb")


def test_a_message_that_does_not_fit_the_engine_is_refused(
    tab: Compare, served: on_page.Served, server: StandIn
) -> None:
    server.model["max_model_len"] = 200
    with pytest.warns(UserWarning, match="The message is too long"):
        page = shown(tab.write("long " * 100, DIALOGUE_KEY, [], request()))
    assert page[tab.turns] == [] and not MODELS._open


def test_adapters_of_what_is_gone_are_taken_off(
    tab: Compare, served: on_page.Served, server: StandIn, bundled: Path, tmp_path: Path
) -> None:
    for key in (SENTIMENT_KEY, DIALOGUE_KEY):
        served._opened_now(find(key, LOCAL))
    names = {key: name_of(bundled / key.removeprefix("bundled:")) for key in (SENTIMENT_KEY, DIALOGUE_KEY)}
    assert set(server.adapters) == set(names.values())
    shutil.rmtree(bundled / "dialogue")
    served.tend()
    assert set(server.adapters) == set(names.values()), "it was put there just now"
    for name in names.values():
        os.utime(tmp_path / "runs" / SHELF / name, (0, time.time() - 3600))
    served.tend()
    assert set(server.adapters) == {names[SENTIMENT_KEY]}


def test_an_engine_of_another_model_answers_nothing(served: on_page.Served, server: StandIn) -> None:
    server.model |= {"id": "large", "root": "owner/large"}
    with pytest.raises(EngineError, match="The engine serves large"):
        served._opened_now(find(DIALOGUE_KEY, LOCAL))


def test_as_many_are_answered_as_the_engine_takes() -> None:
    line, stop = Line(), threading.Event()
    line.at_once = 2
    with line.place(1) as first, line.place(1) as second:
        assert next(line.wait(first, stop)) == next(line.wait(second, stop)) == 0
        assert not line.is_free_within(0) and line.at_work == 2 and len(line) == 0
        with line.place(1) as third, line.place(1) as fourth:
            assert (next(line.wait(third, stop)), next(line.wait(fourth, stop))) == (1, 2)
            assert len(line) == 2
            line._took.append(10.0)
            assert line.said_to_take(4) == " · about 20 s"
            with pytest.raises(UserError, match=text.QUEUE_FULL), line.place(1):
                pass
    assert line.is_free_within(0) and line.at_work == 0


def test_the_address_is_of_the_command_line_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse([]).engine is None and parse(["--engine", "http://a/v1"]).engine == "http://a/v1"
    monkeypatch.setenv("BEFORE_AFTER_ENGINE", "http://b/v1")
    assert parse([]).engine == "http://b/v1"
    with pytest.raises(UserError, match="not the address of a server"):
        on_page.use("b:8000")
    assert on_page.waiting() == 0 and health.look()[0] == 200
