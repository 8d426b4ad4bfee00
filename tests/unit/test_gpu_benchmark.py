"""`python -m benchmarks.gpu`: every part of it runs, on tiny shapes and a processor, and says what it found."""

import json
import math
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu.__main__ import LIMIT_S, MINUTES, PARTS, TOGETHER
from benchmarks.gpu.findings import Findings, markdown, read

ROOT = Path(__file__).resolve().parents[2]
TABLES = {
    "tests": {"Unit tests"},
    "losses": {"4 steps: the largest difference of two losses"},
    "llama": {"Seconds", "Parameters", "Training steps of 8 rows, as the recipe has them, in turns", "Settings"},
    "small": {"Runs to a report"},
    "chat": set(),
}


@pytest.fixture
def one_thread(monkeypatch):
    """In the processes that a part starts, too: on shapes this small a second thread only waits for the first."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("part", PARTS)
def test_a_part_measures_tiny_shapes_on_a_processor(part, tmp_path):
    findings = Findings(tmp_path / "found.json")
    import_module(f"benchmarks.gpu.{PARTS[part]}").measure(findings, tiny=True)
    found = read(findings.file)
    assert list(found) == [part] and set(found[part]) >= TABLES[part]
    for title, rows in found[part].items():
        for row in rows:
            numbers = [value for value in row.values() if isinstance(value, float)]
            assert all(map(math.isfinite, numbers)), (title, row)
    if part == "tests":
        (row,) = found["tests"]["Unit tests"]
        assert row["passed"] > 3 and row["failed"] == 0
    if part == "losses":
        assert all(row["equal"] for (rows,) in [found["losses"].values()] for row in rows)
    if part == "llama":
        assert all(row["counted"] == row["the_estimate_says"] for row in found["llama"]["Parameters"])
        assert not any("problem" in row for row in found["llama"]["Settings"])
    if part in ("llama", "chat"):
        turns = [rows for title, rows in found[part].items() if title.startswith("A chat turn")]
        assert turns and all(len(rows) == 5 for rows in turns)
    assert part.capitalize() in markdown(found)


def test_the_parts_fit_into_the_time_that_all_of_them_have():
    assert set(LIMIT_S) == set(PARTS)
    in_turn = [LIMIT_S[part] for part in PARTS if part not in TOGETHER]
    assert max(LIMIT_S[part] for part in TOGETHER) + sum(in_turn) <= 1.2 * 60 * MINUTES


def test_without_a_gpu_it_says_so_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    command = [sys.executable, "-m", "benchmarks.gpu", "--out", str(tmp_path / "found.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "no GPU" in done.stderr
    assert not (tmp_path / "found.json").exists()


def test_parts_that_hang_or_begin_too_late_leave_what_was_found(tmp_path, monkeypatch):
    out, partial = tmp_path / "found.json", tmp_path / ".chat-found.json"
    Findings(out).add("losses", "Kept", what="a row", s=1.5)
    Findings(partial).add("chat", "Kept", what="what it had found by then")
    monkeypatch.setitem(gpu.LIMIT_S, "chat", 0.2)
    assert not gpu.finished(["chat"], out, True, math.inf)
    assert not gpu.finished(["small"], out, True, 0.0)
    found = json.loads(out.read_text())
    assert found["losses"]["Kept"] == [{"what": "a row", "s": 1.5}]
    assert found["chat"]["Kept"] == [{"what": "what it had found by then"}]
    assert [row["exit_code"] for row in found["run"]["Parts"]] == ["out of time", "no time left"]
    assert not partial.exists()
