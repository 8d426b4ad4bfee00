"""The command line as a person uses it: one process a command, one line an error."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run_cli(tmp_path):
    def run(*arguments, timeout=300):
        return subprocess.run(
            [sys.executable, "-m", "finetuning", *arguments],
            cwd=ROOT,
            env=os.environ | {"BEFORE_AFTER_RUNS": str(tmp_path / "runs"), "COLUMNS": "120", "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run


def test_help_answers_at_once(run_cli):
    started = time.perf_counter()
    done = run_cli("--help")
    assert done.returncode == 0 and "estimate" in done.stdout
    assert time.perf_counter() - started < 10  # loading torch alone takes longer on a busy machine


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train", "sentiment"], "There is no such recipe"),
        (["train", "sentiment-smollm2-lora", "--set", "lora.rank=0"], "lora.rank"),
        (["evaluate", "../../etc"], "There is no such run"),
        (["chat", "last"], "No run has finished yet"),
        (["estimate", "sentiment-smollm2-lora", "--data", "corpus:tweets"], "tweets"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(run_cli, arguments, says):
    done = run_cli(*arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert len(done.stderr.strip().splitlines()) == 1


def test_estimate_names_parameters_memory_and_time(run_cli):
    done = run_cli("estimate", "dialogue-smollm2-qlora")
    assert done.returncode == 0
    assert "of memory" in done.stdout and "2,442,240 of" in done.stdout


def test_train_prints_the_table_then_the_run_can_be_listed_evaluated_and_asked(run_cli):
    small = ["--set", "data.train_rows=16", "--set", "data.test_rows=4", "--set", "training.epochs=1"]
    trained = run_cli("train", "sentiment-minilm-lora", *small)
    assert trained.returncode == 0, trained.stderr
    assert "accuracy" in trained.stdout
    assert "finished" in run_cli("runs").stdout
    evaluated = run_cli("evaluate", "last", "--rows", "4")
    assert evaluated.returncode == 0 and "accuracy" in evaluated.stdout
    asked = run_cli("chat", "last", "-m", "A warm and funny film.")
    assert asked.returncode == 0
    assert "positive" in asked.stdout and "After · tuned" in asked.stdout
