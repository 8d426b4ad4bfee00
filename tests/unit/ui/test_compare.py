"""The Compare tab without a browser: its handlers on tiny models, as the page calls them."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from data.tasks import SENTIMENT
from tests.unit.ui.report_samples import save_recorded
from ui.drawing import text
from ui.drawing.answers import Side, Turn, panel
from ui.server import answering
from ui.server.ballots import BALLOTS
from ui.server.models_in_use import MODELS, ModelsInUse
from ui.server.visitors import LOCAL
from ui.tabs.compare import Compare, build_compare
from ui.tabs.examples import examples

SENTIMENT_KEY, DIALOGUE_KEY = "bundled:sentiment-tiny", "bundled:dialogue-tiny"


def request(session: str = "page1") -> gr.Request:
    behind = SimpleNamespace(scope={"state": {"visitor": LOCAL}})
    return gr.Request(request=behind, session_hash=session)  # type: ignore[arg-type]


@pytest.fixture
def bundled(
    tmp_path: Path, tiny_adapter: Path, tiny_dialogue_adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Both tiny adapters as those that ship, none of them open."""
    folder = tmp_path / "bundled"
    shutil.copytree(tiny_adapter, folder / "sentiment-tiny")
    shutil.copytree(tiny_dialogue_adapter, folder / "dialogue-tiny")
    monkeypatch.setenv("BEFORE_AFTER_BUNDLED", str(folder))
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(MODELS, "_open", ModelsInUse()._open)
    return folder


@pytest.fixture
def tab(bundled: Path, laid_out: Callable[..., Compare]) -> Compare:
    return laid_out(lambda: build_compare(gr.HTML()))


def shown(steps: Iterator[Any]) -> dict[Any, Any]:
    """The page after all of a handler's updates."""
    page: dict[Any, Any] = {}
    for updates in steps:
        page |= updates if isinstance(updates, dict) and all(hasattr(key, "elem_id") for key in updates) else {}
    return page


def test_every_message_starts_anew_and_has_its_bars(tab: Compare) -> None:
    example = shown(tab.run_example(0)("sentiment", SENTIMENT_KEY, [], request()))[tab.turns]
    after = shown(tab.write("Not bad at all.", SENTIMENT_KEY, example, request()))
    fresh = shown(tab.write("Not bad at all.", SENTIMENT_KEY, [], request()))
    [turn], [expected] = after[tab.turns], fresh[tab.turns]
    assert turn.base.text == expected.base.text and turn.tuned.text == expected.tuned.text
    assert turn.base.probabilities == expected.base.probabilities is not None
    assert "ba-bar-row" in after[tab.before] and after[tab.past] == ""


def test_a_follow_up_is_asked_for_and_only_where_there_is_no_right_label(tab: Compare) -> None:
    first = shown(tab.run_example(0)("dialogue", DIALOGUE_KEY, [], request()))
    assert first[tab.follow].visible
    second = shown(tab.follow_up("Who is Ana?", DIALOGUE_KEY, first[tab.turns], request()))
    assert [turn.message for turn in second[tab.turns]] == [first[tab.turns][0].message, "Who is Ana?"]
    assert "ba-turn" in second[tab.past]
    labelled = shown(tab.run_example(0)("sentiment", SENTIMENT_KEY, [], request()))
    assert not labelled[tab.follow].visible
    # The last: another task was chosen after the answer.
    for turns in ([], labelled[tab.turns], second[tab.turns]):
        with pytest.warns(UserWarning, match="nothing to follow up"):
            assert tab.turns not in shown(tab.follow_up("Why?", SENTIMENT_KEY, turns, request()))


@pytest.fixture
def recorded_answers(bundled: Path) -> Path:
    """A report beside the tiny adapter, with the first example as one of its rows: wrong before, right after."""
    return save_recorded(bundled / "sentiment-tiny")


def test_a_page_that_is_opened_shows_what_was_recorded_at_once_and_then_answers_live(
    tab: Compare, recorded_answers: Path
) -> None:
    steps = tab.greet("sentiment", SENTIMENT_KEY, [], request())
    assert list(next(steps)) == [tab.model, *tab.voting.told]
    page = next(steps)
    assert SENTIMENT_KEY not in MODELS._open, "before anything is loaded"
    assert "✗" in page[tab.before] and "✓" in page[tab.after] and page[tab.turns] == []
    for said in ("recorded 1 Jan 2026", "90 %"):
        assert said in page[tab.after]
    assert "As recorded on 1 Jan 2026" in page[tab.told] and "which is wrong; After says" in page[tab.told]
    waiting = [step for step in steps if "ba-progress" in str(step.get(tab.before, ""))]
    assert all("recorded 1 Jan 2026" in step[tab.before] for step in waiting), "it stays until there is an answer"
    live = shown(tab.run_example(0)("sentiment", SENTIMENT_KEY, [], request()))
    assert "recorded" not in live[tab.after] + live[tab.told] and " s · " in live[tab.after]


