"""python -m benchmarks.options NAME: the options for parameters on the same work, what each costs and gives.

Which they are is in `finetuning/recipes/options/NAME.yaml`: a recipe, and settings by which each option differs.
One run each, by the command line, as a person would; a row each: score, what was forgotten, parameters that learn,
time, peak memory, size on disk of what was tuned.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.machine import idle
from benchmarks.results import ROOT, table, tell
from benchmarks.seeds import finished_run

FOLDER = ROOT / "finetuning" / "recipes" / "options"


@dataclass(frozen=True)
class Measured:
    """One option's run."""

    name: str
    metric: str
    base: float
    tuned: float
    p: float
    perplexity: tuple[float, float] | None
    """On general text, of base and tuned."""
    trainable: int
    training_s: float
    peak_memory_mb: int
    disk_mb: float


def main() -> None:
    """Run every option and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("options", choices=sorted(path.stem for path in FOLDER.glob("*.yaml")))
    parser.add_argument("--only", nargs="+", metavar="NAME", help="some of the options; default: all")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of every run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there, too")
    chosen = parser.parse_args()
    values = yaml.safe_load((FOLDER / f"{chosen.options}.yaml").read_text(encoding="utf-8"))
    tell(idle())
    found = []
    for option in values["options"]:
        if chosen.only and option["name"] not in chosen.only:
            continue
        tell(f"{chosen.options}: {option['name']}")
        found.append(measure(values["recipe"], option["name"], [*option["set"], *chosen.set]))
        if chosen.json:  # after each: a run takes long
            chosen.json.write_text(json.dumps([asdict(one) for one in found], indent=2) + "\n", encoding="utf-8")
    print(markdown(found))


def measure(recipe: str, name: str, settings: Sequence[str]) -> Measured:
    """What a run of `recipe` with `settings` comes to.

    Raises:
        subprocess.CalledProcessError: it failed; its output is on stderr.
    """
    with finished_run(recipe, settings) as run:
        return of_run(name, run)


def of_run(name: str, run: Path) -> Measured:
    """What the folder of a finished run says."""
    report = json.loads((run / "eval" / "report.json").read_text(encoding="utf-8"))
    status = json.loads((run / "status.json").read_text(encoding="utf-8"))
    primary: dict[str, Any] = next(metric for metric in report["metrics"] if metric["primary"])
    forgetting = report["forgetting"]
    tuned = next(path for path in (run / "model", run / "adapter") if path.is_dir())
    return Measured(
        name=name,
        metric=primary["name"],
        base=primary["base"],
        tuned=primary["tuned"],
        p=primary["judgement"]["p_value"],
        perplexity=(forgetting["base_perplexity"], forgetting["tuned_perplexity"]) if forgetting else None,
        trainable=status["facts"]["trainable"],
        training_s=status["training_seconds"],
        peak_memory_mb=status["facts"]["peak_memory_mb"],
        disk_mb=sum(path.stat().st_size for path in tuned.rglob("*") if path.is_file()) / 2**20,
    )


def markdown(found: Sequence[Measured]) -> str:
    """A row an option."""
    rows = [
        (
            one.name,
            f"{one.base:.3f} → {one.tuned:.3f}",
            "{:.1f} → {:.1f}".format(*one.perplexity) if one.perplexity else "",
            f"{one.trainable:,}",
            f"{one.training_s:,.0f} s",
            f"{one.peak_memory_mb:,} MiB",
            f"{one.disk_mb:,.0f} MiB",
        )
        for one in found
    ]
    metric = found[0].metric if found else "score"
    head = ("", metric, "perplexity of general text", "trainable", "training", "peak memory", "on disk")
    return table(head, rows)


if __name__ == "__main__":
    main()
