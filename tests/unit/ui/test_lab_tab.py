"""The Lab tab: what it shows of labs that ship and of one's own, to whom, and what it does not let in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from eval.lab import judging
from eval.lab.schema import Cost, LabResult, OptionResult, SeedResult
from eval.metrics import metric_named
from eval.report.sections import TaskInfo
from finetuning.lab import launch
from finetuning.lab import results as lab_results
from finetuning.lab.dry_run import Share
from finetuning.lab.folder import LabFolder, create_lab
from finetuning.lab.lab import lab_names, load_lab
from finetuning.lab.plan import make_plan
from finetuning.limits import Limits
from plumbing.errors import RecipeError, RunError
from ui.drawing import labs
from ui.server import downloads
from ui.server.visitors import LOCAL, Files, Visitor
from ui.tabs import lab as tab_module
from ui.tabs.lab import LabTab, about, build_lab, shipped_lab

NAME = "knowledge"
HOSTILE = "<img src=x onerror=alert(1)>"
TAB = LabTab(
    **{each.name: None for each in dataclasses.fields(LabTab)} | {"shipped": [None] * 3, "downloads": [None] * 3}  # type: ignore[arg-type]
)
"""What it gives its components to show needs none of them."""


def asked_by(visitor: Visitor) -> gr.Request:
    behind = SimpleNamespace(scope={"state": {"visitor": visitor}})
    return gr.Request(request=behind, username=None, session_hash="page1")  # type: ignore[arg-type]


def result(name: str = NAME, title: str = "By heart") -> LabResult:
    scores = {"one": [1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0], "other": [1.0] * 7}
    metric = metric_named("accuracy")
    options = [
        OptionResult(
            key=key, name=f"{key} {title}", about=title, trained=key == "other", scores=each,
            seeds=[SeedResult(seed=0, score=sum(each) / 7)], mean=sum(each) / 7,
            interval=judging.interval_of(each, metric), cost=Cost(trainable=5 if key == "other" else 0),
        )
        for key, each in scores.items()
    ]  # fmt: skip
    return LabResult(
        name=name, title=title, question=title, task="handbook", metric="accuracy", data="corpus:handbook", n=7,
        about=TaskInfo(kind="generation", title="Handbook", noun=("question", "questions")), test_sha256="ab",
        seeds=[0], budget="", chosen_by="", options=options, pairs=judging.all_pairs(options, metric),
        test="a test", machine={"processor": title, "cores": "2"}, minutes=3, created="2026-01-01T00:00:00+00:00",
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(lab_results, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(launch, "_start", lambda lab: None)  # no process
    return tmp_path


def made(owner: str = "") -> LabFolder:
    lab = load_lab(NAME)
    return create_lab(lab, make_plan(lab), owner=owner, door="page")


def files_behind(buttons: list[Any]) -> list[Path]:
    """What download buttons give."""
    values = [button.value if hasattr(button, "value") else button["value"] for button in buttons]
    return [Path(str(value["path"] if isinstance(value, dict) else value)) for value in values]


def test_a_lab_that_was_not_measured_says_so_and_how_to_measure_it(folder: Path) -> None:
    shown = about(load_lab(NAME))
    assert "not measured yet" in shown and f"python -m finetuning sweep {NAME}" in shown
    assert "by heart (LoRA)" in shown and "<svg" not in shown


def test_what_was_measured_is_shown_without_running_anything_and_can_be_downloaded(folder: Path) -> None:
    lab_results.write(result(), folder / "results", name=NAME)
    visitor = Visitor(files=(files := Files()))
    shown, takes, *buttons = TAB.choose(NAME, asked_by(visitor))
    assert "other By heart" in shown and "<svg" in shown and "Nothing was run to show it" in shown and takes == ""
    assert not (folder / "runs").exists()
    paths = files_behind(buttons)
    assert [path.suffix for path in paths] == [".html", ".md", ".json"]
    assert "<!doctype html>" in paths[0].read_text(encoding="utf-8")
    assert files._offers  # so that the door lets the visitor have them


def test_foreign_text_in_a_lab_is_shown_as_text(folder: Path) -> None:
    assert "<img" not in labs.result(result(title=HOSTILE))
    lab = made()
    lab.update(state="failed", error=HOSTILE, phase=HOSTILE)
    assert "<img" not in labs.state_of(lab, str) and "&lt;img" in labs.state_of(lab, str)
    assert "<img" not in labs.listing([lab])


@pytest.mark.parametrize("name", ["", None, "../../etc/passwd", "/etc/hosts.yaml", f"{NAME}.yaml", "KNOWLEDGE"])
def test_a_form_names_labs_that_ship_and_no_files(name: str | None) -> None:
    with pytest.raises(RunError, match="no such lab"):
        shipped_lab(name)


def test_each_stranger_sees_their_own_labs_and_a_local_page_all(folder: Path) -> None:
    ana, bea = (Visitor(name, Limits()) for name in ("browser-a", "browser-b"))
    theirs, own = made("browser-a"), made()
    assert [lab.id for lab in ana.labs()] == [theirs.id] and bea.labs() == []
    assert {lab.id for lab in LOCAL.labs()} == {theirs.id, own.id}
    for lab in (theirs, own):
        with pytest.raises(RunError, match="no such lab"):
            bea.lab(lab.id)
    assert TAB.poll(own.id, "", asked_by(bea))[0] == ""  # it is gone, as far as they know


def test_a_lab_is_started_once_and_a_strangers_within_the_limits(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "open_rows", lambda plan: {})
    first = LOCAL.start_lab(load_lab(NAME))
    assert LOCAL.start_lab(load_lab(NAME)).id == first.id
    first.update(state="cancelled")
    assert LOCAL.start_lab(load_lab(NAME)).id != first.id
    with pytest.raises(RecipeError, match="this public page allows 3"):
        Visitor("browser-a", Limits(lab_places=3)).start_lab(load_lab(NAME))


def test_what_a_lab_takes_is_said_or_why_it_cannot_be_made_here(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.libraries.ready", lambda: None)
    monkeypatch.setattr("finetuning.lab.rows.open_rows", lambda plan: {})
    shares = [Share(cell, 3, 600.0) for cell in make_plan(load_lab(NAME)).cells]
    monkeypatch.setattr("finetuning.lab.dry_run.shares", lambda plan, rows: shares)
    waiting, said = TAB.estimate(NAME, asked_by(LOCAL))
    assert "progressbar" in waiting and "12 runs and passes, 30 to 50 min here." in said
    *_, refused = TAB.estimate(NAME, asked_by(Visitor("browser-a", Limits(lab_places=3))))
    assert "this public page allows 3" in refused
    *_, refused = TAB.estimate("../x.yaml", asked_by(LOCAL))
    assert "no such lab" in refused


def test_an_open_lab_is_drawn_again_only_if_it_changed_and_says_what_went_wrong(folder: Path) -> None:
    lab = made()
    lab.claim()  # by this process, so that it is not taken for gone
    lab.update(phase="by heart (LoRA): seed 0", done=2)
    lab_id, drawn, _, _, state, cancel, resume, shown, *_ = TAB.poll(lab.id, "", asked_by(LOCAL))
    assert lab_id == lab.id and "by heart (LoRA): seed 0" in state and 'aria-valuenow="18"' in state
    assert shown == "" and cancel.visible and not resume.visible
    assert TAB.poll(lab.id, drawn, asked_by(LOCAL)) == gr.skip()
    record = lab.record()
    record.failed["closed-book"] = "The base is gone."
    lab.keep(record)
    lab_results.write(result(), lab.folder)
    lab.update(state="finished")
    *_, state, cancel, resume, shown, _html, _md, _json = TAB.poll(lab.id, drawn, asked_by(LOCAL))
    assert "The base is gone." in state and "<svg" in shown and resume.visible and not cancel.visible


def test_a_stranger_reads_no_path_of_this_machine_in_what_failed(folder: Path) -> None:
    said = "There is no space left for runs (got: /srv/somebody/runs)."
    for visitor, seen in ((Visitor("browser-a", Limits(), holder="a"), False), (LOCAL, True)):
        lab = made(visitor.owner)
        record = lab.record()
        record.failed["closed-book"] = said
        lab.keep(record)
        found = result()
        options = [*found.options, OptionResult(key="x", name="x", about="x", trained=True, failed=said)]
        created = f"2026-01-0{2 + seen}T00:00:00+00:00"
        lab_results.write(found.model_copy(update={"options": options, "created": created}), lab.folder)
        lab.update(state="finished", error=said)
        *_, state, _, _, shown, html, md, as_json = TAB.poll(lab.id, "", asked_by(visitor))
        files = [file.read_text(encoding="utf-8") for file in files_behind([html, md, as_json])]
        for text in (state, shown, *files):
            assert ("/srv/somebody" in text) == seen, text


def test_labs_that_end_at_once_have_files_of_their_own(folder: Path) -> None:
    one, other = downloads.files_of_lab(result()), downloads.files_of_lab(result(title="Another"))
    assert not {*one} & {*other} and downloads.files_of_lab(result()) == one


@pytest.mark.parametrize("name", ["status.json", "plan.json", "lab.yaml", "record.json", "results.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", '{"state": "odd"}', "\0"])
def test_whatever_is_in_a_labs_files_hides_no_other(folder: Path, name: str, content: str) -> None:
    whole, damaged = made(), made()
    (damaged.folder / name).write_text(content, encoding="utf-8")
    assert whole.id[-20:] in labs.listing(LOCAL.labs())
    found = TAB.poll(damaged.id, "", asked_by(LOCAL))
    assert found[0] == damaged.id


def test_every_lab_that_ships_can_be_chosen(laid_out: Callable[..., Any]) -> None:
    tab = laid_out(build_lab)
    assert [value for _, value in tab.chosen.choices] == lab_names()
    assert tab_module.POLL_S >= 1
