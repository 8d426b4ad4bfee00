from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from data.errors import RunError
from finetuning.recipe import load_recipe
from finetuning.runs import create_run, open_run
from ui import run_view, runs

ROOT = Path(__file__).resolve().parent.parent.parent.parent


def test_help_answers_at_once() -> None:
    started = time.perf_counter()
    said = subprocess.run(
        [sys.executable, "app.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "--port" in said.stdout
    assert time.perf_counter() - started < 2


def test_building_the_page_loads_no_model_library() -> None:
    code = (
        "import sys; from ui.page import build_page; build_page(); "
        "print([name for name in ('torch', 'transformers', 'datasets') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path))
    return tmp_path


def test_a_queued_run_says_how_many_are_before_it(folder: Path) -> None:
    first = create_run(load_recipe("sentiment-smollm2-lora"))
    second = create_run(load_recipe("sentiment-smollm2-lora"))
    first, second = sorted((first, second), key=lambda run: run.id[-20:])
    assert "Queued: starts in a moment" in run_view.state_line(first)
    assert "Queued: 1 run before this one" in run_view.state_line(second)
    assert run_view.newest("sentiment", active=True) is not None
    assert run_view.newest("dialogue", active=True) is None


def test_a_failed_run_shows_its_error_as_text(folder: Path) -> None:
    run = create_run(load_recipe("sentiment-smollm2-lora"))
    run.update(state="failed", error="<b>no</b>")
    drawn = run_view.state_line(run)
    assert "&lt;b&gt;no&lt;/b&gt;" in drawn and "<b>no" not in drawn


def test_a_damaged_run_does_not_hide_the_others(folder: Path) -> None:
    whole = create_run(load_recipe("sentiment-smollm2-lora"))
    damaged = create_run(load_recipe("dialogue-smollm2-qlora"))
    (damaged.folder / "status.json").write_text("{", encoding="utf-8")
    (damaged.folder / "metrics.jsonl").write_text("{torn\n", encoding="utf-8")
    drawn = runs.run_table()
    assert whole.id[-20:] in drawn and "ba-state-damaged" in drawn
    assert "cannot be read" in run_view.state_line(damaged)
    assert "cannot be read" in run_view.loss(damaged)


def test_a_run_id_never_leads_out_of_the_folder(folder: Path) -> None:
    for wrong in ("../x", "", "/etc/passwd"):
        with pytest.raises(RunError):
            open_run(wrong)
