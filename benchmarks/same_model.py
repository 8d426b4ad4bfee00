"""python -m benchmarks.same_model: one model as a folder, as a GGUF file and behind a server, on the same rows.

The file holds float16 matrices of the folder's own weights, and llama.cpp's server reads it. All three are asked as
`python -m eval compare` asks, so what differs is who computes: the verdict should find no difference, and nearly
all answers should be the same.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks.llama_server import llama_server
from benchmarks.results import table, tell
from eval.asked.comparing import compared
from eval.asked.request import Request
from eval.verdict.schema import Verdict, VerdictRow
from eval.verdict.words import headline
from finetuning.export.gguf.writing import Language, write_gguf
from finetuning.export.work import Work
from models.sources import resolve

BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"
NAMES = {"base": "folder", "tuned": "GGUF, float16", "tuned-2": "llama.cpp's server"}


def measure(base: str, *, rows: int, max_new_tokens: int = 40) -> tuple[Verdict, list[VerdictRow]]:
    """The verdict on dialogues, and its rows.

    Args:
        base: the name or folder of a Llama.
        rows: of the bundled dialogues, at most.
        max_new_tokens: where an answer is cut off.
    """
    folder = resolve(base).path
    with tempfile.TemporaryDirectory() as kept:
        file = Path(kept) / "model.gguf"
        write_gguf(Language.in_folder(folder), file, Work())
        with llama_server(file, slots=1, threads=2, exact=True) as address:
            return compared(
                Request(
                    base=str(folder),
                    tuned=[str(file), address],
                    data="corpus:dialogues",
                    options=["base.precision=float32", "tuned.precision=float32"],
                    rows=rows,
                    max_new_tokens=max_new_tokens,
                ),
                on_prompt=lambda key, *_: tell(f"  {NAMES[key]} is open"),
            )


def markdown(verdict: Verdict, rows: list[VerdictRow]) -> str:
    """The answers that are the same, and the scores."""
    metric, body = verdict.metric, []
    for key, name in NAMES.items():
        score = sum(row.answers[key].scores[metric] for row in rows) / len(rows)
        same = sum(row.answers[key].text == row.answers["base"].text for row in rows)
        body.append((name, f"{same} of {len(rows)}", f"{score:.4f}"))
    return f"{headline(verdict)}\n\n{table(('one model', 'answers as the folder’s', metric), body)}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default=BASE)
    parser.add_argument("--rows", type=int, default=100)
    options = parser.parse_args()
    started = time.perf_counter()
    print(markdown(*measure(options.base, rows=options.rows)))
    tell(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
