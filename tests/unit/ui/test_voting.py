"""Votes in Compare: nothing that is sent before a vote says which side is which, and what comes after it."""

from __future__ import annotations

import asyncio
import html
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from gradio.state_holder import SessionState

from finetuning.limits import Limits
from finetuning.runs import launch
from finetuning.runs.folder import open_run
from finetuning.votes import publishing
from finetuning.votes.keeping import keep, read_votes
from finetuning.votes.lessons import PAIRS
from tests.unit.finetuning.vote_samples import MODELS as ANSWERED
from tests.unit.finetuning.vote_samples import vote
from ui.drawing import text
from ui.drawing.answers import Ballot, Side, Turn, panel, past, reference_line, waiting_panel
from ui.server import ballots
from ui.server.ballots import BALLOTS, Ballots, vote_on
from ui.server.models_in_use import MODELS, ModelsInUse
from ui.server.visitors import LOCAL, Visitor
from ui.tabs import runs
from ui.tabs.compare import Compare, build_compare
from ui.tabs.voting import build_bar

KEY = "bundled:dialogue-smollm2-qlora"
SENTIMENT = "bundled:sentiment-smollm2-lora"


def request(visitor: Visitor = LOCAL, session: str = "page1") -> gr.Request:
    behind = SimpleNamespace(scope={"state": {"visitor": visitor}})
    return gr.Request(request=behind, session_hash=session)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def bundled(
    tmp_path_factory: pytest.TempPathFactory, tiny_adapter: Path, tiny_dialogue_adapter: Path
) -> Iterator[Path]:
    """Tiny adapters under the names of recipes, none of them open at first."""
    folder = tmp_path_factory.mktemp("bundled")
    shutil.copytree(tiny_adapter, folder / SENTIMENT.partition(":")[2])
    shutil.copytree(tiny_dialogue_adapter, folder / KEY.partition(":")[2])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BEFORE_AFTER_BUNDLED", str(folder))
        patch.setattr(MODELS, "_open", ModelsInUse()._open)
        yield folder


@pytest.fixture(scope="module")
def blocks(bundled: Path) -> tuple[gr.Blocks, Compare]:
    async def inside_a_loop() -> tuple[gr.Blocks, Compare]:  # else Gradio makes loops of its own, and closes none
        with gr.Blocks() as page:
            return page, build_compare(gr.HTML(elem_id="status"))

    return asyncio.run(inside_a_loop())


@pytest.fixture(autouse=True)
def nobody_has_voted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(BALLOTS, "_named", Ballots()._named)


@pytest.fixture
def tab(blocks: tuple[gr.Blocks, Compare]) -> Compare:
    return blocks[1]


def shown(steps: Iterator[Any] | dict[Any, Any]) -> dict[Any, Any]:
    """The page after all of a handler's updates."""
    page: dict[Any, Any] = {}
    for updates in [steps] if isinstance(steps, dict) else steps:
        page |= updates if isinstance(updates, dict) and all(hasattr(key, "elem_id") for key in updates) else {}
    return page


def standing_left(side: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BALLOTS, "left_of", lambda _: side)


def asked(tab: Compare, message: str, key: str = KEY, **options: Any) -> dict[Any, Any]:
    return shown(tab.write(message, key, [], request(**options), True))


def give(tab: Compare, given: str, page: dict[Any, Any], key: str = KEY, **options: Any) -> dict[Any, Any]:
    return shown(tab.voting.give(given, tab)(key, page[tab.turns], request(**options)))


# ---- who stands where ----------------------------------------------------------------------------------------


def test_the_seed_decides_who_stands_left_and_each_does_half_of_the_time() -> None:
    some, same, others = Ballots(b"a"), Ballots(b"a"), Ballots(b"b")
    drawn = [some.new() for _ in range(400)]
    assert [same.left_of(each.id) for each in drawn] == [each.left for each in drawn]
    assert [others.left_of(each.id) for each in drawn] != [each.left for each in drawn]
    assert 150 < sum(each.left == "tuned" for each in drawn) < 250
    assert len({each.id for each in drawn}) == 400


