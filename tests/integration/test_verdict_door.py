"""What docs/verdict.md and docs/ci say to type about models that were tuned elsewhere, as processes."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

REAL_MODEL = True
ROOT = Path(__file__).resolve().parents[2]


def run(*words, cwd=ROOT, limit=600):
    return subprocess.run(
        [sys.executable, *map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=limit,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


GATES = """
import json, subprocess, sys, tempfile
import pytest
done = []
for words in json.load(sys.stdin):
    with tempfile.TemporaryFile("w+") as said:
        out, error = sys.stdout, sys.stderr
        sys.stdout = sys.stderr = said
        try:
            code = pytest.main(words)
        finally:
            sys.stdout, sys.stderr = out, error
        said.seek(0)
        done.append((int(code), said.read()))
json.dump(done, sys.stdout)
"""
"""Lists of arguments on stdin: `pytest` with each in turn, in one process, which imports the libraries once."""


def gates(*commands):
    """(exit code, what was printed) of `pytest eval/` with each of `commands`."""
    asked = [[str(ROOT / "eval"), "-q", "-s", "-p", "no:cacheprovider", *map(str, words)] for words in commands]
    done = subprocess.run(
        [sys.executable, "-c", GATES], cwd=ROOT, input=json.dumps(asked), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_gate_of_any_two_sides_under_pytest(tiny_llama, reviews_file, tmp_path):
    sides = ("--base", tiny_llama, "--tuned", tiny_llama, "--data", reviews_file, "--rows", "12")
    passed, failed, lacking, half = gates(
        [*sides, "--instruction", "Good or bad?"],
        [*sides, "--require", "better"],
        ["--base", tiny_llama, "--tuned", tmp_path / "none", "--data", reviews_file],
        ["--non-inferior", "0.02", "--base", tiny_llama],
    )
    assert passed[0] == 0 and "1 passed" in passed[1], passed
    assert "Good or bad?" in passed[1] and "base and tuned are one model" in passed[1]
    assert failed[0] == 1 and "It had to be better than the base" in failed[1]
    assert lacking[0] == 2 and "It could not run: There is no such" in lacking[1]
    assert half[0] == 4 and "add --tuned" in half[1]


def test_the_example_of_the_document(tmp_path):
    document = (ROOT / "docs" / "verdict.md").read_text(encoding="utf-8").replace("\\\n", " ")
    made, compared = (
        shlex.split(re.search(rf"^python ({pattern}.*?)(?:  +#.*)?$", document, re.MULTILINE)[1])
        for pattern in (r"docs/examples/plain_peft\.py", r"-m eval compare.*--trained-on")
    )
    done = run(ROOT / made[0], *made[1:], "--steps", "2", cwd=tmp_path)
    assert done.returncode == 0 and f"Written into {made[1]}" in done.stdout, done.stderr
    assert {file.name for file in (tmp_path / made[1]).iterdir()} >= {
        "adapter_config.json", "adapter_model.safetensors", "trained-on.jsonl"
    }  # fmt: skip
    found = run(*compared, "--rows", "8", "--json", "verdict.json", cwd=tmp_path)
    assert found.returncode in (0, 1), found.stderr
    verdict = json.loads((tmp_path / "verdict.json").read_text(encoding="utf-8"))
    assert [side["info"]["kind"] for side in verdict["sides"]] == ["model", "adapter"] and verdict["n"] == 8
    assert verdict["sides"][1]["known"] == {"known_by": "file", "trained_on": 0}
    assert verdict["sides"][1]["info"]["proof"].startswith("Adapter acts")
    assert (tmp_path / "verdict.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    # It is asked as it was trained: see `docs/examples/plain_peft.py`.
    ask = compared[compared.index("--instruction") + 1]
    assert ask in (ROOT / made[0]).read_text(encoding="utf-8")
    for side in verdict["sides"]:
        assert side["prompt"]["example"].startswith(f"<|im_start|>system\n{ask}<|im_end|>\n<|im_start|>user\n")