def test_where_others_are_answered_what_was_recorded_stays(
    tab: Compare, recorded_answers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ui.tabs.compare._PATIENCE_S", 0.01)
    with MODELS.line.place():
        page = shown(tab.greet("sentiment", SENTIMENT_KEY, [], request()))
    assert text.OTHERS_FIRST in page[tab.reference] and "recorded 1 Jan 2026" in page[tab.before]
    [turn] = shown(tab.run_example(0)("sentiment", SENTIMENT_KEY, [], request(), True))[tab.turns]
    assert BALLOTS.has_seen("", turn), "so a vote on it would be of somebody who knew"


def test_without_a_report_the_first_example_is_answered_live(tab: Compare) -> None:
    page = shown(tab.greet("sentiment", SENTIMENT_KEY, [], request()))
    assert page[tab.turns] and "recorded" not in page[tab.after] and page[tab.told]


def test_the_example_whose_button_was_clicked_is_asked(tab: Compare) -> None:
    for index in (1, 0):
        event = gr.EventData(tab.examples[index], {})
        [turn] = shown(tab.pick("sentiment", SENTIMENT_KEY, [], False, event, request()))[tab.turns]
        assert turn.message == examples(SENTIMENT)[index].text


def test_what_this_page_had_going_is_over_before_it_is_cleared(tab: Compare) -> None:
    going = tab.run_example(0)("dialogue", DIALOGUE_KEY, [], request())
    next(going)
    assert MODELS.is_answering("page1")
    reader = threading.Thread(target=list, args=(going,))
    reader.start()
    cleared = tab.forget(DIALOGUE_KEY, request())
    assert not MODELS.is_answering("page1") and cleared[tab.turns] == []
    reader.join()
    for work in list(MODELS._being_opened.values()):  # which is loaded to the end
        work.thread.join()


def test_a_model_that_does_not_open_says_so_in_place_of_loading(tab: Compare, bundled: Path) -> None:
    (bundled / "sentiment-tiny" / "adapter_model.safetensors").write_bytes(b"no weights")
    turns = [Turn("before")]
    with pytest.warns(UserWarning, match="adapter"):
        page = shown(tab.write("Fine soup.", SENTIMENT_KEY, turns, request()))
    for side in (tab.before, tab.after):
        assert "Loading" not in page[side] and "ba-progress" not in page[side] and "adapter" in page[side]
    assert "ba-busy" not in page[tab.status] and "Fine soup." in page[tab.message]


def test_after_a_model_that_does_not_open_nothing_is_said_of_the_one_before(tab: Compare, bundled: Path) -> None:
    page = shown(tab.run_example(0)("dialogue", DIALOGUE_KEY, [], request()))
    assert page[tab.follow].visible and "✓" in page[tab.badge] and "ba-on" in page[tab.status]
    (bundled / "sentiment-tiny" / "adapter_model.safetensors").write_bytes(b"no weights")
    with pytest.warns(UserWarning, match="adapter"):
        page |= shown(tab.write("Fine soup.", SENTIMENT_KEY, page[tab.turns], request()))
    assert not page[tab.follow].visible and page[tab.turns] == []
    assert text.BADGE_WAITING in page[tab.badge] and "✓" not in page[tab.badge]
    assert "is not open" in page[tab.status] and "no model open yet" not in page[tab.status]


def full_disk(*_: Any, **__: Any) -> None:
    raise OSError(28, "No space left on device")


def shown_until_the_disk_is_full(steps: Iterator[Any]) -> dict[Any, Any]:
    """What is on the page when the error comes."""
    page: dict[Any, Any] = {}
    with pytest.raises(OSError, match="No space"):
        for updates in steps:
            page |= updates
    return page


def test_a_model_that_opened_but_did_not_answer_is_still_said_to_be_open(
    tab: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ui.server.answering.score", full_disk)
    page = shown_until_the_disk_is_full(tab.write("Fine soup.", SENTIMENT_KEY, [], request()))
    assert "✓" in page[tab.badge] and "ba-on" in page[tab.status] and text.NOT_ANSWERED in page[tab.before]


def test_an_error_that_nobody_foresaw_leaves_no_loading_either(
    tab: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.pair.open_pair", full_disk)
    page = shown_until_the_disk_is_full(tab.write("Fine soup.", SENTIMENT_KEY, [], request()))
    assert text.NOT_ANSWERED in page[tab.before] and "ba-progress" not in page[tab.after]


def test_a_message_too_long_changes_nothing_on_the_page(tab: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    page = shown(tab.run_example(0)("sentiment", SENTIMENT_KEY, [], request()))
    monkeypatch.setattr(answering, "MOST_TOKENS", 200 + SENTIMENT.answer_tokens)
    with pytest.warns(UserWarning, match=r"too long: it makes .* tokens, and at most 200 are read here"):
        after = shown(tab.write("long " * 100, SENTIMENT_KEY, page[tab.turns], request()))
    assert after[tab.turns] == page[tab.turns] and after[tab.before] == page[tab.before]
    assert tab.box not in after, "what was written stays in its box"


def test_stop_is_answered_before_the_model_has_stopped(tab: Compare) -> None:
    assert tab.stop_answer(request()).value == "Stop"  # nothing is going
    steps = tab.run_example(0)("dialogue", DIALOGUE_KEY, [], request())
    next(steps)
    said = tab.stop_answer(request())
    assert said.value == text.STOPPING and not said.interactive
    page = shown(steps)
    assert page[tab.stop].value == "Stop" and not page[tab.stop].interactive, "there is nothing to stop"
    assert tab.settle(request()).value == "Stop"
    assert not MODELS.is_answering("page1")


def test_a_long_message_that_is_stopped_lets_the_next_visitor_in(
    tab: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stop, or a closed tab, while the message is read: its pieces end there."""
    from models.fast import llama

    monkeypatch.setattr(llama, "PIECE", 8)
    read, infer = [], llama.LlamaLayers.infer

    def slow(self: Any, tokens: Any, *args: Any, **kwargs: Any) -> Any:
        read.append(len(tokens))
        if len(read) == 2:
            MODELS.stop("page1")
        return infer(self, tokens, *args, **kwargs)

    shown(tab.run_example(0)("sentiment", SENTIMENT_KEY, [], request()))  # open
    monkeypatch.setattr(llama.LlamaLayers, "infer", slow)
    page = shown(tab.write("soup " * 60, SENTIMENT_KEY, [], request()))
    assert read == [8, 8] and page[tab.turns][0].was_stopped
    assert text.STOPPED in page[tab.before]


def test_what_cannot_be_stopped_reads_no_long_message(tab: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the second side costs is measured after the answer, when Stop is no longer heeded."""
    from models import generation

    asked, measure = [], generation.second_side_cost

    def measured(pair: Any, prompt: list[int], **options: Any) -> float | None:
        asked.append(len(prompt))
        return measure(pair, prompt, **options)

    monkeypatch.setattr(generation, "second_side_cost", measured)
    page = shown(tab.write("soup " * 100, SENTIMENT_KEY, [], request()))
    assert len(asked) == 1 and asked[0] <= 64
    assert page[tab.turns][0].second_side_cost is not None


def labelled(words: str, probabilities: list[float], *, references: list[str]) -> Turn:
    turn = Turn("Fine soup.", references, SENTIMENT.labels, base=Side(words, probabilities=probabilities))
    turn.tuned = Side("positive", probabilities=[0.1, 0.9])
    turn.judge()
    return turn


def test_a_side_has_one_verdict_and_wrong_is_never_the_colour_of_right() -> None:
    turn = labelled("The sentiment of this review is positive.", [0.7, 0.3], references=["positive"])
    base, tuned = panel("base", turn), panel("tuned", turn)
    assert base.count("ba-score") == tuned.count("ba-score") == 1
    assert 'class="ba-score ba-wrong">✗ negative<' in base and "70 % likely" in base
    assert 'class="ba-score ba-right">✓ positive<' in tuned
    assert base.index("ba-verdict") < base.index("ba-bar-row") < base.index("ba-words")
    assert text.OTHER_WORDS in base and text.OWN_WORDS not in base
    assert text.OWN_WORDS in tuned and text.OTHER_WORDS not in tuned


def test_ones_own_message_has_a_verdict_that_is_neither_right_nor_wrong() -> None:
    drawn = panel("base", labelled("Hm.", [0.7, 0.3], references=[]))
    assert 'class="ba-score">negative<' in drawn and "✓" not in drawn and "✗" not in drawn