# ---- nothing says which is which -----------------------------------------------------------------------------

TELLING = re.compile(r"before|after|base|tuned|tokens/s|first \d|\d\.\d s|rouge|time for both|✓|✗|%", re.IGNORECASE)
"""What names a side, or a number by which one could be known."""
LEFT, RIGHT = "before", "after"
"""Ids of the panels, whoever stands there."""


async def updates_of(page: gr.Blocks, index: int, values: list[Any]) -> list[list[Any]]:
    """What Gradio sends to the browser for a call of a handler: the outputs, each time that it yields."""
    state, iterator, sent = SessionState(page), None, []
    while True:
        found = await page.process_api(index, values, state, request(), iterator=iterator)
        sent.append(json.loads(json.dumps(found["data"], default=str)))
        iterator = found["iterator"]
        if not found["is_generating"]:
            return sent


def sent_for(blocks: tuple[gr.Blocks, Compare], message: str, key: str) -> list[dict[str, Any]]:
    """All that reaches the browser from a blind question until its answers are there, by the ids of the outputs."""
    page, tab = blocks
    tab.model.choices = [(key, key)]  # as after another task was chosen
    index = min(number for number, handler in page.fns.items() if handler.fn == tab.write)
    # The last value is the switch's; the state before it is kept on the server.
    updates = asyncio.run(updates_of(page, index, [message, key, None, True]))
    names = [component.elem_id or f"state-{place}" for place, component in enumerate(tab.outputs)]
    return [dict(zip(names, values, strict=True)) for values in updates]


def whole(sent: list[dict[str, Any]]) -> dict[str, Any]:
    """The update with which both answers come."""
    drawn = [each for each in sent if isinstance(each[LEFT], str) and "ba-progress" not in each[LEFT]]
    return drawn[0]


