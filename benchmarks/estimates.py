"""python -m benchmarks.estimates: what was estimated of runs, against what they took.

Each case is estimated in a process of its own, as the command line does it, and then run by a worker. `--short`
cuts the cases to a few minutes each; without it they are the recipes as they ship, and a file of long rows.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import idle
from benchmarks.results import ROOT, table, tell

TIME_WITHIN, MEMORY_WITHIN = 0.30, 0.20
SHORT = ("training.max_steps=8", "data.test_rows=24", "evaluation.few_shot=0", "evaluation.forgetting=false")
LONG_ROWS = "long rows"
CASES = {
    "sentiment": ("sentiment-smollm2-lora", ()),
    "dialogue": ("dialogue-smollm2-qlora", ()),
    "full": ("sentiment-smollm2-lora", ("strategy.kind=full", "training.learning_rate=5e-5")),
    "last": ("sentiment-smollm2-lora", ("strategy.kind=last", "training.learning_rate=5e-5")),
    "dora": ("sentiment-smollm2-lora", ("strategy.dora=true",)),
    "head": ("sentiment-minilm-lora", ("strategy.kind=last",)),
    "classifier": ("sentiment-minilm-lora", ("strategy.kind=full", "training.learning_rate=1e-4")),
    LONG_ROWS: ("dialogue-smollm2-qlora", ("training.max_tokens=2048", "training.batch_size=4")),
}


@dataclass(frozen=True)
class Compared:
    """One case: each number as it was estimated, and as it was."""

    case: str
    training_s: tuple[float, float]
    seconds: tuple[float, float]
    memory_mb: tuple[float, float]
    estimating_s: float


def main() -> None:
    """Estimate, run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--case", choices=CASES, action="append", help="default: all")
    parser.add_argument("--short", action="store_true", help="a few steps and test rows of each")
    options = parser.parse_args()
    tell(idle())
    with tempfile.TemporaryDirectory() as folder:
        found = [compare(case, options.short, Path(folder)) for case in options.case or CASES]
    print(markdown(found))


def compare(case: str, short: bool, folder: Path) -> Compared:
    """Estimate one case, then run it."""
    recipe, settings = CASES[case]
    changed = [*settings, *(SHORT if short else ())]
    if case == LONG_ROWS:
        changed.append(f"data.source=file:{write_long_rows(folder / 'long.jsonl')}")
    tell(f"{case}: the estimate")
    started = time.perf_counter()
    said = json.loads(_python("-c", _ESTIMATE, recipe, *changed).splitlines()[-1])
    estimating_s = time.perf_counter() - started
    tell(f"{case}: the run")
    runs = folder / case.replace(" ", "-")
    sets = [word for setting in changed for word in ("--set", setting)]
    _python("-m", "finetuning", "train", recipe, *sets, runs=runs)
    (path,) = runs.glob("*/status.json")
    status = json.loads(path.read_text(encoding="utf-8"))
    return Compared(
        case=case,
        training_s=(said["training_s"], status["training_seconds"]),
        seconds=(said["loading_s"] + said["training_s"] + said["evaluation_s"], status["seconds"]),
        memory_mb=(said["memory_mb"], status["facts"]["peak_memory_mb"]),
        estimating_s=estimating_s,
    )


_ESTIMATE = """
import dataclasses, json, sys
from finetuning.estimates.estimate import estimate
from finetuning.recipe import load_recipe
print(json.dumps(dataclasses.asdict(estimate(load_recipe(sys.argv[1], sys.argv[2:])))))
"""


def _python(*arguments: str, runs: Path | None = None) -> str:
    """What our interpreter prints.

    Raises:
        subprocess.CalledProcessError: it failed; its output is on stderr.
    """
    environment = os.environ | ({"BEFORE_AFTER_RUNS": str(runs)} if runs else {})
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        tell(done.stdout + done.stderr)
        raise subprocess.CalledProcessError(done.returncode, command)
    return done.stdout


def write_long_rows(path: Path) -> Path:
    """Dialogues of the bundled corpus, three in a row, with the first one's summary."""
    from data.sources import open_source
    from data.tasks import TASKS

    rows = list(open_source("corpus:dialogues", TASKS["dialogue"]).splits["train"])
    joined = [
        {
            "dialogue": "\n".join(row["dialogue"] for row in rows[at : at + 3]),
            "summary": TASKS["dialogue"].references(rows[at])[0],
        }
        for at in range(0, len(rows) - 2, 3)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in joined), encoding="utf-8")
    return path


def markdown(found: list[Compared]) -> str:
    """A row a case and number, and whether it is within what is promised."""
    rows = []
    for one in found:
        for name, unit, within in (
            ("training", "s", TIME_WITHIN),
            ("all", "s", TIME_WITHIN),
            ("memory", "MiB", MEMORY_WITHIN),
        ):
            said, was = {"training": one.training_s, "all": one.seconds, "memory": one.memory_mb}[name]
            apart = said / was - 1
            verdict = "yes" if abs(apart) <= within else "no"
            numbers = (f"{said:,.0f} {unit}", f"{was:,.0f} {unit}", f"{apart:+.0%}", f"{within:.0%}", verdict)
            rows.append((f"{one.case}, {name}", *numbers))
    took = ", ".join(f"{one.estimating_s:.0f} s" for one in found)
    head = ("", "estimate", "run", "off by", "allowed", "within")
    return f"{table(head, rows)}\n\nThe estimates took {took}."


if __name__ == "__main__":
    main()
