"""A lab by the command line and as a process of its own: on from where it was killed, and to its end."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml

from eval.lab.schema import LabResult
from finetuning.lab import launch as labs
from finetuning.lab.folder import list_labs
from finetuning.runs.folder import WORKING, list_runs

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture
def lab_file(tmp_path, tiny_recipe):
    """A lab of two runs and a pass of the base."""
    recipe = tmp_path / "tiny-recipe.yaml"
    recipe.write_text(tiny_recipe("data.test_rows=7").to_yaml())
    values = {
        "title": "Tiny",
        "question": "Which?",
        "recipe": str(recipe),
        "seeds": [0],
        "budget": {"steps": 20},
        "options": [
            {"name": "LoRA", "tune": {"training.learning_rate": [1e-4, 1e-2]}},
            {"name": "base", "untrained": "base"},
        ],
    }
    path = tmp_path / "tiny-lab.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def command(*arguments):
    return [sys.executable, "-m", "finetuning", "sweep", *map(str, arguments)]


def sweep(*arguments):
    environment = os.environ | {"COLUMNS": "160", "NO_COLOR": "1"}
    return subprocess.run(
        command(*arguments), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900
    )


def test_a_lab_is_cancelled_killed_and_resumed_and_what_it_has_done_is_not_done_again(
    lab_file, runs, tmp_path, wait_for
):
    with subprocess.Popen(command(lab_file), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as started:
        (made,) = wait_for(list_labs)
        first = wait_for(lambda: made.record().runs.get("lora/try-1"))
        labs.cancel(made)
        _, said = started.communicate(timeout=900)
    assert started.returncode == 2 and b"The lab was cancelled" in said
    assert made.status().state == "cancelled"
    assert [run.status().state for run in list_runs(runs)] == ["cancelled"]
    wait_for(lambda: not made.process_alive())

    labs.go_on(made)
    wait_for(lambda: list_runs(runs)[-1].status().state in WORKING)
    psutil.Process(made.status().pid).kill()
    wait_for(lambda: labs.settle(made) or made.status().state == "interrupted")
    labs.cancel(made)  # its run, which goes on by itself
    wait_for(lambda: list_runs(runs)[-1].status().state == "cancelled")

    done = sweep(lab_file, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr + made.log_file.read_text()
    for said in ("Going on with lab", "is best here", "LoRA", "exact McNemar test", "report.html"):
        assert said in done.stdout
    assert made.status().state == "finished"
    assert made.record().runs["lora/try-1"] == first and len(list_runs(runs)) == 2
    assert len(made.results().measured) == 2
    result = LabResult.model_validate_json((tmp_path / "out" / "tiny-lab.json").read_text())
    assert [option.name for option in result.options] == ["LoRA", "base"] and len(result.pairs) == 1
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".json", ".html", ".md"}
    wait_for(lambda: not made.process_alive())

    again = sweep(lab_file)
    assert again.returncode == 0 and "has finished; --new starts another" in again.stdout
    assert len(list_runs(runs)) == 2 and len(list_labs()) == 1