@pytest.mark.parametrize("key", [KEY, SENTIMENT])
def test_what_is_sent_is_the_same_whoever_stands_left_but_for_the_answers(
    blocks: tuple[gr.Blocks, Compare], key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = {}
    for side in ("base", "tuned", "base"):  # the first one opens the model, and waits for that
        standing_left(side, monkeypatch)
        sent[side] = sent_for(blocks, "Ana: Soup?\nLeo: Yes.", key)
    base_left, tuned_left = whole(sent["base"]), whole(sent["tuned"])
    assert base_left[LEFT].replace("Left", "Right") == tuned_left[RIGHT]
    assert base_left[RIGHT].replace("Right", "Left") == tuned_left[LEFT]
    assert base_left[LEFT].replace("Left", "Right") != base_left[RIGHT], "the sides answer otherwise"
    others = base_left.keys() - {LEFT, RIGHT}
    assert {name: base_left[name] for name in others} == {name: tuned_left[name] for name in others}


@pytest.mark.parametrize("key", [KEY, SENTIMENT])
def test_nothing_that_is_sent_names_a_side_or_comes_before_both_are_whole(
    blocks: tuple[gr.Blocks, Compare], key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MODELS, "_open", ModelsInUse()._open)  # what is sent while it opens as well
    everything = sent_for(blocks, "Ana: Soup?\nLeo: Yes.", key)
    states = [value for update in everything for name, value in update.items() if name.startswith("state-")]
    assert states and set(states) == {None}, "the state that knows the sides is never sent"
    assert not re.search("ballot|sha256", json.dumps(everything))
    sent = [each for each in everything if isinstance(each[LEFT], str)]
    assert any("tokens" in update[LEFT] for update in sent)
    for update in sent:
        assert ">Left<" in update[LEFT] and ">Right<" in update[RIGHT]
        if "ba-progress" in update[LEFT]:
            assert update[LEFT].replace("Left", "Right") == update[RIGHT], "both panels say the same"
        for drawn in (update[LEFT], update[RIGHT]):
            assert not re.search("ba-(base|tuned|bar|stats|right|wrong)", drawn)
            around = re.sub(r'<div class="ba-text">.*?</div>', "", drawn, flags=re.DOTALL)
            assert not TELLING.search(re.sub(r' (class|style)="[^"]*"', "", around))


def hidden(**more: Any) -> Turn:
    turn = Turn("Fine soup.", ["positive"], before=({"role": "system", "content": "Be kind."},), **more)
    turn.base, turn.tuned = Side("It was.", 3, 2.0, 1.0, score="ROUGE-L 0.10"), Side("Yes.", 9, 3.0, 0.5)
    turn.ballot, turn.second_side_cost = Ballot("0" * 32, "tuned"), 1.2
    return turn


def test_a_hidden_turn_shows_its_answers_and_no_reference_score_or_number() -> None:
    turn = hidden()
    assert ">Left<" in panel("tuned", turn) and ">Right<" in panel("base", turn)
    for name in ("base", "tuned"):
        drawn = panel(name, turn)
        assert turn.side(name).text in drawn and not TELLING.search(drawn.replace("ba-", "").replace("base-", ""))
        assert panel(name, turn, growing=True).count("9 tokens") == 2, "of the longer one, on both sides"
        assert turn.side(name).text not in panel(name, turn, growing=True)
    assert reference_line(turn) == "" and "It was." not in past([turn])
    assert ">Left<" in waiting_panel("tuned", turn, "Waiting")
    turn.ballot.vote = "left"
    assert "After" in panel("tuned", turn) and "positive" in reference_line(turn) and "It was." in past([turn])
    assert turn.places == ("tuned", "base"), "they stay where they stood"


# ---- the vote ------------------------------------------------------------------------------------------------


def test_a_vote_is_kept_and_then_the_sides_have_their_names(tab: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    standing_left("tuned", monkeypatch)
    page = asked(tab, "Ana: Soup?\nLeo: Yes.")
    assert page[tab.bar].visible and not page[tab.follow].visible
    after = give(tab, "left", page)
    [kept] = read_votes().votes
    [turn] = after[tab.turns]
    assert (kept.preferred, kept.left, kept.vote, kept.seen) == ("tuned", "tuned", "left", False)
    assert (kept.base.text, kept.tuned.text) == (turn.base.text, turn.tuned.text)
    assert [each.content for each in kept.prompt] == ["Ana: Soup?\nLeo: Yes."]
    pair = MODELS._open[KEY]
    assert kept.models.tuned == KEY and kept.models.tuned_sha256 == pair.adapter_sha256
    assert kept.models.contract_sha256 == pair.contract.sha256 and kept.models.base == pair.base.name
    assert "After" in after[tab.before] and "Before" in after[tab.after] and not after[tab.bar].visible
    line = after[tab.voting.line]
    assert "won 1.00 of 1 vote" in line.value and line.visible
    assert text.VOTED["better"] in after[tab.before] and "your vote" not in after[tab.after]
    assert after[tab.voting.learn].visible and not after[tab.voting.starts[0]].interactive
    with pytest.warns(UserWarning, match="nothing to vote on"):
        assert not give(tab, "right", after)
    assert len(read_votes().votes) == 1


def test_who_knew_the_answers_is_not_counted(tab: Compare) -> None:
    shown(tab.write("Ana: Soup?", KEY, [], request()))
    after = give(tab, "tie", asked(tab, "Ana: Soup?"))
    assert read_votes().votes[0].seen and "1 more vote was given by who knew" in after[tab.voting.line].value
    assert "no votes for a side" in after[tab.voting.line].value
    assert text.VOTED["tie"] in after[tab.before] and text.VOTED["tie"] in after[tab.after]
    give(tab, "tie", asked(tab, "Ana: Bread?"))
    assert not read_votes().votes[1].seen
    give(tab, "tie", asked(tab, "Ana: Bread?"))
    assert read_votes().votes[2].seen, "the first vote has shown the names"


def test_a_hidden_answer_is_not_gone_on_with_and_half_a_one_not_voted_on(
    tab: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = asked(tab, "Ana: Soup?")
    with pytest.warns(UserWarning, match="nothing to follow up"):
        assert tab.turns not in shown(tab.follow_up("Why?", KEY, page[tab.turns], request()))

    def halfway(pair: Any, turn: Turn, *_: Any) -> Iterator[None]:
        turn.base.text, turn.base.stopped = "Half of", True
        yield

    monkeypatch.setattr("ui.server.answering.stream", halfway)
    stopped = asked(tab, "Ana: Bread?")
    assert not stopped[tab.bar].visible and "Before" in stopped[tab.before] and "Half of" in stopped[tab.before]
    assert BALLOTS.has_seen("", stopped[tab.turns][0]) and not BALLOTS.has_seen("", page[tab.turns][0])


def test_who_turns_the_switch_off_is_told_the_sides_and_has_no_vote(tab: Compare) -> None:
    page = asked(tab, "Ana: Soup?")
    off = shown(tab.voting.switch(tab)(False, page[tab.turns], request()))
    assert "Before" in off[tab.before] and not off[tab.bar].visible
    assert BALLOTS.has_seen("", off[tab.turns][0])
    assert list(tab.voting.switch(tab)(True, off[tab.turns], request())) == [tab.bar]


def test_a_label_is_voted_on_as_an_answer(tab: Compare) -> None:
    page = asked(tab, "Fine soup.", SENTIMENT)
    give(tab, "both bad", page, SENTIMENT)
    [kept] = read_votes().votes
    assert {kept.base.text, kept.tuned.text} <= {"positive", "negative"} and kept.preferred == "both bad"


def test_each_stranger_sees_their_own_votes_and_keeps_to_the_limits(tab: Compare) -> None:
    ana, bea = (Visitor(name, Limits(votes=1), holder=name) for name in ("browser-a", "browser-b"))
    give(tab, "left", asked(tab, "Ana: Soup?", visitor=ana), visitor=ana)
    assert read_votes().votes[0].owner == "browser-a"
    line, *_ = tab.voting.tell(KEY, request(bea))
    assert not line.visible
    line, *_ = tab.voting.tell(KEY, request(LOCAL))
    assert "of 1 vote" in line.value
    page = asked(tab, "Ana: Bread?", visitor=ana)
    with pytest.warns(UserWarning, match="given 1 votes"):
        assert not give(tab, "left", page, visitor=ana)
    assert page[tab.turns][0].is_hidden, "what was not kept tells nothing"
    assert len(read_votes().votes) == 1


def test_votes_on_what_was_trained_again_are_not_those_on_it_now(tab: Compare, bundled: Path) -> None:
    give(tab, "left", asked(tab, "Ana: Soup?"))
    assert tab.voting.tell(KEY, request())[0].visible
    weights = bundled / KEY.partition(":")[2] / "adapter_model.safetensors"
    before = weights.read_bytes()
    try:
        weights.write_bytes(before + b" ")
        ballots._weights._kept.clear()
        assert not tab.voting.tell(KEY, request())[0].visible
    finally:
        weights.write_bytes(before)
        ballots._weights._kept.clear()


# ---- learning from votes -------------------------------------------------------------------------------------


def test_too_few_votes_start_nothing_and_say_how_many_are_needed(tab: Compare) -> None:
    give(tab, "left", asked(tab, "Ana: Soup?"))
    with pytest.warns(UserWarning, match="8 are needed at least"):
        tab.voting.learn_from(PAIRS)(KEY, request())


@pytest.mark.parametrize(
    "visitor", [LOCAL, Visitor("browser-a", Limits(), holder="browser-a")], ids=["own", "public"]
)
def test_enough_votes_start_a_run_that_goes_on_with_the_adapter(
    tab: Compare, bundled: Path, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "reconcile", lambda folder=None: None)  # nothing is started here
    said: list[str] = []
    monkeypatch.setattr(gr, "Info", lambda message, **_: said.append(message))
    page = asked(tab, "Ana: Soup?", visitor=visitor)
    give(tab, "left", page, visitor=visitor)
    turn = page[tab.turns][0]
    for number in range(9):
        turn.message, turn.ballot = f"Ana: Is {number} open?", Ballot(f"{number:032x}", "base")
        turn.base.text, turn.tuned.text = f"Ana asks about {number}.", f"{number}?"
        visitor.vote(vote_on(turn, turn.ballot, "left", seen=False))
    told = tab.voting.tell(KEY, request(visitor))
    assert told[3].interactive
    tab.voting.learn_from(PAIRS)(KEY, request(visitor))
    run = open_run(said[0].rsplit(" ", 1)[1].rstrip("."))
    recipe = run.recipe()
    assert run.owner == visitor.owner and recipe.way.besides == ("rejected",)
    assert Path(recipe.model.adapter or "") == bundled / KEY.partition(":")[2]
    rows = [json.loads(line) for line in Path(recipe.data.source.removeprefix("file:")).read_text().splitlines()]
    assert "Ana asks about 3." in [row["chosen"][0]["content"] for row in rows]
    tab.voting.learn_from(PAIRS)(KEY, request(visitor))
    assert len(visitor.runs()) == 1, "the same run is not started twice"


def test_an_open_run_is_drawn_again_when_this_visitor_has_voted_on_it(tmp_path: Path) -> None:
    run = SimpleNamespace(id="a", folder=tmp_path, called="")
    ana, bea = (Visitor(name, Limits(), holder=name) for name in ("browser-a", "browser-b"))

    def seen() -> list[str]:
        return [runs._seen(run, visitor) for visitor in (ana, bea, LOCAL)]  # type: ignore[arg-type]

    before = seen()
    keep(vote(1, owner="browser-a"))
    assert seen() == before, "on another model"
    keep(vote(2, owner="browser-a", models={"tuned": "run:a"}))
    assert [now != then for now, then in zip(seen(), before, strict=True)] == [True, False, True]


def test_what_is_kept_is_said_beside_the_buttons(
    laid_out: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(*, public: bool) -> str:
        bar, _ = laid_out(lambda: build_bar(public=public))
        return html.unescape(str(bar.children[0].value))  # type: ignore[union-attr]

    assert text.VOTE_KEPT not in said(public=False)
    assert text.VOTE_KEPT in said(public=True) and "Hub" not in said(public=True)
    for name, value in ((publishing.DATASET, "ana/votes"), (publishing.TOKEN, "hf_x")):
        monkeypatch.setenv(name, value)
    for public in (False, True):
        assert text.VOTE_KEPT in said(public=public) and "the dataset ana/votes on the Hub" in said(public=public)


def test_each_visitor_deletes_their_own_votes_and_knows_the_sides_by_then(
    tab: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(gr, "Info", lambda message, **_: said.append(message))
    ana = Visitor("browser-a", Limits(), holder="browser-a")
    give(tab, "left", asked(tab, "Ana: Soup?", visitor=ana), visitor=ana)
    keep(vote(1, owner="browser-b"))
    assert tab.voting.tell(SENTIMENT, request(ana))[1].visible, "votes on whatever model"
    page = tab.voting.forget(KEY, request(ana))
    assert said == ["1 vote deleted."] and not page[tab.voting.learn].visible and not page[tab.voting.line].visible
    assert [each.owner for each in read_votes().votes] == ["browser-b"]
    give(tab, "left", asked(tab, "Ana: Soup?", visitor=ana), visitor=ana)
    assert read_votes().votes[-1].seen


def test_who_was_told_what_the_base_says_knows_it_beside_another_model() -> None:
    memory, turn, other = Ballots(), hidden(), hidden()
    turn.models, other.models = ANSWERED, ANSWERED.model_copy(update={"tuned_sha256": "d" * 64})
    memory.note("a", turn)
    assert not memory.has_seen("a", other), "it was hidden"
    turn.ballot = None
    memory.note("a", turn)
    assert memory.has_seen("a", other) and not memory.has_seen("b", other)
    other.models = other.models.model_copy(update={"contract_sha256": "e" * 64})
    assert not memory.has_seen("a", other), "the base is asked otherwise"


def test_what_a_vote_is_kept_with_is_what_both_were_asked() -> None:
    turn = hidden()
    turn.models = ANSWERED
    assert turn.ballot is not None
    kept = vote_on(turn, turn.ballot, "right", seen=True)
    assert [(each.role, each.content) for each in kept.prompt] == [("system", "Be kind."), ("user", "Fine soup.")]
    assert kept.preferred == "base" and kept.seen and kept.ballot == "0" * 32
