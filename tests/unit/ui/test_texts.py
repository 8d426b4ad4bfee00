"""Raw texts on the page: proposed, shown as tokens that are all learned, and gone on with by both sides."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from datasets import Dataset

from data.tasks.own import OwnTask
from data.tasks.saved import save_task
from eval.compare import compare
from eval.report.folder import load, save
from eval.report.texts import texts_sentence
from finetuning.recipe import load_recipe, with_overrides
from finetuning.runs.folder import Run, create_run
from models import libraries
from models.pair import open_pair
from models.prompting import TextPrompter
from tests.unit.ui.test_own import Page
from ui.drawing import flips, reports, text
from ui.server.models_in_use import MODELS, ModelsInUse
from ui.server.visitors import LOCAL
from ui.tabs.compare import Compare, build_compare
from ui.tabs.train import build_train
from ui.tabs.train_steps import Train

LETTERS = [f"Dear Ana {n}, the soup is warm and the film is slow. Leo offers to look." for n in range(6)]
OWN = OwnTask(kind="text", name="letters-of-ana", noun="letters")


def request(session: str = "page1") -> gr.Request:
    behind = SimpleNamespace(scope={"state": {"visitor": LOCAL}})
    return gr.Request(request=behind, session_hash=session)  # type: ignore[arg-type]


def shown(steps: Iterator[Any]) -> dict[Any, Any]:
    page: dict[Any, Any] = {}
    for updates in steps:
        page |= updates if isinstance(updates, dict) and all(hasattr(key, "elem_id") for key in updates) else {}
    return page


@pytest.fixture
def run(tmp_path: Path, tiny_adapter: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A finished run on letters of one's own, with a report of six."""
    monkeypatch.setenv("BEFORE_AFTER_BUNDLED", str(tmp_path / "bundled"))
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(MODELS, "_open", ModelsInUse()._open)
    changes = {"task": OWN.model_dump(exclude_none=True), "name": "own-letters", "title": "letters · LoRA"}
    made = create_run(with_overrides(load_recipe("style-smollm2-lora"), changes))
    shutil.copytree(tiny_adapter, made.tuned)
    task = OWN.definition()
    save_task(task, made.tuned)
    TextPrompter(open_pair(tiny_adapter).tokenizer, task).contract.save(made.tuned)
    rows = Dataset.from_list([{"text": each} for each in LETTERS])
    result = compare(open_pair(made.tuned), rows, max_new_tokens=4)
    save(result.report, result.rows, made.evaluation)
    return made


@pytest.fixture
def tab(run: Run, laid_out: Callable[..., Compare]) -> Compare:
    return laid_out(lambda: build_compare(gr.HTML()))


def test_both_sides_go_on_with_the_same_opening(tab: Compare, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from ui.server import answering

    sent: list[str] = []
    before = answering.prompt_tokens

    def noted(pair: Any, turn: Any, turns: Any, name: Any) -> list[int]:
        tokens = before(pair, turn, turns, name)
        sent.append(str(pair.tokenizer.decode(tokens)))
        return tokens

    monkeypatch.setattr(answering, "prompt_tokens", noted)
    key = f"run:{run.id}"
    model, box, *buttons, _ = tab.change_task(text.OWN, request())
    assert model.value == key and "how a text begins" in box.placeholder
    assert all(LETTERS[0].startswith(button.value.partition(": ")[2][:10]) for button in buttons[:1])
    page = shown(tab.run_example(0)(text.OWN, key, [], request()))
    [turn] = page[tab.turns]
    assert turn.message and any(letter.startswith(turn.message) for letter in LETTERS)
    assert set(sent) == {turn.message}, "no template, no role, the same for both"
    assert turn.base.text != turn.tuned.text and turn.references[0] in page[tab.reference]
    assert not page[tab.follow].visible
    sent.clear()
    own = shown(tab.write(" Dear Leo, ", key, page[tab.turns], request()))
    assert set(sent) == {"Dear Leo,"} and len(own[tab.turns]) == 1
    with pytest.warns(UserWarning, match="nothing to follow up"):
        shown(tab.follow_up("And?", key, own[tab.turns], request()))


def test_its_report_is_drawn(run: Run) -> None:
    report, rows = load(run.evaluation)
    kept = list(rows)
    drawn = reports.verdict(report, kept)
    assert texts_sentence(report.texts, report) in drawn and "likelihoods of the same texts" in drawn  # type: ignore[arg-type]
    assert "ROUGE" not in reports.details(report)
    table = flips.draw(flips.flips(report, kept))
    assert f"perplexity {kept[0].base.perplexity:,.1f}" in table
    assert reports.primary_score(run.evaluation).startswith("perplexity ")


@pytest.fixture
def train(laid_out: Callable[..., Train], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path / "runs"))
    libraries.ready()
    return laid_out(build_train)


def test_a_text_that_is_uploaded_is_learned_whole(train: Train, tmp_path: Path, tiny_llama: Path) -> None:
    book = tmp_path / "book.txt"
    book.write_text("\n\n".join(f"It rained on day {n}, and nobody went out. " * 30 for n in range(30)))
    page = Page(train).upload(book)
    assert train.what is not None and page.values[train.what.what] == "text"
    assert page.values[train.form.recipe] == "style-smollm2-lora"
    made = page.recipe
    assert (made.way.kind, made.task.kind) == ("text", "text")  # type: ignore[union-attr]
    assert not page.shown[train.what.instruction]["visible"] and not page.shown[train.data.target_column]["visible"]
    assert "It rained on day" in page.shown[train.learns]
    page.values[train.form.field("model.base")] = str(tiny_llama)
    tokens = train.show_tokens(page.request, *page.values.values())
    assert tokens.count("ba-trained") > 100 and tokens.count('class="ba-token"') == 1, "all but the first"
    page.set(what="classification", instruction="Which?")
    page.set(what="text")
    assert page.recipe.task.instruction == "", "nothing stands before raw text"  # type: ignore[union-attr]
