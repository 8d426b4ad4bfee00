"""Train a task of one's own: what a file proposes, what of it can be changed, and the recipe that comes out."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from finetuning.limits import Limits
from finetuning.preparation import open_data
from finetuning.recipe import Recipe, load_recipe, recipe_names
from finetuning.runs import launch
from finetuning.runs.folder import create_run, list_runs
from models import libraries
from plumbing import doors
from plumbing.errors import UserError
from ui.drawing import text
from ui.server.rows import RowsInUse
from ui.server.visitors import LOCAL, Visitor
from ui.tabs import clock, sizes, train_form
from ui.tabs.sizes import Counts
from ui.tabs.task_form import other_corpora, place_of
from ui.tabs.train import build_train
from ui.tabs.train_steps import Train
from ui.tabs.updates import after


def request_of(visitor: Visitor) -> gr.Request:
    behind = SimpleNamespace(scope={"state": {"visitor": visitor}})
    return gr.Request(request=behind, session_hash="page1")  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(doors, "_door", "page")
    monkeypatch.setattr(launch, "reconcile", lambda folder=None: None)  # nothing is started here


@pytest.fixture
def tab(laid_out: Callable[..., Train]) -> Train:
    libraries.ready()
    return laid_out(build_train)


def tickets(folder: Path, name: str = "My tickets (2026).csv") -> Path:
    things = ("lamp", "mill", "chair", "tent", "kettle", "hose")
    words = {"billing": "invoice", "shipping": "parcel", "defect": "crack"}
    rows = [
        f"the {word} of {thing} number {number},{label}\n"
        for number in range(5)
        for thing in things
        for label, word in words.items()
    ]
    file = folder / name
    file.write_text("Message,Team\n" + "".join(rows), encoding="utf-8")
    return file


class Page:
    """What the page holds: the values of the form, as the tab's updates change them."""

    def __init__(self, tab: Train, visitor: Visitor = LOCAL) -> None:
        self.tab, self.request = tab, request_of(visitor)
        self.values = {each: each.value for each in tab.inputs} | {tab.place: text.OWN}
        self.shown: dict[Any, Any] = {}
        self.take(tab.choose_place(self.request, *self.values.values()))

    def take(self, updates: dict[Any, Any]) -> None:
        assert set(updates) <= {*self.tab.begun, *self.tab.form.fields}, "else Gradio refuses them"
        for each, update in updates.items():
            self.shown[each] = update
        self.values = after(self.values, updates)

    def set(self, **changed: Any) -> Page:
        parts = {"file": self.tab.data.file, "source": self.tab.data.kind, "labels": self.tab.data.labels}
        assert self.tab.what is not None
        parts |= {"what": self.tab.what.what, "instruction": self.tab.what.instruction}
        self.values |= {
            parts.get(name, getattr(self.tab.data, name, None)): value for name, value in changed.items()
        }
        return self

    def upload(self, file: Path) -> Page:
        self.set(source="file", file=str(file))
        self.take(self.tab.show_other_data(self.request, *self.values.values()))
        return self

    @property
    def recipe(self) -> Recipe:
        given = self.tab.given(tuple(self.values.values()))
        return self.tab.recipe(given, LOCAL)


def test_a_file_of_labels_is_proposed_with_its_reason_and_trained_as_on_the_command_line(
    tab: Train, tmp_path: Path
) -> None:
    from finetuning.proposal import propose

    page = Page(tab).upload(tickets(tmp_path))
    assert tab.what is not None
    said = page.shown[tab.data_summary]
    assert (
        "3 labels: billing 30, defect 30, shipping 30" in said and "ba-problems" not in page.shown[tab.data_preview]
    )
    assert "has 3 values" in page.shown[tab.learns], "why this can be learned"
    assert (
        page.values[tab.what.instruction]
        == "Which of these is it: billing, defect, shipping? Answer with one of them."
    )
    assert [page.values[each] for each in tab.data.columns] == ["Message", "Team", "guess"]
    made, proposed = page.recipe, propose(str(tickets(tmp_path))).recipe
    assert proposed is not None
    assert made.task == proposed.task and made.name == proposed.name == "own-my-tickets-2026"
    assert made.title == "My tickets (2026) · LoRA"
    assert (made.training, made.strategy, made.model) == (proposed.training, proposed.strategy, proposed.model)
    assert place_of(made) == text.OWN


