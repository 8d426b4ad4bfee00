"""Any two models in Compare: each answers as it does by itself, both are asked alike, nobody votes on them."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from data.tasks import SENTIMENT
from data.tasks.own import USUAL
from eval.asked.comparing import WHERE_FROM
from eval.sides.named import open_side
from eval.sides.side import Asked
from finetuning.limits import Limits
from plumbing.errors import ModelError, UserError
from tests.unit.eval.faulty_server import completion, serving
from ui.drawing import text
from ui.server.models_in_use import MODELS, ModelsInUse
from ui.server.naming import ALLOW_MODEL
from ui.server.two_models import KEY, Sides, find_any, two_of
from ui.server.visitors import LOCAL, Visitor
from ui.tabs.compare import Compare, build_compare

SENTIMENT_KEY, DIALOGUE_KEY = "bundled:sentiment-tiny", "bundled:dialogue-tiny"
CHAT = USUAL["chat"]


def request(visitor: Visitor = LOCAL, session: str = "page1") -> gr.Request:
    behind = SimpleNamespace(scope={"state": {"visitor": visitor}})
    return gr.Request(request=behind, session_hash=session)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def bundled(
    tmp_path: Path, tiny_adapter: Path, tiny_dialogue_adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_adapter, tmp_path / "bundled" / "sentiment-tiny")
    shutil.copytree(tiny_dialogue_adapter, tmp_path / "bundled" / "dialogue-tiny")
    monkeypatch.setenv("BEFORE_AFTER_BUNDLED", str(tmp_path / "bundled"))
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("BEFORE_AFTER_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(ALLOW_MODEL, raising=False)
    monkeypatch.setattr(MODELS, "_open", ModelsInUse()._open)


@pytest.fixture
def tab(laid_out: Callable[..., Compare]) -> Compare:
    return laid_out(lambda: build_compare(gr.HTML()))


@pytest.fixture
def other(tiny_llama: Path, make_llama: Any, tmp_path: Path) -> Path:
    """Another model, of other weights."""
    return make_llama(tmp_path / "other", seed=7)


def shown(steps: Iterator[Any]) -> dict[Any, Any]:
    """The page after all of a handler's updates."""
    found: dict[Any, Any] = {}
    for updates in steps:
        found |= updates if isinstance(updates, dict) and all(hasattr(key, "elem_id") for key in updates) else {}
    return found


def written(name: Any, given: Any, task: Any) -> str:
    """What a model writes by itself."""
    side = open_side(Asked(str(name)), task)
    try:
        [answer] = side.write([given], max_new_tokens=task.answer_tokens)
        return answer.text
    finally:
        side.close()


def test_two_models_chat_and_each_goes_on_with_its_own_answers(tab: Compare, tiny_llama: Path, other: Path) -> None:
    page = shown(tab.use_others(str(tiny_llama), str(other), [], request()))
    key = page[tab.model].value
    assert page[tab.model].choices[0] == (f"{tiny_llama} | {other}"[:163], key) or key.startswith(KEY)
    assert not any(button.visible for button in (page[each] for each in tab.examples))
    first = shown(tab.write("Hello there.", key, [], request()))
    [turn] = first[tab.turns]
    said = [{"role": "user", "content": "Hello there."}]
    assert (turn.base.text, turn.tuned.text) == tuple(written(each, said, CHAT) for each in (tiny_llama, other))
    assert turn.base.text != turn.tuned.text and not turn.was_stopped and turn.base.tokens
    assert ">Left<" in first[tab.before] and "other" in first[tab.after] and "Before" not in first[tab.before]
    assert WHERE_FROM["template"] in first[tab.badge] and text.OTHER_NO_VOTES in first[tab.badge]
    second = shown(tab.write("And then?", key, first[tab.turns], request()))
    *_, again = second[tab.turns]
    said += [{"role": "assistant", "content": turn.tuned.text}, {"role": "user", "content": "And then?"}]
    assert len(second[tab.turns]) == 2 and again.tuned.text == written(other, said, CHAT)
    cleared = tab.forget(key, request())
    assert ">Left<" in cleared[tab.before] and cleared[tab.turns] == []


def test_answers_are_seen_while_they_are_written(tab: Compare, tiny_llama: Path, other: Path) -> None:
    key = two_of(str(tiny_llama), str(other), LOCAL).key
    growing = [str(step[tab.before]) for step in tab.write("Hello.", key, [], request()) if tab.before in step]
    assert len({each for each in growing if "ba-growing" in each}) > 2


def test_both_are_asked_what_the_one_was_tuned_for(tab: Compare, tiny_llama: Path) -> None:
    page = shown(tab.use_others(str(tiny_llama), SENTIMENT_KEY, [], request()))
    assert page[tab.task].value == "sentiment" and page[tab.examples[0]].visible
    [turn] = page[tab.turns]  # the first example
    pair = shown(tab.run_example(0)("sentiment", SENTIMENT_KEY, [], request()))[tab.turns][0]
    assert turn.message == pair.message and turn.labels == SENTIMENT.labels
    for side, same in ((turn.base, pair.base), (turn.tuned, pair.tuned)):
        assert side.text == same.text and side.probabilities == pytest.approx(same.probabilities, abs=1e-5)
        assert side.is_right is not None
    assert WHERE_FROM["contract"] in page[tab.badge]


