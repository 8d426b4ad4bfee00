"""python -m benchmarks.adapter_precision RECIPE: what it costs to hold an adapter in bfloat16 while it learns.

Trains each seed twice, with A, B and AdamW's moments in float32, as this project does, and in bfloat16, as TRL does
over a base in 4 bits, and prints base's and tuned's scores. It means something where the base computes in bfloat16.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.results import ROOT, table, tell
from benchmarks.seeds import Seeded, of_run, row

HELD = ("float32", "bfloat16")


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recipe", nargs="+")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the recipes")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, where a GPU has room (default: 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there, too")
    parser.add_argument("--one", choices=HELD, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(vars(train(options.recipe[0], options.seeds[0], options.set, options.one))))
        return
    wanted = [(name, held, seed) for name in options.recipe for held in HELD for seed in options.seeds]

    def apart(one: tuple[str, str, int]) -> Seeded:
        name, held, seed = one
        command = [sys.executable, "-m", "benchmarks.adapter_precision", name, "--one", held, "--seeds", str(seed)]
        for setting in options.set:
            command += ["--set", setting]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            tell(done.stderr[-3000:])
        done.check_returncode()
        tell(f"{one}: {done.stdout.splitlines()[-1]}")
        return Seeded(**json.loads(done.stdout.splitlines()[-1]))

    with ThreadPoolExecutor(options.jobs) as pool:
        found = dict(zip(wanted, pool.map(apart, wanted), strict=True))
    if options.json:
        every = [{"held": held, **vars(run)} for (_, held, _), run in found.items()]
        options.json.write_text(json.dumps(every, indent=1) + "\n", encoding="utf-8")
    print(markdown(found))


def train(recipe: str, seed: int, settings: list[str], held: str) -> Seeded:
    """One run in this process, with what learns in `held`."""
    import torch

    from finetuning import training
    from finetuning.recipe import Recipe, load_recipe
    from finetuning.runs.folder import create_run

    prepare = Recipe.apply_strategy

    def add(recipe: Recipe, model: Any) -> Any:
        adapted = prepare(recipe, model)
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.to(getattr(torch, held))
        return adapted

    setattr(Recipe, "apply_strategy", add)  # noqa: B010
    with tempfile.TemporaryDirectory() as folder:
        run = create_run(load_recipe(recipe, [*settings, f"training.seed={seed}"]), Path(folder))
        training.run_training(run, lambda: False)
        return of_run(recipe, seed, run.folder)


def markdown(found: dict[tuple[str, str, int], Seeded]) -> str:
    """A row a run, and a row for the mean of each recipe and precision."""
    rows = []
    for name, held in dict.fromkeys((name, held) for name, held, _ in found):
        runs = [run for key, run in found.items() if key[:2] == (name, held)]
        rows += [row(f"`{name}`, {held}, seed {run.seed}", [run]) for run in runs]
        rows.append(row(f"`{name}`, {held}, mean", runs))
    return table(("run", "metric", "base", "tuned", "mean of the last 10 losses", "minutes"), rows)


if __name__ == "__main__":
    main()
