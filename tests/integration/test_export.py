"""`python -m finetuning export` of the adapters that ship, on their real base: it answers as they do."""

import re
import subprocess
import sys
from pathlib import Path

from benchmarks.exported import alike
from finetuning.judged_rows import choose_rows
from models.gguf_files import resolve_gguf
from models.pair import open_pair
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
    assert re.search(r"Asked 3 test rows, it answers [1-3] exactly", said), said
    # Merged into the original weights, a quarter of the next tokens would be others, and KL 0.27.
    like = alike(open_pair(adapter), {"gguf": resolve_gguf(file)}, list(choose_rows(adapter, rows=6).rows))["gguf"]
    assert like.same / like.tokens > 0.92 and like.divergence < 0.01, like


def test_the_sentiment_adapter_that_ships_says_the_same_labels_merged(tmp_path):
    adapter = bundled_folder() / "sentiment-smollm2-lora"
    done = export(adapter, "merged", tmp_path / "merged", "--check", "--rows", "12")
    assert done.returncode == 0, done.stderr
    rows, same = re.search(
        r"Asked (\d+) test rows, it answers (\d+) exactly", " ".join(done.stdout.split())
    ).groups()
    assert rows == "12" and int(same) >= 11, done.stdout


def test_what_cannot_be_exported_is_one_line(tmp_path):
    done = export(bundled_folder() / "dialogue-smollm2-qlora", "pickle", tmp_path / "x")
    assert done.returncode == 2 and "There are adapter, merged, gguf, ollama" in done.stderr
    assert "Traceback" not in done.stderr and not list(tmp_path.iterdir())