def test_what_was_tuned_for_two_tasks_is_asked_to_chat(tiny_llama: Path) -> None:
    assert two_of(SENTIMENT_KEY, DIALOGUE_KEY, LOCAL).task == CHAT
    assert two_of(str(tiny_llama), DIALOGUE_KEY, LOCAL).task.name == "dialogue"
    assert two_of(str(tiny_llama), str(tiny_llama), LOCAL).task == CHAT


def test_what_cannot_chat_is_refused_in_a_sentence(
    tab: Compare, tiny_llama: Path, tiny_classifier_adapter: Path
) -> None:
    key = two_of(str(tiny_llama), str(tiny_classifier_adapter), LOCAL).key
    # One chooses labels, the other can as well, for that is what the one was tuned for.
    [turn] = shown(tab.write("Fine soup.", key, [], request()))[tab.turns]
    assert turn.base.probabilities and turn.tuned.probabilities and not turn.in_words
    key = two_of(DIALOGUE_KEY, str(tiny_classifier_adapter), LOCAL).key
    with pytest.warns(UserWarning, match="A classifier can only be asked for labels"):
        page = shown(tab.write("Fine soup.", key, [], request()))
    assert "only be asked for labels" in page[tab.before] and key not in MODELS._open


def test_nobody_votes_on_two_models(tab: Compare, tiny_llama: Path, other: Path) -> None:
    key = two_of(str(tiny_llama), str(other), LOCAL).key
    page = shown(tab.write("Hello.", key, [], request(), blind=True))
    [turn] = page[tab.turns]
    assert turn.ballot is None and turn.models is None and not page[tab.bar].visible
    with pytest.warns(UserWarning, match="nothing to vote on"):
        tab.voting.give("left", tab)(key, page[tab.turns], request())


def test_a_server_answers_at_once_and_is_not_waited_for_after_a_stop(tab: Compare, tiny_llama: Path) -> None:
    with serving() as server:
        key = two_of(str(tiny_llama), f"{server.url}#tiny", LOCAL).key
        page = shown(tab.write("Hello.", key, [], request()))
        assert page[tab.turns][0].tuned.text == "to Hello." and "3 tokens" in page[tab.after]
        server.answer = lambda number, body: completion("uncounted") | {"usage": None}
        page = shown(tab.write("Go on.", key, [], request()))
        assert "uncounted" in page[tab.after] and "tokens" not in page[tab.after]
        released = threading.Event()
        server.answer = lambda number, body: (released.wait(600), completion("late"))[1]
        steps = tab.write("Wait.", key, [], request())
        for step in steps:
            if tab.after in step and server.texts[-1] == "Wait.":
                MODELS.stop("page1")
                break
        page = shown(steps)
        released.set()
        [turn] = page[tab.turns]
        assert turn.tuned.stopped and turn.tuned.text == "" and turn.base.text


def test_a_key_is_checked_every_time_and_names_nothing_else(tiny_llama: Path) -> None:
    stranger = Visitor("browser-a", Limits(), holder="browser-a")
    two = two_of(SENTIMENT_KEY, DIALOGUE_KEY, stranger)
    assert find_any(two.key, stranger) == two and two.servers is not None and two.servers.given == ()
    for wrong in ("two:", "two:{}", "two:[1,2]", 'two:["a"]', 'two:["a","b","c"]', "two:" + "[" * 5000, 'two:"ab"'):
        with pytest.raises(ModelError):
            find_any(wrong, LOCAL)
    for left in (str(tiny_llama), "/etc", "some/model", "", "two:x"):
        for key in (KEY + json.dumps([left, SENTIMENT_KEY]), KEY + json.dumps([SENTIMENT_KEY, left])):
            with pytest.raises(UserError):
                find_any(key, stranger)


def test_two_models_are_closed_before_there_are_too_many(tiny_llama: Path, other: Path) -> None:
    models = ModelsInUse()

    def opened(wanted: Any) -> Any:
        *_, found = models.open(wanted, threading.Event())
        return found

    first = opened(two_of(str(tiny_llama), str(other), LOCAL))
    assert isinstance(first, Sides) and first.models_held == 2
    assert opened(two_of(str(tiny_llama), str(other), LOCAL)) is first
    opened(find_any(SENTIMENT_KEY, LOCAL))
    assert len(models._open) == 2, "three models"
    opened(two_of(str(other), str(tiny_llama), LOCAL))
    assert list(models._open) == [SENTIMENT_KEY, two_of(str(other), str(tiny_llama), LOCAL).key]
    with pytest.raises(AssertionError, match="closed"):
        first.left.write(["x"], max_new_tokens=2)


def test_a_missing_name_changes_nothing_on_the_page(tab: Compare, tiny_llama: Path) -> None:
    for left, right in ((None, None), (str(tiny_llama), ""), ("", str(tiny_llama))):
        with pytest.warns(UserWarning, match="A model is missing"):
            assert not shown(tab.use_others(left, right, [], request()))


def test_a_long_message_is_refused_before_it_is_read(tab: Compare, tiny_llama: Path, other: Path) -> None:
    key = two_of(str(tiny_llama), str(other), LOCAL).key
    with pytest.warns(UserWarning, match="The message is too long"):
        page = shown(tab.write("long " * 3000, key, [], request()))
    assert page[tab.turns] == [] and tab.box not in page