def test_kind_labels_and_instruction_can_be_changed(tab: Train, tmp_path: Path) -> None:
    page = Page(tab).upload(tickets(tmp_path))
    assert tab.what is not None
    page.set(labels="defect=broken, shipping=skip")
    page.take(tab.show_data(page.request, *page.values.values()))
    asked = "Which of these is it: billing, broken? Answer with one of them."
    assert page.values[tab.what.instruction] == asked, "what nobody wrote follows the labels"
    page.set(instruction="Billing or broken?", labels="")
    page.take(tab.show_data(page.request, *page.values.values()))
    assert page.values[tab.what.instruction] == "Billing or broken?"
    assert page.recipe.task.instruction == "Billing or broken?"  # type: ignore[union-attr]
    page.set(instruction="x" * 4001)
    with pytest.raises(UserError, match="more than 4,000 characters"):
        page.recipe  # noqa: B018
    page.set(instruction="", what="generation")
    page.take(tab.show_other_task(page.request, *page.values.values()))
    assert page.recipe.task.kind == "generation"  # type: ignore[union-attr]
    assert page.values[tab.form.recipe] == "passages-smollm2-lora", "as for texts on the command line"
    assert not page.shown[tab.data.labels]["visible"]
    assert page.values[tab.what.instruction] == ""


def test_two_columns_are_read_as_one_input(tab: Train, tmp_path: Path) -> None:
    rows = [
        {"context": f"Box {n} holds {n} pens.", "question": f"How many in {n}?", "answer": f"{n} pens"}
        for n in range(40)
    ]
    file = tmp_path / "qa.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    page = Page(tab).upload(file)
    assert [page.values[each] for each in tab.data.columns] == ["question", "answer", "context"]
    made = page.recipe
    assert made.task.inputs == ["context", "question"]  # type: ignore[union-attr]
    assert "holds" in page.shown[tab.learns] and "How many" in page.shown[tab.learns]


def test_chats_have_no_column_of_answers(tab: Train, tmp_path: Path) -> None:
    turns = [("user", "Hello {n}"), ("assistant", "Hi {n}"), ("user", "And {n}?"), ("assistant", "Fine, {n}.")]
    rows = [
        {"messages": [{"role": role, "content": said.format(n=number)} for role, said in turns]}
        for number in range(40)
    ]
    file = tmp_path / "chats.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    page = Page(tab).upload(file)
    assert page.recipe.task.kind == "chat"  # type: ignore[union-attr]
    assert page.recipe.data.columns == {"messages": "messages"}
    assert "assistant: Hi" in page.shown[tab.data_preview]
    assert not page.shown[tab.data.target_column]["visible"]


