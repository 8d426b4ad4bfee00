"""Addresses: what one names is opened for whose it is, and what is wrong in one is said while the page opens."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from eval.report.folder import save
from finetuning.jobs.asked import EVALUATION, Evaluation
from finetuning.limits import Limits
from finetuning.recipe import load_recipe
from finetuning.runs.folder import Run, create_run, make_folder
from finetuning.runs.jobs import JOB_FILE
from tests.unit.ui.report_samples import label_rows, report
from ui.drawing import text
from ui.page import build_page
from ui.server.address import Address, WrongAddress, read_address
from ui.server.choices import find
from ui.server.preview import CARD, ICON, named
from ui.server.visitors import LOCAL, Visitor
from ui.tabs import addresses
from ui.tabs.addresses import Addressed
from ui.tabs.flipped import flipped

SHIPPED = "bundled:sentiment-smollm2-lora"
ANA, BEA = (Visitor(name, Limits(), holder=name) for name in ("browser-a", "browser-b"))
WRONG: list[tuple[dict[str, str], str]] = [
    ({"tab": "<script>"}, "no such tab"),
    ({"tab": "Runs"}, "no such tab"),
    ({"model": 'two:["/etc"]'}, "no tuned model's name"),
    ({"model": "bundled:../x"}, "no tuned model's name"),
    ({"run": "../x"}, "not the name of a run"),
    ({"runs": "a-20260101-000000-0000,../x"}, "not the name of a run"),
    ({"report": "/etc/passwd"}, "not the name of a run"),
    ({"example": "0"}, "not the number of an example"),
    ({"example": "-1"}, "not the number of an example"),
    ({"example": "1" * 400}, "not the number of an example"),
    ({"runs": ",".join(f"ab-20260101-000000-000{n}" for n in range(7))}, "Up to 6 runs"),
]


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, laid_out: Callable[..., Any]) -> Addressed:
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path / "runs"))
    found: list[Addressed] = []
    connect = addresses.connect_addresses

    def note(page: gr.Blocks, given: Addressed, links: Any) -> None:
        found.append(given)
        connect(page, given, links)

    monkeypatch.setattr("ui.page.connect_addresses", note)
    laid_out(build_page, whole=True)
    return found[0]


def arrived(at: Addressed, visitor: Visitor = LOCAL, **said: str) -> dict[Any, Any]:
    """What the page shows that was opened by this address."""
    behind = SimpleNamespace(scope={"state": {"visitor": visitor}}, query_params=said)
    shown = at.arrive(gr.Request(request=behind, session_hash="page1"))  # type: ignore[arg-type]
    return {} if shown == gr.skip() else shown


def test_an_address_is_read_and_anything_wrong_in_it_is_said() -> None:
    assert read_address({}) == read_address({"__theme": "dark"}) == Address()
    assert read_address({"tab": "learn"}).opens == "learn"
    there = read_address({"tab": "compare", "model": SHIPPED, "example": "3"})
    assert (there.opens, there.model, there.example) == ("compare", SHIPPED, 3)
    run = "sentiment-20260101-000000-0000"
    assert read_address({"tab": "compare", "run": run}).opens == "runs", "what it names counts"
    assert read_address({"runs": f"{run},{run},"}).runs == (run,)
    for said, says in WRONG:
        with pytest.raises(WrongAddress, match=says) as refused:
            read_address(said)
        assert len(str(refused.value)) < 300


def test_what_an_address_names_is_open_and_without_one_nothing_changes(at: Addressed, tmp_path: Path) -> None:
    assert arrived(at) == {}
    assert arrived(at, tab="learn")[at.tabs].selected == "learn"
    one, other = (create_run(load_recipe("sentiment-smollm2-lora")) for _ in range(2))
    shown = arrived(at, tab="runs", run=one.id)
    assert shown[at.tabs].selected == "runs" and shown[at.runs.run_id] == one.id and shown[at.runs.detail].visible
    shown = arrived(at, runs=f"{one.id},{other.id}")
    assert shown[at.runs.ticked] == f"{one.id} {other.id}" and shown[at.runs.beside].visible
    shown = arrived(at, tab="compare", model="bundled:dialogue-smollm2-qlora", example="2")
    assert shown[at.compare.task].value == "dialogue" and shown[at.tabs].selected == "compare"
    shown = arrived(at, tab="evaluate", model=SHIPPED)
    assert "on 400 reviews" in shown[at.evaluate.view.verdict] and shown[at.evaluate.model].value == SHIPPED


def judged(owner: str) -> Run:
    asked = Evaluation(title="mine", model=SHIPPED, adapter="x", source="corpus:reviews")
    job = make_folder(f"{EVALUATION}.", JOB_FILE, asked.model_dump_json(), owner=owner)
    save(report(), label_rows(), job.evaluation)
    job.update(state="running")
    job.update(state="finished")
    return job


def test_on_a_public_page_runs_and_reports_open_for_whose_they_are(at: Addressed) -> None:
    run, job = create_run(load_recipe("sentiment-smollm2-lora"), owner=ANA.owner), judged(ANA.owner)
    assert arrived(at, ANA, run=run.id)[at.runs.run_id] == run.id
    shown = arrived(at, ANA, report=job.id)
    assert "accuracy" in shown[at.evaluate.view.verdict] and shown[at.evaluate.judged.job_id] == job.id
    for said in (
        {"run": run.id},
        {"runs": f"{run.id},{run.id[:-1]}0"},
        {"report": job.id},
        {"model": f"run:{run.id}"},
    ):
        shown = arrived(at, BEA, **said)
        assert list(shown) == [at.said] and text.NOT_YOURS in shown[at.said] and run.id not in shown[at.said]
        assert text.NOT_YOURS not in arrived(at, LOCAL, run="gone-20260101-000000-0000")[at.said]
    for said, _ in WRONG:
        assert "<script" not in arrived(at, BEA, **said)[at.said]


def test_a_greeting_answers_what_the_address_names_and_nothing_where_it_names_another_tab(
    at: Addressed, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, str, str | None]] = []

    def run_example(self: object, index: int) -> Callable[..., Any]:
        def answer(task: str, key: str | None, *_: object) -> Any:
            asked.append((index, task, key))
            yield {}

        return answer

    monkeypatch.setattr(type(at.compare), "run_example", run_example)
    for said in (
        {"tab": "runs"},
        {"model": "bundled:dialogue-smollm2-qlora", "example": "3"},
        {"model": "run:gone-x"},
    ):
        behind = SimpleNamespace(scope={"state": {"visitor": LOCAL}}, query_params=said)
        list(at.compare.greet("sentiment", SHIPPED, [], gr.Request(request=behind, session_hash="p")))  # type: ignore[arg-type]
    assert asked == [(2, "dialogue", "bundled:dialogue-smollm2-qlora"), (0, "sentiment", SHIPPED)]


def test_a_run_is_opened_in_compare_with_a_row_that_it_won(at: Addressed, tiny_adapter: Path) -> None:
    run = create_run(load_recipe("sentiment-smollm2-lora"))
    shutil.copytree(tiny_adapter, run.tuned)
    choice = find(f"run:{run.id}", LOCAL)
    assert flipped(choice) is None, "it was never judged"
    save(report(), label_rows("mine"), run.evaluation)
    turn = flipped(choice)
    assert turn is not None and turn.message == "mine 4", "the one that gained most"


def test_gradios_page_says_our_name_once_and_nothing_of_its_own() -> None:
    from gradio import routes

    environment = routes.templates.env
    assert environment.loader is not None
    said = named(environment.loader.get_source(environment, "frontend/index.html")[0])
    head = said.partition("window.gradio_config")[0]
    for tag in ("og:title", "og:image", "og:url", "og:description", "twitter:card", "<title>"):
        assert head.count(f'"{tag}"') == 1 or (tag == "<title>" and head.count(tag) == 1), tag
    assert "Gradio" not in head and "{url}" not in head and CARD.is_file() and ICON.is_file()
    assert "window.gradio_config = {{ config | toorjson }}" in said, "and all else is as it was"
