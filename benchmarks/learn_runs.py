"""python -m benchmarks.learn_runs: the runs that go wrong on purpose, as the Learn tab shows them.

Which they are is in `finetuning/demonstrations/`: a full run at too high a rate, whose perplexity on general text
explodes, and one that learns a few rows by heart. One run each, by the command line, as a person would; what came
of them is written to `finetuning/demonstrations/results.json`, which the tab reads.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.machine import idle, processor
from benchmarks.results import commit, table, tell
from benchmarks.seeds import finished_run
from eval.report.figures import of_any_size
from eval.report.folder import load
from eval.report.headline import headline
from finetuning.demonstrations.demonstration import (
    RESULTS_FILE,
    Demonstration,
    Measured,
    Point,
    Results,
    demonstration_names,
    load_demonstration,
    stored,
)
from plumbing.writing import write_atomically

ANSWERS = 3
"""To general instructions, that are kept: the first that changed."""


def main() -> None:
    """Run them, write what came of them, and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    names = demonstration_names()
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of every run")
    parser.add_argument("--out", type=Path, default=RESULTS_FILE, metavar="FILE", help="default: where it is read")
    options = parser.parse_args()
    tell(idle())
    found = measured_here() if options.only and options.out == RESULTS_FILE else {}
    for name in options.only or names:
        tell(name)
        found[name] = measure(load_demonstration(name), options.set)
        write(found, options.out)  # after each: a run takes long
    print(markdown(found))


def measured_here() -> dict[str, Measured]:
    """What was measured before, on a machine like this one."""
    before = stored()
    same = before is not None and (before.processor, before.cores) == (processor(), _cores())
    return dict(before.runs) if before is not None and same else {}


def measure(demonstration: Demonstration, settings: list[str]) -> Measured:
    """What a run of it comes to, with more `settings`.

    Raises:
        subprocess.CalledProcessError: it failed; its output is on stderr.
    """
    chosen = [*demonstration.set, *settings]
    started = time.perf_counter()
    with finished_run(demonstration.recipe, chosen) as run:
        return of_run(chosen, run, time.perf_counter() - started)


def of_run(settings: list[str], run: Path, seconds: float) -> Measured:
    """What the folder of a finished run says."""
    report, _ = load(run / "eval")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    forgetting = report.forgetting
    changed = [answer for answer in forgetting.answers if answer.base != answer.tuned] if forgetting else []
    return Measured(
        set=tuple(settings),
        headline=headline(report),
        train_rows=report.train_rows,
        loss=_points(lines, "loss"),
        validation=_points(lines, "eval_loss"),
        perplexity=(forgetting.base_perplexity, forgetting.tuned_perplexity) if forgetting else None,
        agreement=forgetting.agreement if forgetting else None,
        answers=tuple(changed[:ANSWERS]),
        seconds=round(seconds, 1),
    )


def write(found: dict[str, Measured], file: Path) -> None:
    """Write `found` with the machine that it was measured on."""
    results = Results(
        processor=processor(),
        cores=_cores(),
        commit=commit(),
        measured=f"{datetime.now(UTC):%Y-%m-%d}",
        runs=found,
    )
    write_atomically(file, results.model_dump_json(indent=1) + "\n")


def markdown(found: dict[str, Measured]) -> str:
    """A row a run."""
    rows = [
        (
            name,
            one.headline,
            f"{one.loss[0][1]:.3f} → {one.loss[-1][1]:.3f}",
            f"{min(loss for _, loss in one.validation):.3f}, {one.validation[-1][1]:.3f}" if one.validation else "",
            " → ".join(map(of_any_size, one.perplexity or ())),
            f"{one.seconds:,.0f} s",
        )
        for name, one in found.items()
    ]
    head = ("", "verdict", "training loss", "validation loss: lowest, last", "perplexity of general text", "took")
    return table(head, rows)


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _points(lines: list[dict[str, Any]], name: str) -> tuple[Point, ...]:
    """The steps at which a value was written, and the value in five digits, which is more than a drawing shows."""
    return tuple((line["step"], float(f"{line[name]:.5g}")) for line in lines if line.get(name) is not None)


if __name__ == "__main__":
    main()
