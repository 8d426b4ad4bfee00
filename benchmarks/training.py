"""python -m benchmarks.training: training steps of ours against TRL's `SFTTrainer` and LLaMA-Factory's, same rows.

Each run has a process of its own: ours in the worker's environment, whose settings let malloc keep what was freed;
TRL once in the shell's, as a user would start it, and once in the worker's, so that only the step is compared.
First the losses of both are compared step by step in float32; then they are timed in turns in the precision of the
recipe. LLaMA-Factory takes part where its command is found.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import partial

from benchmarks import llama_factory
from benchmarks.machine import matrix_product_peak
from benchmarks.results import ROOT, DisagreementError, in_turns, median, table, tell
from benchmarks.training_process import Measured

WARM_UP = 2
"""Steps before the timed ones."""
CHECKED = ("training.batch_size=4",)
"""Settings of the comparison in float32, so that it takes a minute and not ten."""
CHECKED_STEPS = 3
TOLERANCE = 1e-4
TRL, OURS, LLAMA_FACTORY = "TRL's SFTTrainer", "Before/After", "LLaMA-Factory"
TRL_SAME_MALLOC = "TRL's SFTTrainer, our malloc settings"


@dataclass(frozen=True)
class Case:
    """What is trained: a recipe, with settings on top."""

    title: str
    recipe: str
    overrides: tuple[str, ...] = ()


CASES = {
    "sentiment-lora": Case("Sentiment, LoRA", "sentiment-smollm2-lora"),
    "sentiment-qlora": Case(
        "Sentiment, QLoRA", "sentiment-smollm2-lora", ("strategy=qlora", "model.precision=nf4")
    ),
    "dialogue-lora": Case("Dialogue, LoRA", "dialogue-smollm2-qlora", ("strategy=lora", "model.precision=auto")),
    "dialogue-qlora": Case("Dialogue, QLoRA", "dialogue-smollm2-qlora"),
}


@dataclass(frozen=True)
class Comparison:
    """One case, measured."""

    case: Case
    difference: float
    """The largest between two losses of the same step in float32, ours and TRL's."""
    runs: dict[str, list[Measured]]
    """By the trainer's name."""
    peak_gflop_per_s: float
    note: str = ""

    def median(self, name: str, value: str) -> float:
        """The median over a trainer's runs of a method or field of `Measured`."""
        found = (getattr(run, value) for run in self.runs[name])
        return median(each(WARM_UP) if callable(each) else each for each in found)

    def ratio(self, over: str) -> float:
        """Our tokens a second over another trainer's."""
        return self.median(OURS, "tokens_per_s") / self.median(over, "tokens_per_s")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=CASES, action="append", help="default: all")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6, help="timed ones; two before them are not")
    parser.add_argument("--llamafactory", metavar="PATH", help="its command, where it is not on the PATH")
    options = parser.parse_args()
    print(markdown(measure(**vars(options) | {"cases": vars(options).pop("case")})))


def measure(
    *, runs: int = 3, steps: int = 6, cases: list[str] | None = None, llamafactory: str | None = None
) -> list[Comparison]:
    """Check, then time, each of `cases` (default: all).

    Raises:
        DisagreementError: losses of the same step differ in float32 by more than `TOLERANCE`.
    """
    from models.loading import best_precision

    peak = matrix_product_peak(best_precision())
    return [compare(CASES[name], runs, steps, peak, llamafactory) for name in cases or CASES]


def compare(case: Case, runs: int, steps: int, peak: float, llamafactory: str | None) -> Comparison:
    """Check one case, then time it."""
    tell(f"{case.title}: the losses in float32")
    exact = {
        trainer: run_process(trainer, case, CHECKED_STEPS, exact=True, overrides=CHECKED)
        for trainer in ("trl", "ours")
    }
    difference = largest_difference(exact["trl"].losses, exact["ours"].losses)
    if exact["trl"].rows != exact["ours"].rows or not difference <= TOLERANCE:
        raise DisagreementError(f"{case.title}: in float32 the losses differ by up to {difference:.2g}")
    tell(f"{case.title}: largest difference {difference:.2g}")
    ways = {
        TRL: partial(run_process, "trl", case, WARM_UP + steps),
        TRL_SAME_MALLOC: partial(run_process, "trl", case, WARM_UP + steps, malloc=True),
        OURS: partial(run_process, "ours", case, WARM_UP + steps),
    }
    command, note = llama_factory.find(llamafactory), ""
    if command is None:
        note = "LLaMA-Factory was left out: its command `llamafactory-cli` was not found."
    elif "QLoRA" in case.title:
        note = "LLaMA-Factory takes part with LoRA only."
    else:
        apart = abs(llama_factory.first_loss(command, case, CHECKED, exact["ours"]) - exact["ours"].losses[0])
        if not apart <= TOLERANCE:
            raise DisagreementError(f"{case.title}: LLaMA-Factory's first loss differs by {apart:.2g} in float32")
        note = (
            "LLaMA-Factory was given the same tokens and our malloc settings; its first loss in float32 differs by "
            f"{apart:.1g}."
        )
        ours = run_process("ours", case, WARM_UP + steps)  # which rows a step has
        ways[LLAMA_FACTORY] = partial(llama_factory.run, command, case, (), ours)
    found = in_turns(ways, runs)
    first = found[OURS][0]
    if any(run.rows != first.rows for side in found.values() for run in side):
        raise DisagreementError(f"{case.title}: not every run trained on the same rows")
    return Comparison(case, difference, found, peak, note)


