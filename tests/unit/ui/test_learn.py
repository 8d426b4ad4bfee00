"""The Learn tab without a browser: what is said, counted, measured and drawn, and what its buttons open."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from eval.report.sections import ChangedAnswer
from finetuning.demonstrations.demonstration import Measured, Results, demonstration_names, load_demonstration
from finetuning.limits import Limits
from finetuning.recipe import load_recipe, recipe_names
from models import libraries
from models.four_bit import BINS, LEVELS, FourBit, Layer
from plumbing.errors import UserError
from ui.drawing import learn as drawing
from ui.drawing import learn_text as said
from ui.drawing import text, weights
from ui.page import build_page
from ui.server import models_in_use
from ui.server.calls import RefusedError, _check_type
from ui.server.four_bit import FourBitOnce
from ui.server.visitors import LOCAL
from ui.tabs import leading, learn_numbers
from ui.tabs.learn import OTHER_TABS, Learn, build_learn, target_of
from ui.tabs.train import build_train
from ui.tabs.train_form import FIELDS
from ui.tabs.train_steps import Train
from ui.tabs.updates import after


@pytest.fixture
def tab(laid_out: Callable[..., Learn]) -> Learn:
    return laid_out(build_learn)


@pytest.fixture(scope="module")
def counts() -> drawing.Counts:
    libraries.ready()
    return learn_numbers.counts(None)


def clicks(target: str) -> gr.EventData:
    return gr.EventData(None, {"go": target})


# ---- words and numbers -----------------------------------------------------------------------------------------


def test_nothing_is_drawn_before_the_tab_is_opened(tab: Learn) -> None:
    assert said.OPENING in str(tab.lesson.value) and not tab.wrong.value and not tab.levels.value


def test_steps_ways_and_options_are_headings_in_order_and_what_is_counted_comes_later(tab: Learn) -> None:
    lesson, wrong = tab.show()
    levels = [int(level) for level in re.findall(r"<h([1-6])", lesson + wrong)]
    assert levels[0] == 2 and set(levels) == {2, 3}
    assert lesson.count("<li>") == len(said.STEPS) == 5 and said.COUNTING in lesson
    for title in (said.SELF_SUPERVISED[0], said.SUPERVISED[0], said.REINFORCEMENT[0], "PPO", "RLOO"):
        assert title in lesson
    assert "Better: on 400 reviews accuracy rose" in lesson, "of the model that ships"
    assert "1,022 rows to learn from, 200 to watch, 400 to judge by" in lesson


def test_the_classic_counts_stand_beside_the_words(tab: Learn, counts: drawing.Counts) -> None:
    lesson = drawing.lesson(learn_numbers.numbers(None), counts)
    for number in ("134,515,008", "2,442,240"):
        assert number in lesson
    for classic in ("628,994", "67,584,004", "16,777,216", "3,517,190,144 as stored"):
        assert classic in lesson
    assert said.COUNTING not in lesson
    by_name = {(one.base, one.strategy): one for one in counts.rows}
    assert by_name["SmolLM2-135M", "Full fine-tuning"].count.trainable == 134_515_008
    assert by_name["SmolLM2-135M", "QLoRA"].weight_mb < by_name["SmolLM2-135M", "Full fine-tuning"].weight_mb / 3
    heads = [one.base for one in counts.rows if one.strategy == "Transfer learning (head)"]
    assert heads == ["all-MiniLM-L6-v2", "distilbert-base-uncased"]
    assert [one.base for one in counts.rows if one.strategy == "QLoRA"] == ["SmolLM2-135M", "Llama-2-7b-hf"]
    lora, qlora = (by_name["Llama-2-7b-hf", name] for name in ("LoRA", "QLoRA"))
    assert lora.count.stored == lora.count.total and lora.weight_mb > 3 * qlora.weight_mb


def test_each_step_and_each_way_has_a_button() -> None:
    numbers = learn_numbers.numbers(None)
    assert [name for name in said.STEPS if not numbers.steps.get(name)] == []
    assert len(numbers.ways) == 3 and all(numbers.ways.values())
    assert "68 letters to learn from, 4 to watch, 22 to judge by" in numbers.way_said[said.SELF_SUPERVISED[0]]


def test_of_what_does_not_ship_nothing_is_offered_and_all_that_is_offered_opens(counts: drawing.Counts) -> None:
    lesson = drawing.lesson(learn_numbers.numbers(None), counts)
    wrong = drawing.wrong(learn_numbers.demonstrations(None), None)
    targets = re.findall(r'data-go="([^"]+)"', lesson + wrong)
    assert len(targets) == len(re.findall("<button", lesson + wrong)) > 12
    for target in targets:
        kind, _, name = target.partition(":")
        if kind in ("recipe", "strategy", "demonstration"):
            assert leading.recipe_of(target).model_dump()
        elif kind == "lab":
            assert learn_numbers.there(learn_numbers.LABS_FOLDER, [name])
        else:
            assert target in (leading.OWN, "tab:compare", "tab:evaluate")


def test_every_recipe_chain_and_lab_that_the_tab_names_ships() -> None:
    named = [name for names in learn_numbers.OF_WAY.values() for name in names]
    assert [name for name in (*named, *learn_numbers.COUNTED) if name not in recipe_names()] == []
    assert learn_numbers.there(learn_numbers.CHAINS_FOLDER, learn_numbers.CHAINS) == [*learn_numbers.CHAINS]
    assert learn_numbers.there(learn_numbers.LABS_FOLDER, learn_numbers.LABS) == [*learn_numbers.LABS]


def test_a_stranger_is_offered_what_a_stranger_may_train() -> None:
    limits = Limits(base_models=("sentence-transformers/all-MiniLM-L6-v2",))
    offered = {
        leading.recipe_of(go.target).model.base
        for found in learn_numbers.numbers(limits).ways.values() for go in found
    }  # fmt: skip
    assert offered == {*limits.base_models}
    libraries.ready()
    assert [go is None for _, go in learn_numbers.demonstrations(limits)] == [True, False]
    usual = Limits()
    allowed = {one.strategy: one.go is not None for one in learn_numbers.counts(usual).rows[:4]}
    assert allowed["LoRA"] and not allowed["Full fine-tuning"], "a whole model is more than they may keep"
    unknown = learn_numbers.demonstrations(usual, offered=False)
    assert [go for _, go in unknown] == [None, None]


# ---- W + BA ----------------------------------------------------------------------------------------------------


def test_the_update_at_a_rank_is_counted_and_drawn_to_scale(tab: Learn) -> None:
    at_8, at_16 = learn_numbers.update_at(8), learn_numbers.update_at(16)
    assert at_8.count.trainable == 2_442_240 and at_16.count.trainable == 2 * 2_442_240
    assert (at_8.outputs, at_8.inputs, at_8.layers) == (1536, 576, 210) and at_8.added == 8 * (1536 + 576)
    assert at_8.as_many * (1536 + 576) >= at_8.whole > (at_8.as_many - 1) * (1536 + 576)
    drawn = tab.draw_update(64.0)
    assert "2,442,240" not in drawn and f"{8 * 2_442_240:,}" in drawn
    wide = [float(width) for width in re.findall(r'<rect class="ba-learns"[^>]* width="([\d.]+)"', drawn)]
    frozen = re.search(r'<rect class="ba-frozen"[^>]* width="([\d.]+)" height="([\d.]+)"', drawn)
    assert frozen and wide[0] / float(frozen[2]) == pytest.approx(64 / 1536, rel=0.01)
    assert 'role="img"' in drawn and "1,536 by 64" in drawn


def test_a_slider_is_a_number_at_the_door_and_nothing_else(tab: Learn) -> None:
    _check_type(tab.rank, 16, LOCAL)
    for wrong in ("16", True, [1], {}):
        with pytest.raises(RefusedError, match="Rank of the update"):
            _check_type(tab.rank, wrong, LOCAL)


# ---- NF4 -------------------------------------------------------------------------------------------------------


def four_bit(**changed: Any) -> FourBit:
    layers = [
        Layer(
            name=f"model.layers.{number}.mlp.{part}", weights=64, squared=64.0, lost=0.64 * (1 + number),
            lost_even=2,
        )
        for number in range(3) for part in ("up_proj", "down_proj")
    ]  # fmt: skip
    values = {
        "base": "a/<b>model", "origin": "package mirror", "levels": [-1 + 2 * n / 15 for n in range(LEVELS)],
        "histogram": [n % 7 for n in range(BINS)], "used": [24] * LEVELS, "layers": layers,
    }  # fmt: skip
    return FourBit.model_validate(values | changed)


def test_levels_and_errors_are_drawn_with_all_their_numbers() -> None:
    drawn = drawing.levels(four_bit())
    assert drawn.count('class="ba-level"') == LEVELS and drawn.count('role="img"') == 2
    assert "each for 6.2% to 6.2% of them" in drawn and "10.00% to 17.32%" in drawn and "17.68%" in drawn
    assert drawn.count("<tr>") == 1 + 3 + 1, "a row a block, and one for all"
    assert "&lt;b&gt;model" in drawn and "<b>model" not in drawn and said.PACKED_BEFORE in drawn
    assert said.PACKED_BEFORE not in drawing.levels(four_bit(origin="hub"))


def test_layers_without_a_number_are_drawn_without_blocks() -> None:
    alone = Layer(name="projection", weights=64, squared=1.0, lost=0.01, lost_even=0.02)
    assert weights.errors(four_bit(layers=[alone])) is None
    assert "ba-level" in drawing.levels(four_bit(layers=[alone]))


def test_weights_are_measured_once_for_all_who_ask_and_kept_for_the_next_app(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEFORE_AFTER_CACHE", str(tmp_path))
    once, base = FourBitOnce(), str(tiny_llama)
    assert once.found(base) is None and once.is_quick(base)
    first, second = once.measure(base), once.measure(base)
    assert isinstance(next(first), models_in_use.Opening)
    results = [last(first), last(second)]
    assert isinstance(results[0], FourBit) and results[0] == results[1] == once.found(base)
    assert len(list(tmp_path.glob("four-bit/*.json"))) == 1
    monkeypatch.setattr("models.four_bit.Measurement", None)
    assert FourBitOnce().found(base) == results[0], "another app reads what this one kept"


def last(steps: Iterator[Any]) -> Any:
    *_, end = steps
    return end


def test_where_no_model_is_open_there_is_a_button_and_one_that_fails_leaves_it(
    tab: Learn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEFORE_AFTER_CACHE", str(tmp_path))
    monkeypatch.setattr("ui.tabs.learn.usual_base", lambda: str(tmp_path / "nothing"))
    monkeypatch.setattr("ui.tabs.learn.base_in_use", lambda: None)
    [(note, button)] = tab.show_levels()
    assert "not loaded yet" in note and button.visible
    with pytest.warns(UserWarning, match="There is no such base model"):
        *_, (shown, button), _skip = tab.measure_levels()
    assert shown == "" and button.visible


def test_the_model_that_is_open_is_measured_unasked(
    tab: Learn, tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEFORE_AFTER_CACHE", str(tmp_path))
    monkeypatch.setattr("ui.tabs.learn.FOUR_BIT", FourBitOnce())
    monkeypatch.setattr("ui.tabs.learn.base_in_use", lambda: str(tiny_llama))
    *_, (drawn, button) = tab.show_levels()
    assert "ba-level" in drawn and not button.visible
    [(again, _)] = tab.show_levels()
    assert again == drawn


# ---- what goes wrong -------------------------------------------------------------------------------------------


def test_what_was_not_measured_says_how_it_is_and_what_would_be_run() -> None:
    drawn = drawing.wrong(learn_numbers.demonstrations(None), None)
    for name in demonstration_names():
        assert f"benchmarks.learn_runs --only {name}" in drawn
        assert "--set strategy.kind=full" in load_demonstration(name).command and said.NOT_RUN[:30] in drawn


def test_what_was_measured_is_drawn_with_both_curves() -> None:
    answer = ChangedAnswer(instruction="Name a fruit.", base="An apple.", tuned="<b>positive</b>")
    forgetting = Measured(
        set=("strategy.kind=full",), headline="Worse: so it is.", train_rows=320, loss=((1, 2.0), (2, 0.5)),
        validation=((1, 1.0), (2, 1.5)), perplexity=(15.25, 4321.5), agreement=0.25, answers=(answer,), seconds=90,
    )  # fmt: skip
    results = Results(
        processor="A chip", cores=2, commit="abc", measured="2026-01-31", runs={"forgetting": forgetting}
    )
    drawn = drawing.wrong(learn_numbers.demonstrations(None), results)
    assert "Perplexity on general text went from 15.2 to 4,321.5" in drawn and "25% of its places" in drawn
    assert "lowest at step 1, 1.000, and ended at step 2 with 1.500" in drawn and drawn.count("<polyline") == 2
    assert "&lt;b&gt;positive" in drawn and "A chip, 2 cores, 2026-01-31; the run took 1.5 min" in drawn
    assert "--only overfitting" in drawn and "--only forgetting" not in drawn
    once = results.model_copy(
        update={"runs": {"forgetting": forgetting.model_copy(update={"validation": ((2, 1.5),)})}}
    )
    drawn = drawing.wrong(learn_numbers.demonstrations(None), once)
    assert "went from 15.2 to 4,321.5" in drawn and "lowest" not in drawn.partition("Over-fitting")[0]


def test_a_demonstration_sets_nothing_that_its_button_cannot_fill_in() -> None:
    for name in demonstration_names():
        settings = [setting.partition("=")[0] for setting in load_demonstration(name).set]
        assert [each for each in settings if each not in FIELDS and not each.startswith("evaluation.")] == []
    usual = leading.with_strategy(load_recipe("sentiment-smollm2-lora"), "full").training.learning_rate
    assert load_demonstration("forgetting").as_recipe().training.learning_rate == pytest.approx(20 * usual)
    assert "twenty times" in load_demonstration("forgetting").about


# ---- what the buttons open -------------------------------------------------------------------------------------


def test_a_recipe_may_be_asked_for_twice(tab: Learn) -> None:
    for target in ("recipe:sentiment-minilm-lora", "recipe:chats-smollm2-lora", "demonstration:overfitting", "own"):
        *opened, first = tab.go(clicks(target))
        again = tab.go(clicks(target))[-1]
        assert [target_of(one) for one in (first, again)] == [target, target] and first != again
        assert opened == [gr.skip(), gr.skip()], "the form is filled before it is shown"


def test_other_targets_open_tabs_and_what_is_none_opens_nothing(tab: Learn) -> None:
    assert tab.go(clicks("tab:evaluate"))[0].selected == "evaluate"
    opened, chosen, _ = tab.go(clicks("lab:ways-dialogue"))
    assert (opened.selected, chosen) == ("lab", "ways-dialogue")
    for wrong in ("", "tab:../x", "recipe:../../x", "recipe:nothing", "strategy:sentiment-smollm2-lora:x",
                  "demonstration:../x", "lab:x", "recipe:/etc/x.yaml", "strategy::", "x:y"):  # fmt: skip
        with pytest.warns(UserWarning, match="no such|opens nothing"):
            tab.go(clicks(wrong))


def filled(form: Train, target: str) -> dict[Any, Any]:
    """Component → value, as the page has it afterwards."""
    given = {each: each.value for each in form.inputs}
    updates = leading.filled(form, target, given, LOCAL)
    assert set(updates) <= {*form.begun}, "else Gradio refuses them"
    return after(given, updates)


@pytest.mark.parametrize("name", [
    "recipe:sentiment-minilm-lora", "strategy:sentiment-smollm2-lora:qlora", "strategy:sentiment-smollm2-lora:last",
    "demonstration:forgetting", "demonstration:overfitting", "recipe:dialogue-smollm2-qlora",
])  # fmt: skip
def test_a_form_that_was_filled_describes_just_that_recipe(name: str, laid_out: Callable[..., Train]) -> None:
    libraries.ready()
    wanted = leading.recipe_of(name)
    form = laid_out(build_train)
    found = form.recipe(filled(form, name), LOCAL)
    # A whole model is held in float32, however the form says that.
    assert found.load_precision == wanted.load_precision
    apart: Any = {"title": True, "evaluation": True, "model": {"precision"}}
    assert found.model_dump(exclude=apart) == wanted.model_dump(exclude=apart)


def test_rows_of_a_task_without_a_form_are_chosen_and_propose_the_rest(laid_out: Callable[..., Train]) -> None:
    form = laid_out(build_train)
    found = filled(form, "recipe:chats-smollm2-lora")
    assert (found[form.place], found[form.data.kind]) == (text.OWN, "corpus:chats")
    assert found[form.form.recipe] == "chats-smollm2-lora"
    assert filled(form, "own")[form.data.kind] == "file"
    with pytest.raises(UserError):
        leading.filled(form, "recipe:nothing", found, LOCAL)


def test_each_place_that_a_button_may_open_is_on_the_page(laid_out: Callable[..., gr.Blocks]) -> None:
    blocks = laid_out(build_page, whole=True).blocks.values()
    tabs = {block.id for block in blocks if isinstance(block, gr.Tab)}
    assert {"learn", "train", "lab", *OTHER_TABS} <= tabs
    [places] = [block.choices for block in blocks if block.elem_id == "train-from"]
    assert {value for _, value in places} == {text.OWN, "sentiment", "dialogue"}
