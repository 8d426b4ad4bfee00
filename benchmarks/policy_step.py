"""python -m benchmarks.policy_step: the parts of a step of policy optimisation, ours against TRL's `GRPOTrainer`.

24 completions of four bundled dialogues. First both are compared on the same completions; then each runs in a
process of its own, in turns: ours in the worker's environment, whose settings let malloc keep what was freed; TRL
once in the shell's, as a user would start it, and once in the worker's.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Any

from benchmarks import machine
from benchmarks.policy_step_process import (
    ANSWERS,
    BASE,
    PARTS,
    PROMPTS,
    SAMPLING,
    WRITTEN,
    Agreement,
    Measured,
)
from benchmarks.results import ROOT, DisagreementError, in_turns, median, table, tell

TOLERANCE = 1e-3
"""Of a token's log-probability behind thirty layers, and of a weight's gradient, relative; the unit tests ask for
1e-4 of smaller models."""
TRL, TRL_SAME_MALLOC, OURS = "TRL's GRPOTrainer", "TRL's GRPOTrainer, our malloc settings", "Before/After"


@dataclass(frozen=True)
class Comparison:
    """Both sides, measured."""

    agreement: Agreement
    runs: dict[str, list[Measured]]
    """By who computed."""

    def seconds(self, name: str, part: str) -> float:
        """The median over all steps of all runs."""
        return median(value for run in self.runs[name] for value in run.seconds[part])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1, help="of each side, in turns")
    parser.add_argument("--steps", type=int, default=3, help="timed ones a run; one before them is not")
    parser.add_argument("--base", default=BASE, help="a model, by its name or folder")
    options = parser.parse_args()
    print(machine.idle())
    print(markdown(measure(**vars(options))))


def measure(*, runs: int = 1, steps: int = 3, base: str = BASE) -> Comparison:
    """Check, then time.

    Raises:
        DisagreementError: the sides' log-probabilities or gradients differ by more than `TOLERANCE`.
    """
    tell("the same log-probabilities and gradients?")
    agreement = Agreement(**run_process("check", base, steps, malloc=True))
    if not max(agreement.log_probs, agreement.gradients) <= TOLERANCE:
        raise DisagreementError(f"log-probabilities or gradients differ: {agreement}")

    def run(side: str, *, malloc: bool) -> Measured:
        return Measured(**run_process(side, base, steps, malloc=malloc))

    ways = {
        TRL: partial(run, "trl", malloc=False),
        TRL_SAME_MALLOC: partial(run, "trl", malloc=True),
        OURS: partial(run, "ours", malloc=True),
    }
    return Comparison(agreement, in_turns(ways, runs))


def run_process(side: str, base: str, steps: int, *, malloc: bool) -> dict[str, Any]:
    """What `benchmarks.policy_step_process` finds, in the worker's environment if `malloc`."""
    from finetuning.runs.launch import worker_environment

    command = [sys.executable, "-m", "benchmarks.policy_step_process", side, "--steps", str(steps), "--base", base]
    environment = worker_environment() if malloc else dict(os.environ)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        tell(done.stderr)
        raise subprocess.CalledProcessError(done.returncode, command)
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def markdown(found: Comparison) -> str:
    """A sentence and a table: seconds a part, and how many times as long the others take."""
    first = found.runs[OURS][0]
    runs, steps = len(found.runs[OURS]), len(first.seconds[SAMPLING])
    rows = []
    for part in (*PARTS, "together"):
        parts = PARTS if part == "together" else (part,)
        taken = {name: sum(found.seconds(name, each) for each in parts) for name in found.runs}
        times = [f"{seconds:.2f}" for seconds in taken.values()]
        rows.append((part, *times, *(f"{taken[name] / taken[OURS]:.1f}" for name in (TRL, TRL_SAME_MALLOC))))
    tokens = PROMPTS * ANSWERS * WRITTEN
    said = (
        f"{PROMPTS} prompts of {fmean(first.prompt_tokens):.0f} tokens on average, {ANSWERS} completions of "
        f"{WRITTEN} tokens each; {first.precision}. Medians of {runs * steps} steps, in seconds. On the same "
        f"completions log-probabilities differ by up to {found.agreement.log_probs:.1g}, gradients by up to "
        f"{found.agreement.gradients:.1g} of their norm. Ours writes {tokens / found.seconds(OURS, SAMPLING):.0f} "
        f"tokens a second, TRL's {tokens / found.seconds(TRL, SAMPLING):.0f}."
    )
    head = ("", *found.runs, "ours is faster by", "with the same malloc by")
    return f"{said}\n\n{table(head, rows)}"


if __name__ == "__main__":
    main()
