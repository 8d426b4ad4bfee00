"""python -m benchmarks.ranks: the same run in one process and in several of this machine, in turns.

Real runs, without their evaluation, in float32 and without dropout, so that every step can be compared: the
largest difference of a loss is printed first. Then, as a median over the runs, tokens a second over the steps after
the first two, the seconds of the whole run, and the memory that all its processes took. `--processes 1 2 4` says
how many.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.results import DisagreementError, in_turns, median, table
from finetuning.recipe import load_recipe
from finetuning.runs import launch

WARM_UP = 2
"""Steps before those that are timed."""
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Measured:
    """One run."""

    losses: list[float]
    tokens_a_second: float
    seconds: float
    memory_mb: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--recipe", default="sentiment-smollm2-lora")
    parser.add_argument("--set", action="append", default=[], dest="settings", help="a setting, as of the command")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    settings = [
        "model.precision=float32",
        "training.eval_rows=0",
        "evaluation.skip=true",
        f"training.max_steps={options.steps}",
        *options.settings,
    ]
    with tempfile.TemporaryDirectory() as folder:
        ways = {
            str(count): partial(_run, options.recipe, [*settings, f"where=here:{count}"], Path(folder))
            for count in options.processes
        }
        found = in_turns(ways, options.runs)
    print(compared(found))


def _run(name: str, settings: Sequence[str], folder: Path) -> Measured:
    run = launch.submit(load_recipe(name, settings), folder)
    for _ in launch.wait(run):
        pass
    status = run.status()
    if status.state != "finished":
        raise DisagreementError(f"{run.id}: {status.error}")
    lines, _ = run.metrics()
    timed, before = lines[WARM_UP:], lines[WARM_UP - 1]["tokens"]
    return Measured(
        losses=[line["loss"] for line in lines],
        tokens_a_second=(lines[-1]["tokens"] - before) / sum(line["step_seconds"] for line in timed),
        seconds=status.seconds,
        memory_mb=float(status.facts["peak_memory_mb"]),
    )


def compared(found: dict[str, list[Measured]]) -> str:
    """What came of the runs, as Markdown; the first column is how many processes.

    Raises:
        DisagreementError: losses differ by more than rounding.
    """
    first, *others = (runs[0].losses for runs in found.values())
    apart = max((abs(a - b) for other in others for a, b in zip(first, other, strict=True)), default=0.0)
    if apart > TOLERANCE:
        raise DisagreementError(f"a step's loss differs by {apart:.3g}")
    rows = [
        [
            count,
            f"{median(run.tokens_a_second for run in runs):.0f}",
            f"{median(run.seconds for run in runs):.1f}",
            f"{median(run.memory_mb for run in runs):.0f}",
        ]
        for count, runs in found.items()
    ]
    head = ["processes", "tokens/s", "whole run, s", "memory, MB"]
    return f"Largest difference of a step's loss: {apart:.2g}\n\n{table(head, rows)}"


if __name__ == "__main__":
    main()
