"""`python -m benchmarks.policy_step` compares two sides that compute the same, and prints every part of both."""

import pytest

from benchmarks import policy_step_process
from benchmarks.policy_step import OURS, TRL, TRL_SAME_MALLOC, Comparison, markdown
from benchmarks.policy_step_process import PARTS, Ours, Prepared, Trl, compare, measure


@pytest.fixture
def prepared(tiny_llama, monkeypatch):
    for name, value in {"PROMPTS": 2, "ANSWERS": 3, "WRITTEN": 5}.items():
        monkeypatch.setattr(policy_step_process, name, value)
    return Prepared(str(tiny_llama), "float32")


def test_both_sides_compute_the_same_and_are_timed(prepared, tmp_path):
    agreement = compare(prepared, str(tmp_path))
    assert 0 < agreement.log_probs < 1e-3 and 0 < agreement.gradients < 1e-3
    sides = {TRL: Trl(prepared, str(tmp_path)), OURS: Ours(prepared)}
    written, _ = sides[TRL].sample()
    assert [len(row) for row in written] == [len(row) for row in prepared.completions] == [5] * 6
    runs = {name: [measure(side, prepared, 1)] for name, side in sides.items()}
    assert all(list(run.seconds) == list(PARTS) for (run,) in runs.values())
    text = markdown(Comparison(agreement, {TRL: runs[TRL], TRL_SAME_MALLOC: runs[TRL], OURS: runs[OURS]}))
    assert text.count("\n| ") == 5 and "| together |" in text
