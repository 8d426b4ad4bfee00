"""The Train tab without a browser: its handlers, as the page calls them."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from finetuning.limits import Limits
from finetuning.recipe import load_recipe
from finetuning.runs import launch
from finetuning.runs.folder import create_run, list_runs
from models import libraries
from plumbing import doors
from plumbing.errors import DataError
from ui.page import build_page
from ui.server.visitors import LOCAL, Visitor
from ui.tabs.train import build_train
from ui.tabs.train_steps import Train

ANA = Visitor("browser-ana", Limits(), holder="browser-ana")


def request_of(visitor: Visitor) -> gr.Request:
    behind = SimpleNamespace(scope={"state": {"visitor": visitor}})
    return gr.Request(request=behind, session_hash="page1")  # type: ignore[arg-type]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(doors, "_door", "page")
    monkeypatch.setattr(launch, "reconcile", lambda folder=None: None)  # nothing is started here
    return tmp_path / "runs"


@pytest.fixture
def tab(laid_out: Callable[..., Train]) -> Train:
    libraries.ready()  # it warns of itself, and would within a test that looks for a toast
    return laid_out(functools.partial(build_train, Limits()))


def filled(tab: Train, **changed: Any) -> list[Any]:
    """The values of an untouched form, but for the parts of its data form in `changed`."""
    parts = {getattr(tab.data, name): value for name, value in changed.items()}
    return [parts.get(each, each.value) for each in tab.inputs]


def reviews(folder: Path) -> Path:
    table = folder / "reviews.csv"
    rows = "".join(f"thing {number} was fine,{number % 2}\n" for number in range(60))
    table.write_text(f"text,label\n{rows}", encoding="utf-8")
    return table


def test_a_run_that_is_refused_leaves_no_copy_of_its_upload(runs: Path, tmp_path: Path, tab: Train) -> None:
    values = filled(tab, kind="file", file=str(reviews(tmp_path)))
    going_on = create_run(load_recipe("sentiment-smollm2-lora"), owner=ANA.owner)
    with pytest.warns(UserWarning, match="You have a run that is not over"):
        tab.start_run(request_of(ANA), *values)
    assert list_runs() == [going_on] and not list(runs.glob("uploads/*/*"))
    going_on.update(state="cancelled")
    run_id, *_ = tab.start_run(request_of(ANA), *values)
    with pytest.warns(UserWarning, match="You have a run that is not over"):
        tab.start_run(request_of(ANA), *filled(tab))
    [kept] = runs.glob("uploads/*/*")
    assert f"file:{kept}" == list_runs()[0].recipe().data.source, "the run that goes on has its own"
    assert tab.start_run(request_of(ANA), *values)[0] == run_id


def test_a_file_of_two_unclear_columns_is_mapped_one_after_the_other(
    runs: Path, tmp_path: Path, tab: Train
) -> None:
    table = tmp_path / "unclear.csv"
    rows = "".join(f"words of {n},others of {n},{n % 2},{n // 30}\n" for n in range(60))
    table.write_text(f"one,two,three,four\n{rows}", encoding="utf-8")

    def show(input_column: str | None, target_column: str | None) -> tuple[str, list[Any]]:
        chosen = {"kind": "file", "file": str(table), "input_column": input_column, "target_column": target_column}
        values = filled(tab, **chosen)
        shown = tab.show_data(request_of(ANA), *values)
        assert shown[tab.data.mapping].visible
        return shown[tab.data_summary], [shown[each]["value"] for each in tab.data.columns[:2]]

    said, columns = show("guess", "guess")
    assert "Column of the text" in said and columns == [None, None]
    said, columns = show("two", None)
    assert "Column of the label" in said and columns == ["two", None]
    said, columns = show("two", "four")
    assert " train · " in said and columns == ["two", "four"]
    _, columns = show("two", "five")
    assert columns == ["two", None], "a column that is not there is none"


def test_of_a_hub_data_set_that_does_not_open_any_column_can_be_said(
    runs: Path, tab: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unclear(*_: object, **__: object) -> None:
        raise DataError("It is not clear which column is the text", fix="Choose one in 'Column of the text'.")

    monkeypatch.setattr("data.sources.open_source", unclear)
    for show, columns in ((tab.show_other_data, ["guess", "guess"]), (tab.show_data, ["body", "guess"])):
        values = filled(tab, kind="hub", hub="a/b", input_column="body", target_column="guess")
        shown = show(request_of(LOCAL), *values)
        assert "Column of the text" in shown[tab.data_summary] and shown[tab.data.mapping].visible
        assert [shown[each]["value"] for each in tab.data.columns[:2]] == columns


def test_a_start_that_reads_long_holds_up_nobody_elses_and_two_at_once_are_one_run(
    runs: Path, tab: Train, laid_out: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = laid_out(functools.partial(build_page, Limits()), whole=True)
    assert all(each.concurrency_limit != 1 for each in page.fns.values() if each.name == "start_run")
    slow, reading, go_on = (
        Visitor("browser-slow", Limits(), holder="browser-slow"),
        threading.Event(),
        threading.Event(),
    )
    open_data = Train.open_rows

    def wait_for_slow(self: Train, chosen: Any, visitor: Visitor, *more: Any) -> Any:
        if visitor == slow:
            reading.set()
            go_on.wait(600)
        return open_data(self, chosen, visitor, *more)

    def slowly(*args: Any, **options: Any) -> Any:
        time.sleep(0.1)
        return submit(*args, **options)

    submit = launch.submit
    monkeypatch.setattr(Train, "open_rows", wait_for_slow)
    monkeypatch.setattr(launch, "submit", slowly)
    with ThreadPoolExecutor() as pool:
        clicks = [pool.submit(tab.start_run, request_of(slow), *filled(tab)) for _ in range(2)]
        assert reading.wait(600)
        tab.start_run(request_of(ANA), *filled(tab))
        assert [run.owner for run in list_runs()] == [ANA.owner]
        go_on.set()
        assert len({click.result()[0] for click in clicks}) == 1
    assert sorted(run.owner for run in list_runs()) == [ANA.owner, slow.owner]
