"""`python -m finetuning export` of the dialogue adapter that ships, on its real base: a file answers as it does."""

import re
import subprocess
import sys
from pathlib import Path

from models.tuned import bundled_folder

ROOT = Path(__file__).resolve().parents[2]
REAL_MODEL = True


def export(*arguments):
    command = [sys.executable, "-m", "finetuning", "export", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1200)


def test_the_dialogue_adapter_that_ships_answers_as_a_gguf_file(tmp_path):
    adapter, file = bundled_folder() / "dialogue-smollm2-qlora", tmp_path / "dialogue.gguf"
    done = export(adapter, "gguf", file, "--check", "--rows", "3")
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "as 4 bit (NF4) left them" in said and file.stat().st_size > 250_000_000
    rows, same = re.search(r"Asked (\d+) test rows, it answers (\d+) exactly", said).groups()
    assert (int(rows), int(same) >= 1) == (3, True), said


def test_what_cannot_be_exported_is_one_line(tmp_path):
    done = export(bundled_folder() / "dialogue-smollm2-qlora", "pickle", tmp_path / "x")
    assert done.returncode == 2 and "There are adapter, merged, gguf, ollama" in done.stderr
    assert "Traceback" not in done.stderr and not list(tmp_path.iterdir())
