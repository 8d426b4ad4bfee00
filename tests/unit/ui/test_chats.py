"""Compare for any task: chats of several turns, models of one's own with their own examples, many labels."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from data.tasks import SENTIMENT
from data.tasks.own import OwnTask
from data.tasks.saved import save_task
from eval.report.folder import save
from eval.report.schema import RowMessage
from finetuning.recipe import load_recipe, with_overrides
from finetuning.runs.folder import Run, create_run
from models.prompting import PromptContract
from tests.unit.ui.report_samples import report, text_rows
from ui.drawing import text
from ui.drawing.answers import Side, Turn, history, message_card, panel
from ui.server import choices
from ui.server.models_in_use import MODELS, ModelsInUse
from ui.server.visitors import LOCAL
from ui.tabs.compare import Compare, build_compare
from ui.tabs.evaluate import Evaluate, build_evaluate
from ui.tabs.examples import examples_of

SYSTEM = {"role": "system", "content": "You are a boat."}


def request(session: str = "page1") -> gr.Request:
    behind = SimpleNamespace(scope={"state": {"visitor": LOCAL}})
    return gr.Request(request=behind, session_hash=session)  # type: ignore[arg-type]


def shown(steps: Iterator[Any]) -> dict[Any, Any]:
    """The page after all of a handler's updates."""
    page: dict[Any, Any] = {}
    for updates in steps:
        page |= updates if isinstance(updates, dict) and all(hasattr(key, "elem_id") for key in updates) else {}
    return page


