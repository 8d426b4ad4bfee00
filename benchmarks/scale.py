"""python -m benchmarks.scale: what it costs where there is much of it: rows, runs, steps.

100,000 rows are read, looked through, split and made into tokens; 2,000 runs are listed; a run of 200,000 steps is
drawn. Each is measured in a process of its own, on made-up files in a temporary folder, as often as `--times` says,
and printed beside the most that is allowed. Exits with 1 if one is more.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECIPES = {"sentiment": "sentiment-smollm2-lora", "dialogue": "dialogue-smollm2-qlora"}
ROWS, RUNS, STEPS = 100_000, 2_000, 200_000
ALLOWED = {
    "sentiment rows: all of the preparation, s": 60.0,
    "sentiment rows: peak memory, MB": 1500.0,
    "dialogue rows: all of the preparation, s": 60.0,
    "dialogue rows: peak memory, MB": 1500.0,
    "runs: the Runs tab opens, s": 1.0,
}
"""What the project promises; the other numbers say where the time goes."""


def measure(times: int = 3) -> dict[str, float]:
    """Name and unit → the median of `times` measurements."""
    found: dict[str, float] = {}
    for part in PARTS:
        each = [_in_a_child(part) for _ in range(times)]
        found |= {name: statistics.median(one[name] for one in each) for name in each[0]}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--part", choices=sorted(PARTS), help="measure one part here, and print it as JSON")
    options = parser.parse_args()
    if options.part:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(PARTS[options.part](Path(folder))))
        return
    found = measure(options.times)
    for name, value in found.items():
        allowed = f"   at most {ALLOWED[name]:g}" if name in ALLOWED else ""
        print(f"{name:<56} {value:10.3f}{allowed}", flush=True)
    sys.exit(any(found[name] > most for name, most in ALLOWED.items()))


def _in_a_child(part: str) -> dict[str, float]:
    from finetuning.runs.launch import worker_environment

    command = [sys.executable, "-m", "benchmarks.scale", "--part", part]
    done = subprocess.run(
        command, cwd=ROOT, env=worker_environment(), check=True, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


# ---- rows --------------------------------------------------------------------------------------------------


def measure_rows(task: str, folder: Path) -> dict[str, float]:
    """From a JSON Lines file to tokens, as the page and then a run's worker do it; libraries imported before."""
    from data.hygiene import inspect
    from finetuning.preparation import encode_for_causal, open_data
    from finetuning.recipe import load_recipe
    from models.loading import load_tokenizer
    from models.prompting import Prompter
    from models.sources import resolve

    file = folder / "rows.jsonl"
    write_rows(task, file)
    recipe = load_recipe(RECIPES[task], [f"data.source=file:{file}", "data.train_rows=null", "data.test_rows=null"])
    tokenizer = load_tokenizer(resolve(recipe.model.base))
    prompter = Prompter(tokenizer, recipe.task_definition)
    before_mb = peak_mb()
    started = time.perf_counter()
    opened = open_data(recipe)
    read = time.perf_counter()
    inspect(opened.splits, opened.task)
    inspected = time.perf_counter()
    rows = {split: encode_for_causal(opened.splits[split], prompter, 2048) for split in opened.splits}
    ended = time.perf_counter()
    lengths_s = timed(lambda: [len(ids) for ids in rows["train"]["input_ids"]])
    assert sum(map(len, rows.values())) == ROWS
    return {
        f"{task} rows: reading and splitting, s": read - started,
        f"{task} rows: hygiene, s": inspected - read,
        f"{task} rows: tokens, s": ended - inspected,
        f"{task} rows: all of the preparation, s": ended - started,
        f"{task} rows: lengths for the batches, s": lengths_s,
        f"{task} rows: memory before, MB": before_mb,
        f"{task} rows: peak memory, MB": peak_mb(),
    }


def write_rows(task: str, file: Path) -> None:
    """`ROWS` rows of the corpus' words in random order: reviews of 5 to 45 words, dialogues of 6 to 14 turns."""
    corpus = {"sentiment": "reviews", "dialogue": "dialogues"}[task]
    lines = (ROOT / "data" / "corpora" / f"{corpus}.jsonl").read_text(encoding="utf-8").splitlines()
    column = {"sentiment": "text", "dialogue": "dialogue"}[task]
    words = [word for line in lines for word in json.loads(line)[column].split()]
    chance = random.Random(0)

    def some(least: int, most: int) -> str:
        return " ".join(chance.choices(words, k=chance.randint(least, most)))

    with file.open("w", encoding="utf-8") as handle:
        for _ in range(ROWS):
            if task == "sentiment":
                row = {"text": some(5, 45), "label": chance.choice(["positive", "negative"])}
            else:
                names = chance.choices(["Ana", "Leo"], k=chance.randint(6, 14))
                row = {"dialogue": "\n".join(f"{name}: {some(4, 16)}" for name in names), "summary": some(10, 30)}
            handle.write(json.dumps(row) + "\n")


