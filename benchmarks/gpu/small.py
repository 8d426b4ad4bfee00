"""Part `small`: both recipes for SmolLM2, on its shape with random weights, by the command line to a report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.gpu import shapes
from benchmarks.gpu.findings import Findings
from benchmarks.results import ROOT

PART = "small"
RECIPES = ("sentiment-smollm2-lora", "dialogue-smollm2-qlora")
STEPS = 20
"""Of the 100 that the recipes take, so that both fit into a minute and a half; so are the test rows fewer."""
TEST_ROWS = 64


def measure(findings: Findings, *, tiny: bool = False) -> None:
    """Run them, and compare what was estimated with what was taken.

    Raises:
        RuntimeError: a run did not come to its report.
    """
    with shapes.base_of(shapes.TINY if tiny else "SmolLM2-135M") as base:
        for name in RECIPES[:1] if tiny else RECIPES:
            few = [f"data.test_rows={8 if tiny else TEST_ROWS}", "evaluation.few_shot_draws=1"]
            settings = [f"model.base={base}", f"training.max_steps={2 if tiny else STEPS}", *few]
            _run(findings, name, settings)


def _run(findings: Findings, name: str, settings: list[str]) -> None:
    from finetuning.estimates.estimate import estimate
    from finetuning.recipe import load_recipe

    recipe = load_recipe(name, settings)
    said = estimate(recipe)
    sets = [word for setting in settings for word in ("--set", setting)]
    command = [sys.executable, "-m", "finetuning", "train", name, *sets]
    with TemporaryDirectory() as folder:
        environment = os.environ | {"BEFORE_AFTER_RUNS": folder}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        reports = list(Path(folder).glob("*/eval/report.json"))
        if done.returncode or len(reports) != 1:
            logs = [path.read_text(encoding="utf-8")[-1500:] for path in Path(folder).glob("*/worker.log")]
            raise RuntimeError(f"{name} came to no report: {done.stdout[-500:]} {done.stderr[-500:]} {logs}")
        status = json.loads((reports[0].parents[1] / "status.json").read_text(encoding="utf-8"))
        lines = (reports[0].parents[1] / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        steps = [values for line in lines if "tokens" in (values := json.loads(line))]
        report = json.loads(reports[0].read_text(encoding="utf-8"))
    tokens, seconds = (steps[-1][key] - steps[0][key] for key in ("tokens", "seconds"))
    findings.add(
        PART,
        "Runs to a report",
        what=name,
        steps=len(steps),
        test_rows=report["n"],
        s=status["seconds"],
        of_it_training_s=status["training_seconds"],
        estimated_s=said.seconds,
        estimated_training_s=said.training_s,
        tokens_per_s=tokens / seconds,
        peak_MiB=status["facts"]["peak_memory_mb"],
        estimated_MiB=said.memory_mb,
        estimate_over_peak=said.memory_mb / status["facts"]["peak_memory_mb"],
        last_loss=steps[-1]["loss"],
    )
