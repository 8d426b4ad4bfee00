"""Part `llama`: the recipe for Llama-2-7B, on its shape with random weights: parameters, speed, settings, a report.

Ours and TRL's `SFTTrainer` train in turns on the same rows. Then ours trains with other settings, of which a
recipe for a GPU should have the best: rows at once, gradient checkpointing, the optimizer, the attention. At last
the recipe is run to its report as a worker runs it, and the adapter answers in a chat.
"""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.gpu import chat, shapes
from benchmarks.gpu.findings import Findings
from benchmarks.machine import SHAPES, matrix_product_peak
from benchmarks.training import OURS, TRL
from benchmarks.training_process import Measured, Prepared
from finetuning.recipe import Recipe, load_recipe, with_overrides

PART = "llama"
RECIPE = "dialogue-llama2-7b-qlora"
WARM_UP = 1
STEPS = 3
"""Timed ones."""


@dataclass(frozen=True)
class Setting:
    """Of how a step of eight rows is computed."""

    title: str
    rows: int
    """At once; the others of the eight follow before the optimizer's step."""
    arguments: dict[str, Any] = field(default_factory=dict)
    attention: str = "sdpa"


CHECKPOINTING = {"gradient_checkpointing": True}
SETTINGS = (
    Setting("8 rows, nothing computed again", 8),
    Setting("2 rows four times, nothing computed again", 2),
    Setting("8 rows, checkpointing, paged 8-bit AdamW", 8, CHECKPOINTING | {"optim": "paged_adamw_8bit"}),
    Setting("8 rows, checkpointing, eager attention", 8, CHECKPOINTING, attention="eager"),
)
"""Beside the recipe's own: 8 rows, gradient checkpointing, a fused AdamW, torch's own attention."""


def measure(findings: Findings, *, tiny: bool = False) -> None:
    """All of it; on a tiny shape where that is wished."""
    shape = shapes.TINY if tiny else "Llama-2-7B"
    started = time.perf_counter()
    with shapes.base_of(shape) as base:
        seconds = time.perf_counter() - started
        findings.add(PART, "Seconds", what=f"making {shape}'s weights", s=seconds)
        settings = [f"model.base={base}", *(["strategy.rank=4", "data.train_rows=32"] if tiny else [])]
        _train(findings, settings, tiny)
        _run_to_a_report(findings, settings, tiny)


def _train(findings: Findings, settings: list[str], tiny: bool) -> None:
    import torch

    from finetuning.estimates.estimate import estimate
    from finetuning.strategies.counts import count_parameters
    from models.loading import best_precision

    recipe = load_recipe(RECIPE, [*settings, f"training.max_steps={2 if tiny else WARM_UP + STEPS}"])
    started = time.perf_counter()
    prepared = Prepared(recipe)
    findings.add(PART, "Seconds", what="loading it in 4 bit", s=time.perf_counter() - started)
    model = recipe.apply_strategy(prepared.loaded.model)
    count, expected = count_parameters(model), estimate(recipe)
    model.unload()
    for what, counted, said in (
        ("trainable", count.trainable, expected.trainable),
        ("as stored", count.stored, expected.stored),
        ("unpacked", count.total, expected.total),
    ):
        findings.add(PART, "Parameters", what=what, counted=counted, the_estimate_says=said)
    peak = matrix_product_peak(best_precision(), SHAPES[:1] if tiny else SHAPES, seconds_a_shape=0.2)
    prepared.train("ours", recipe)  # what is made once, at the first step that a process takes
    for trainer in ("ours", "trl") if tiny else ("ours", "trl", "ours", "trl"):
        name = OURS if trainer == "ours" else TRL
        found = prepared.train(trainer, recipe)
        _add(findings, "Training steps of 8 rows, as the recipe has them, in turns", name, found, peak)
    for setting in SETTINGS[:1] if tiny else SETTINGS:
        prepared.loaded.model.set_attn_implementation(setting.attention)
        own = [f"training.batch_size={setting.rows}", f"training.gradient_accumulation={8 // setting.rows}"]
        own += [f"training.max_steps={recipe.training.max_steps}", "training.gradient_checkpointing=false"]
        try:
            found = prepared.train("ours", load_recipe(RECIPE, [*settings, *own]), setting.arguments)
        except (RuntimeError, ValueError) as error:  # out of memory, or not possible together
            findings.add(PART, "Settings", what=setting.title, problem=str(error)[:200])
            continue
        _add(findings, "Settings", setting.title, found, peak)
    prepared.loaded.model.set_attn_implementation("sdpa")
    if torch.cuda.is_available():
        _say_where_the_time_goes(findings, prepared, recipe)


def _say_where_the_time_goes(findings: Findings, prepared: Prepared, recipe: Recipe) -> None:
    """What takes most of two steps, on the card and on the processor that tells it what to do."""
    from torch.profiler import ProfilerActivity, profile

    recipe = with_overrides(recipe, {"training.max_steps": 2})
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        prepared.train("ours", recipe)
    every = list(seen.key_averages())
    for where, taken in (("the card", "self_device_time_total"), ("the processor", "self_cpu_time_total")):
        whole = sum(getattr(event, taken) for event in every)
        for event in sorted(every, key=lambda event: -getattr(event, taken))[:12]:
            spent = getattr(event, taken)
            findings.add(
                PART,
                f"Two steps of ours: {whole / 1e6:.2f} s of {where}",
                what=event.key[:70],
                share=spent / whole,
                calls=int(event.count),
            )


def _add(findings: Findings, title: str, name: str, found: Measured, peak: float) -> None:
    findings.add(
        PART,
        title,
        what=name,
        tokens_per_s=found.tokens_per_s(WARM_UP),
        s_a_step=found.seconds(WARM_UP) / (len(found.ends) - WARM_UP),
        peak_MiB=found.peak_mb * 1e6 / 2**20,
        TFLOP_per_s=found.gflop_per_s(WARM_UP) / 1e3,
        share_of_matrix_product_peak=found.gflop_per_s(WARM_UP) / peak,
        last_loss=found.losses[-1],
    )


def _run_to_a_report(findings: Findings, settings: list[str], tiny: bool) -> None:
    import torch

    from finetuning.estimates.estimate import estimate
    from finetuning.runs.folder import create_run
    from finetuning.training import run_training
    from models.tuned import weights_sha256

    own = ["training.max_steps=2", f"data.test_rows={4 if tiny else 16}"]
    own += ["evaluation.few_shot=0", "evaluation.forgetting=false"]
    recipe = load_recipe(RECIPE, [*settings, *own])
    gc.collect()  # the model that was trained before; its parts hold each other
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    with TemporaryDirectory() as folder:
        said = estimate(recipe)
        run = create_run(recipe, Path(folder))
        started = time.perf_counter()
        run_training(run, lambda: False)
        seconds, status = time.perf_counter() - started, run.status()
        findings.add(
            PART,
            "To a report, as a worker does it",
            what=f"2 steps, {recipe.data.test_rows} dialogues judged",
            s=seconds,
            of_it_training_s=status.training_seconds,
            peak_MiB=status.facts["peak_memory_mb"],
            the_estimate_says_MiB=said.memory_mb,
            estimate_over_peak=said.memory_mb / float(status.facts["peak_memory_mb"]),
            four_bit_share=status.facts["four_bit_share"],
            adapter=weights_sha256(run.tuned)[:8],
        )
        chat.ask(findings, PART, run.tuned, tokens=8 if tiny else 16, runs=1)