def peak_mb() -> float:
    """The most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# ---- runs --------------------------------------------------------------------------------------------------


def measure_runs(folder: Path) -> dict[str, float]:
    """`RUNS` finished runs with their reports: what opening the tab costs, and polls of runs that do not change."""
    from finetuning.runs.folder import list_runs
    from finetuning.runs.launch import reconcile
    from ui.tabs import run_view, runs

    make_runs(folder)
    os.environ["BEFORE_AFTER_RUNS"] = str(folder)
    time.sleep(3)  # files that have just been written are not remembered

    def poll() -> None:
        for run in list_runs()[: runs.SHOWN]:
            run_view.fingerprint(run)

    return {
        "runs: the Runs tab opens, s": timed(lambda: runs.run_table(list_runs())),
        "runs: the Runs tab again, s": timed(lambda: runs.run_table(list_runs())),
        "runs: its poll, s": statistics.median(timed(poll) for _ in range(9)),
        "runs: the queue is looked through first, s": timed(reconcile),
        "runs: the queue is looked through again, s": statistics.median(timed(reconcile) for _ in range(9)),
    }


def make_runs(folder: Path) -> None:
    """`RUNS` folders of finished runs, each with a recipe, a status, an adapter folder and a report."""
    from finetuning.recipe import load_recipe
    from finetuning.runs.folder import Status

    recipe = load_recipe(RECIPES["sentiment"]).to_yaml()
    status = Status(state="finished", created=1.7e9, started=1.7e9, ended=1.7e9 + 300, done=100, total=100)
    report = ROOT / "models" / "bundled" / RECIPES["sentiment"] / "eval"
    for number in range(RUNS):
        run = folder / f"{RECIPES['sentiment']}-20260101-{number // 60:04d}{number % 60:02d}-{number:04x}"
        (run / "adapter").mkdir(parents=True)
        shutil.copytree(report, run / "eval")
        (run / "recipe.yaml").write_text(recipe, encoding="utf-8")
        (run / "status.json").write_text(status.model_dump_json(), encoding="utf-8")


# ---- steps -------------------------------------------------------------------------------------------------


def measure_steps(folder: Path) -> dict[str, float]:
    """The loss curve of `STEPS` steps: drawn first, then after a step more, and how much of the file that reads."""
    from finetuning.runs.metrics import append_metrics
    from ui.drawing.loss import Curve

    file = folder / "metrics.jsonl"
    chance = random.Random(0)

    def values(step: int) -> dict[str, float]:
        loss = 1 + 2 / (1 + step / 1000) + chance.gauss(0, 0.1)
        rates = {"epoch": step / 1000, "learning_rate": 2e-4, "grad_norm": 1.25, "token_accuracy": 0.5}
        counts = {"tokens": 700 * step, "seconds": 2.0 * step, "memory_mb": 900}
        return {"step": step, "loss": loss} | rates | counts

    with file.open("w", encoding="utf-8") as handle:
        handle.writelines(json.dumps(values(step)) + "\n" for step in range(1, STEPS + 1))
    curve = Curve(file)
    before_mb = peak_mb()
    first_s = timed(lambda: curve.draw(0))
    held_mb, read = peak_mb() - before_mb, curve.reader.bytes_read
    append_metrics(file, values(STEPS + 1))
    return {
        "steps: size of the metrics, MB": file.stat().st_size / 1e6,
        "steps: the curve is drawn first, s": first_s,
        "steps: memory for that, MB": held_mb,
        "steps: the curve after a step more, s": timed(lambda: curve.draw(0)),
        "steps: read for that, kB": (curve.reader.bytes_read - read) / 1e3,
        "steps: the curve as drawn, kB": len(curve.draw(0)) / 1e3,
    }


PARTS: dict[str, Callable[[Path], dict[str, float]]] = {
    "sentiment": lambda folder: measure_rows("sentiment", folder),
    "dialogue": lambda folder: measure_rows("dialogue", folder),
    "runs": measure_runs,
    "steps": measure_steps,
}


if __name__ == "__main__":
    main()