def test_a_column_that_is_chosen_twice_is_refused(tab: Train, tmp_path: Path) -> None:
    page = Page(tab).upload(tickets(tmp_path))
    page.values[tab.data.also] = "Team"
    shown = tab.show_data(page.request, *page.values.values())
    assert "a column is named twice" in shown[tab.data_summary]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a,b,c\n1,2,3\n", "not clear"),
        ("Message,Team\nonly one,x\n", "choose these by hand"),
        ("text,label\na b,x\nc d,x\n,y\n", "cannot be used"),
        ("", "empty"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_and_nothing_is_lost(
    tab: Train, tmp_path: Path, content: str, says: str
) -> None:
    file = tmp_path / "broken.csv"
    file.write_text(content, encoding="utf-8")
    page = Page(tab).upload(file)
    assert says in page.shown[tab.data_summary] and "ba-problems" in page.shown[tab.data_summary]
    assert tab.show_estimate(page.request, *page.values.values()) == ["", ""]
    assert tab.show_sizes(page.request, *page.values.values()) == ""
    with pytest.warns(UserWarning):
        assert tab.start_run(page.request, *page.values.values()) == gr.skip()
    assert not list_runs()


def test_a_bundled_corpus_brings_its_task_and_its_recipe(tab: Train) -> None:
    page = Page(tab).set(source="corpus:requests")
    assert "corpus:requests" in [source for _, source in other_corpora()]
    page.take(tab.show_other_data(page.request, *page.values.values()))
    assert page.recipe == load_recipe("requests-smollm2-lora")
    assert "8 labels" in page.shown[tab.data_summary]


def test_a_run_is_followed_for_as_long_as_it_goes_on_whatever_it_learns(tab: Train, tmp_path: Path) -> None:
    page = Page(tab).upload(tickets(tmp_path))
    run_id, drawn, strikes, state, *_ = tab.start_run(page.request, *page.values.values())
    [run] = list_runs()
    assert run.id == run_id and run.recipe().data.source.startswith(f"file:{tmp_path / 'runs' / 'uploads'}")
    assert strikes == clock.set_to(True) and "ba-state-queued" in state
    assert tab.follow.look("", "", page.request)[0] == run_id, "a page that is opened meanwhile finds it"
    assert tab.follow.look(run_id, drawn, page.request)[3:] == [gr.skip()] * (len(tab.follow.followed) - 3)
    run.update(state="cancelled")
    assert tab.follow.look(run_id, drawn, page.request)[2] == clock.set_to(False)
    assert tab.follow.look("", "", page.request) == gr.skip()
    resumed = gr.EventData(tab.follow.resume, {})
    assert tab.follow.change(run_id, drawn, resumed, page.request)[2] == clock.set_to(True)
    other = create_run(load_recipe("dialogue-smollm2-qlora"))
    assert tab.follow.look("", "", page.request)[0] in (run_id, other.id)


def test_each_starting_point_fills_the_form_and_a_file_stays_to_come_back_to(tab: Train, tmp_path: Path) -> None:
    page = Page(tab).upload(tickets(tmp_path))
    for place, recipe, source in (
        ("dialogue", "dialogue-smollm2-qlora", "corpus:dialogues"),
        ("sentiment", "sentiment-smollm2-lora", "corpus:reviews"),
    ):
        page.values[tab.place] = place
        page.take(tab.take(gr.EventData(tab.place, {}), page.request, *page.values.values()))
        assert page.recipe == load_recipe(recipe) and page.values[tab.data.kind] == source
        assert not page.shown[tab.data.also]["visible"] and not page.shown[tab.what.row]["visible"]
    with pytest.warns(UserWarning, match="no such starting point"):
        tab.take(gr.EventData(tab.place, {}), page.request, "nowhere", *list(page.values.values())[1:])
    page.values[tab.place] = text.OWN
    page.take(tab.take(gr.EventData(tab.place, {}), page.request, *page.values.values()))
    assert page.recipe.name == "own-my-tickets-2026" and "3 labels" in page.shown[tab.data_summary]


def test_a_stranger_is_held_to_the_limits_before_anything_is_proposed_from_too_many_rows(
    laid_out: Callable[..., Train], tmp_path: Path
) -> None:
    limits = Limits(rows=50, steps=20)
    tab = laid_out(functools.partial(build_train, limits))
    ana = Visitor("browser-ana", limits, holder="browser-ana")
    page = Page(tab, ana).upload(tickets(tmp_path))
    assert "90 rows, and this public page takes 50" in page.shown[tab.data_summary]
    assert str(tmp_path) not in str(page.shown)


# ---- sizes and strategies --------------------------------------------------------------------------------------


def test_normal_is_the_recipe_quick_is_less_and_thorough_more() -> None:
    recipe = load_recipe("sentiment-smollm2-lora")
    few, many = Counts(108, 21), Counts(30_000, 5_000)
    epochs = recipe.training.epochs
    assert sizes.fields_of(sizes.settings_of("normal", recipe, Counts(1_022, 400))) == [epochs, "", ""]
    assert sizes.fields_of(sizes.settings_of("normal", recipe, many)) == [epochs, "2000", "400"]
    for name in recipe_names():  # none that ships is changed on the corpus that it ships with
        shipped = load_recipe(name)
        counts = Counts.of(open_data(shipped))
        assert sizes.settings_of("normal", shipped, counts)["training.epochs"] == shipped.training.epochs, name
    assert sizes.fields_of(sizes.settings_of("quick", recipe, many)) == [2.0, "160", "60"]
    assert sizes.fields_of(sizes.settings_of("thorough", recipe, many)) == [2 * epochs, "", ""]
    often = [sizes.settings_of(size, recipe, few)["training.epochs"] for size in sizes.SIZES]
    assert often == [3.0, 7.5, 10.0], "few rows, more often"
    stranger = sizes.settings_of("thorough", recipe, Counts(2_000, 400), Limits(steps=200))
    assert (
        stranger["training.epochs"] * 2_000 / recipe.training.batch_size <= 200
        and stranger["data.test_rows"] == 200
    )


def test_every_strategy_has_its_cost_beside_it_or_why_it_has_none(tab: Train, tmp_path: Path) -> None:
    page = Page(tab).upload(tickets(tmp_path))
    page.values[tab.form.field("model.base")] = "unknown/base"
    drawn = tab.show_costs(page.request, *page.values.values())
    for title, _ in train_form.strategies():
        assert title in drawn
    assert "Nothing is known about this base model" in drawn


def test_rows_are_read_once_until_the_file_changes(tmp_path: Path) -> None:
    from data.tasks.own import OwnTask

    rows, task, file = RowsInUse(), OwnTask(kind="classification").definition(), tickets(tmp_path)
    first = rows.open(f"file:{file}", task)
    assert rows.open(f"file:{file}", task) is first
    assert rows.open(f"file:{file}", task, skip_empty=True) is not first
    file.write_text(file.read_text() + "the invoice of a boat,billing\n")
    assert rows.open(f"file:{file}", task) is not first
