"""python -m benchmarks.seeds: trains a recipe with several seeds, and prints each one's scores of base and tuned.

Uses the command line and the runs' own reports only, so that another checkout can be measured by the same script:

    python -m benchmarks.seeds sentiment-smollm2-lora --repo ../before --json before.json
    python -m benchmarks.seeds sentiment-smollm2-lora --json after.json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.results import ROOT, commit, table, tell


@dataclass(frozen=True)
class Seeded:
    """One seed's run."""

    recipe: str
    seed: int
    metric: str
    base: float
    tuned: float
    minutes: float
    last_loss: float


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recipe", nargs="+")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--repo", type=Path, default=ROOT, help="the checkout that trains; default: this one")
    parser.add_argument("--python", default=sys.executable, help="its interpreter; default: this one")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the recipes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there, too")
    options = parser.parse_args()
    found = []
    for recipe in options.recipe:
        for seed in options.seeds:
            tell(f"{recipe}, seed {seed}")
            found.append(train(recipe, seed, options.repo.resolve(), options.python, options.set))
            if options.json:  # after each: a run takes long
                written = {"commit": commit(options.repo), "runs": [asdict(one) for one in found]}
                options.json.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    print(markdown(found))


def train(recipe: str, seed: int, repo: Path, python: str, settings: list[str]) -> Seeded:
    """What a run of `recipe` in the checkout `repo` comes to.

    Raises:
        subprocess.CalledProcessError: the run failed; its output is on stderr.
    """
    with finished_run(recipe, [*settings, f"training.seed={seed}"], repo=repo, python=python) as run:
        return of_run(recipe, seed, run)


@contextmanager
def finished_run(
    recipe: str, settings: Sequence[str], *, repo: Path = ROOT, python: str = sys.executable
) -> Iterator[Path]:
    """The folder of a run of `recipe` with `settings` in the checkout `repo`, by the command line; gone afterwards.

    Raises:
        subprocess.CalledProcessError: the run failed; its output is on stderr.
    """
    command = [python, "-m", "finetuning", "train", recipe]
    for setting in settings:
        command += ["--set", setting]
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"BEFORE_AFTER_RUNS": folder}
        done = subprocess.run(command, cwd=repo, env=environment, capture_output=True, text=True)
        if done.returncode:
            tell(done.stdout + done.stderr)
            raise subprocess.CalledProcessError(done.returncode, command)
        (run,) = (path.parent for path in Path(folder).glob("*/status.json"))
        yield run


def of_run(recipe: str, seed: int, run: Path) -> Seeded:
    """What the folder of a finished run says."""
    report = json.loads((run / "eval" / "report.json").read_text(encoding="utf-8"))
    status = json.loads((run / "status.json").read_text(encoding="utf-8"))
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    losses = [value["loss"] for line in lines if "loss" in (value := json.loads(line))]
    primary = next(metric for metric in report["metrics"] if metric["primary"])
    return Seeded(
        recipe=recipe,
        seed=seed,
        metric=primary["name"],
        base=primary["base"],
        tuned=primary["tuned"],
        minutes=status["seconds"] / 60,
        last_loss=statistics.fmean(losses[-10:]),
    )


def markdown(found: list[Seeded]) -> str:
    """A row a run, and a row for the mean of each recipe."""
    rows = []
    for recipe in dict.fromkeys(one.recipe for one in found):
        runs = [one for one in found if one.recipe == recipe]
        rows += [row(f"`{recipe}`, seed {one.seed}", [one]) for one in runs]
        rows.append(row(f"`{recipe}`, mean", runs))
    return table(("run", "metric", "base", "tuned", "mean of the last 10 losses", "minutes"), rows)


def row(title: str, runs: list[Seeded]) -> tuple[str, ...]:
    """The means of `runs`."""
    values = (statistics.fmean(getattr(one, name) for one in runs) for name in ("base", "tuned", "last_loss"))
    minutes = statistics.fmean(one.minutes for one in runs)
    return (title, runs[0].metric, *(f"{value:.4f}" for value in values), f"{minutes:.1f}")


if __name__ == "__main__":
    main()