@pytest.fixture
def chats(tmp_path: Path, tiny_dialogue_adapter: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A finished run on chats of one's own, with a report of four of them."""
    monkeypatch.setenv("BEFORE_AFTER_BUNDLED", str(tmp_path / "bundled"))
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(MODELS, "_open", ModelsInUse()._open)
    own = OwnTask(kind="chat", name="harbour", instruction="Answer briefly.")
    changes = {"task": own.model_dump(exclude_none=True), "name": "own-harbour", "title": "harbour · LoRA"}
    run = create_run(with_overrides(load_recipe("dialogue-smollm2-qlora"), changes))
    shutil.copytree(tiny_dialogue_adapter, run.tuned)
    save_task(own.definition(), run.tuned)
    contract = PromptContract.load(run.tuned)
    dataclasses.replace(contract, task="harbour", instruction="Answer briefly.").save(run.tuned)
    said = [SYSTEM, {"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Ahoy"}]
    rows = [
        row.model_copy(
            update={
                "messages": [RowMessage(**each) for each in [*said, {"role": "user", "content": f"Question {n}?"}]],
                "references": [f"Answer {n}"],
            }
        )
        for n, row in enumerate(text_rows())
    ]
    save(report("dialogue").model_copy(update={"task": "harbour"}), rows, run.evaluation)
    return run


@pytest.fixture
def tab(chats: Run, laid_out: Callable[..., Compare]) -> Compare:
    return laid_out(lambda: build_compare(gr.HTML()))


def prompts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every prompt that both sides are sent from now on, base before tuned."""
    from ui.server import answering

    sent: list[str] = []
    before = answering.prompt_tokens

    def noted(pair: Any, turn: Turn, turns: list[Turn], name: Any) -> list[int]:
        tokens = before(pair, turn, turns, name)
        sent.append(str(pair.tokenizer.decode(tokens)))
        return tokens

    monkeypatch.setattr(answering, "prompt_tokens", noted)
    return sent


def test_a_model_of_ones_own_is_found_under_its_place_with_its_own_examples(tab: Compare, chats: Run) -> None:
    assert choices.options(LOCAL, "dialogue") == [] and choices.options(LOCAL, "sentiment") == []
    model, box, *buttons, _ = tab.change_task(text.OWN, request())
    assert model.value == f"run:{chats.id}" and "harbour" in str(model.choices)
    called = [button.value.partition(": ") for button in buttons if button.visible]
    assert [(what, name) for what, _, name in called] == [
        (what, f"Question {n}?") for n, what in enumerate(("a tie", "a loss", "a win", "a win"))
    ]
    assert "Say something" in box.placeholder
    [choice] = choices.all_choices(LOCAL)
    first = examples_of(choice)[0]
    assert first.before[0] == SYSTEM and first.text == "Question 0?" and first.references == ("Answer 0",)


def test_a_chat_goes_on_by_itself_and_each_side_with_what_it_said(
    tab: Compare, chats: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = f"run:{chats.id}"
    sent = prompts(monkeypatch)
    first = shown(tab.run_example(0)(text.OWN, key, [], request()))
    assert "You are a boat." in sent[0] and "Answer briefly" not in sent[0], "its own system message stands"
    assert "Ahoy" in first[tab.message] and "ROUGE-L" in first[tab.after]
    assert not first[tab.follow].visible, "every message follows up"
    sent.clear()
    second = shown(tab.write("And then?", key, first[tab.turns], request()))
    assert [turn.message for turn in second[tab.turns]] == ["Question 0?", "And then?"]
    said = first[tab.turns][0]
    assert said.base.text != said.tuned.text
    base, tuned = sent[:2]
    for prompt, side in ((base, said.base), (tuned, said.tuned)):
        assert prompt.count("You are a boat.") == 1 and prompt.index("Ahoy") < prompt.index("And then?")
        assert side.text.strip() in prompt
    fresh = shown(tab.write("Hello?", key, [], request()))
    assert len(fresh[tab.turns]) == 1


def test_a_model_without_a_report_opens_with_an_empty_page(tab: Compare, chats: Run) -> None:
    shutil.rmtree(chats.evaluation)
    page = shown(tab.run_example(0)(text.OWN, f"run:{chats.id}", [], request()))
    assert page[tab.turns] == [] and text.WAITING in page[tab.before]


def test_where_there_is_no_model_of_ones_own_it_is_said(tab: Compare, chats: Run) -> None:
    shutil.rmtree(chats.folder)
    model, box, *buttons, _ = tab.change_task(text.OWN, request())
    assert model.value is None and "Train one" in box.placeholder and not any(each.visible for each in buttons)
    with pytest.warns(UserWarning, match="no tuned model"):
        shown(tab.run_example(0)(text.OWN, None, [], request()))


def test_a_file_that_is_called_like_a_task_that_ships_is_still_ones_own(tiny_adapter: Path) -> None:
    own = OwnTask(kind="classification", name="sentiment").definition().with_labels(("bug", "wish"))
    assert choices.place_of(own) == text.OWN and choices.place_of(SENTIMENT) == "sentiment"


def test_evaluate_calls_the_columns_of_other_rows_what_the_model_calls_them(
    chats: Run, laid_out: Callable[..., Evaluate]
) -> None:
    evaluate = laid_out(build_evaluate)
    form = evaluate.forms[text.OWN]
    named = evaluate.name_columns(f"run:{chats.id}", request())
    assert named[form.input_column]["label"] == "Column of the messages"
    assert not named[form.labels]["visible"]
    for key in (None, "run:gone", "bundled:x"):
        assert evaluate.name_columns(key, request()) == gr.skip()


def test_what_was_said_before_is_text() -> None:
    turn = Turn("<b>now</b>", before=({"role": "<i>user</i>", "content": "<script>"},))
    drawn = message_card(turn)
    assert "<script>" not in drawn and "<i>" not in drawn and "&lt;b&gt;now" in drawn
    assert history([turn], "base")[0] == {"role": "<i>user</i>", "content": "<script>"}


@pytest.mark.parametrize(("count", "bars"), [(3, 3), (8, 8), (9, 5), (200, 5)])
def test_of_many_labels_the_likeliest_have_a_bar(count: int, bars: int) -> None:
    labels = tuple(f"label {number}" for number in range(count))
    shares = [(number + 1) / count for number in range(count)]
    turn = Turn("text", labels=labels, base=Side(probabilities=shares), tuned=Side(probabilities=shares[::-1]))
    turn.judge()
    base, tuned = panel("base", turn), panel("tuned", turn)
    assert base.count("ba-bar-row") == tuned.count("ba-bar-row") == bars
    assert f">label {count - 1}<" in base
    if count > 8:
        assert base.index(f"label {count - 1}<") < base.index(f"label {count - 2}<"), "the likeliest first"
        assert ">label 0<" in tuned and ">label 0<" not in base
    assert json.dumps(turn.base.label) in (f'"label {count - 1}"',)