def largest_difference(one: list[float], other: list[float]) -> float:
    """Between two lists of losses; not a number where one of the losses is none."""
    differences = [abs(a - b) for a, b in zip(one, other, strict=True)]
    return math.nan if any(map(math.isnan, differences)) else max(differences)


def run_process(
    trainer: str,
    case: Case,
    steps: int,
    *,
    exact: bool = False,
    malloc: bool = False,
    overrides: tuple[str, ...] = (),
) -> Measured:
    """What `benchmarks.training_process` finds in a process of its own.

    Args:
        trainer: `ours`, which runs in the worker's environment, or `trl`, which runs in the shell's.
        case: the recipe.
        steps: how many, those that warm up among them.
        exact: compute in float32.
        malloc: run TRL in the worker's environment, too.
        overrides: further settings of the recipe.
    """
    from finetuning.runs.launch import worker_environment

    command = [sys.executable, "-m", "benchmarks.training_process", trainer, case.recipe, "--steps", str(steps)]
    for setting in (*case.overrides, *overrides):
        command += ["--set", setting]
    environment = worker_environment() if malloc or trainer == "ours" else dict(os.environ)
    command += ["--exact"] if exact else []
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        tell(done.stderr)
        raise subprocess.CalledProcessError(done.returncode, command)
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def markdown(comparisons: list[Comparison]) -> str:
    """A table a case."""
    first = comparisons[0]
    runs, steps = len(first.runs[OURS]), len(first.runs[OURS][0].losses) - WARM_UP
    peak = first.peak_gflop_per_s
    parts = [
        f"Medians of {runs} runs in turns, each {steps} steps after {WARM_UP} to warm up, in a process of its own. "
        "Tokens are those of the rows, prompts included and padding left out. The share is that of the fastest "
        f"matrix product measured here, {peak:.0f} GFLOP/s; what it counts is written at `product_flops` in "
        "`benchmarks/training_process.py`."
    ]
    parts += [case_markdown(comparison) for comparison in comparisons]
    return "\n\n".join([*parts, *memory_sentences(comparisons)])


def case_markdown(comparison: Comparison) -> str:
    """A heading, the check, and a row a trainer."""
    case, runs = comparison.case, comparison.runs[OURS]
    rows = []
    for name in comparison.runs:
        share = comparison.median(name, "gflop_per_s") / comparison.peak_gflop_per_s
        weight = comparison.median(name, "weight_mb")
        rows.append(
            (
                name,
                f"{comparison.median(name, 'tokens_per_s'):.0f}",
                f"{comparison.median(name, 'examples_per_s'):.2f}",
                f"{comparison.median(name, 'peak_mb'):,.0f}",
                f"{weight:.0f}" if weight else "",
                f"{share:.0%}",
                f"{comparison.ratio(name):.2f}" if name != OURS else "",
            )
        )
    head = (
        "",
        "tokens/s",
        "examples/s",
        "peak memory, MB",
        "base weights, MB",
        "share of peak",
        "ours is faster by",
    )
    size = len(runs[0].rows[0])
    tokens = sum(runs[0].tokens[WARM_UP:]) / (size * len(runs[0].tokens[WARM_UP:]))
    said = [
        f"### {case.title}",
        f"`{case.recipe}`, {runs[0].precision}, batches of {size} rows of {tokens:.0f} tokens on average. In "
        f"float32 the first {CHECKED_STEPS} losses of TRL and ours are equal to {comparison.difference:.1g}.",
        table(head, rows),
    ]
    return "\n\n".join([*said, comparison.note] if comparison.note else said)


def memory_sentences(comparisons: list[Comparison]) -> list[str]:
    """QLoRA against LoRA, where both were measured."""
    found = {comparison.case.title: comparison for comparison in comparisons}
    sentences = []
    for task in ("Sentiment", "Dialogue"):
        if f"{task}, LoRA" not in found or f"{task}, QLoRA" not in found:
            continue
        lora, qlora = found[f"{task}, LoRA"], found[f"{task}, QLoRA"]
        speed = qlora.median(OURS, "tokens_per_s") / lora.median(OURS, "tokens_per_s")
        weights = qlora.median(OURS, "weight_mb") / lora.median(OURS, "weight_mb")
        sentences.append(
            f"{task}: our QLoRA has {speed:.2f} times the tokens/s of our LoRA, and its base takes {weights:.2f} "
            "times the memory."
        )
    return sentences


if __name__ == "__main__":
    main()
