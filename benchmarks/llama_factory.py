"""LLaMA-Factory's training on the same rows, where it is installed: `llamafactory-cli` on the PATH, or elsewhere.

It is given every row as it was rendered and cut here: its template adds nothing, and prompt and completion come as
text that it encodes apart, as we do. It keeps the order of the rows, so it trains on the same batches.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from benchmarks.training_process import Measured

if TYPE_CHECKING:
    from benchmarks.training import Case

COMMAND = "llamafactory-cli"
LOG = "trainer_log.jsonl"
"""A line a step, which it writes as soon as the step is over."""


def find(path: str | None) -> str | None:
    """The command: `path`, or what is on the PATH; None where there is none."""
    return shutil.which(path or COMMAND)


def first_loss(command: str, case: Case, overrides: tuple[str, ...], same: Measured) -> float:
    """The loss of the first step in float32, on the first rows of `same`: no weight has changed before it."""
    one = dataclasses.replace(same, rows=same.rows[:1], tokens=same.tokens[:1], flops=same.flops[:1])
    return run(command, case, overrides, one, exact=True).losses[0]


def run(command: str, case: Case, overrides: tuple[str, ...], same: Measured, *, exact: bool = False) -> Measured:
    """Train with LLaMA-Factory on the rows of `same`, a step each.

    Args:
        command: where its command is.
        case: the recipe.
        overrides: further settings of it.
        same: a run of ours on that recipe; its rows, tokens and `flops` are this run's.
        exact: compute in float32.

    Raises:
        subprocess.CalledProcessError: it failed; its output is on stderr.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = write_config(case, overrides, same, Path(folder), exact=exact)
        log, ends = Path(folder) / "output" / LOG, list[float]()
        with subprocess.Popen([command, "train", str(config)], stdout=sys.stderr, env=environment()) as process:
            while (ended := os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is None:
                lines = log.read_text(encoding="utf-8").count("\n") if log.exists() else 0
                ends += [time.perf_counter()] * (min(lines, len(same.rows)) - len(ends))
                time.sleep(0.02)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode or ended.si_status:
            raise subprocess.CalledProcessError(process.returncode, command)
        logged = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    losses = [float(line["loss"]) for line in logged if "loss" in line]
    assert len(ends) == len(losses) == len(same.rows), (
        f"{len(losses)} steps were logged, {len(same.rows)} asked for"
    )
    peak_mb = usage.ru_maxrss * 1024 / 1e6
    return dataclasses.replace(same, losses=losses, ends=ends, peak_mb=peak_mb, weight_mb=0.0)


def environment() -> dict[str, str]:
    """That of our worker, with its settings for malloc, told to look nothing up on the network."""
    from finetuning.runs.launch import worker_environment

    return worker_environment() | {"HF_HUB_OFFLINE": "1"}


def in_precision(base: Path, folder: Path, precision: str) -> Path:
    """`base` under a config that names `precision`: LLaMA-Factory loads it in what the config says."""
    folder.mkdir()
    for file in base.iterdir():
        (folder / file.name).symlink_to(file.resolve())
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").unlink()
    (folder / "config.json").write_text(json.dumps(config | {"dtype": precision}), encoding="utf-8")
    return folder


def write_config(case: Case, overrides: tuple[str, ...], same: Measured, folder: Path, *, exact: bool) -> Path:
    """Write dataset and settings into `folder`; returns the settings' file."""
    from finetuning.preparation import open_data
    from finetuning.recipe import load_recipe
    from finetuning.strategies.lora import ALL_LINEAR, Lora
    from models.loading import best_precision, device, load_tokenizer
    from models.prompting import Prompter
    from models.sources import resolve

    precision = "float32" if exact else best_precision()
    recipe = load_recipe(case.recipe, [*case.overrides, *overrides])
    base, train = resolve(recipe.model.base), open_data(recipe).splits["train"]
    prompter = Prompter(load_tokenizer(base), recipe.task_definition)
    task = recipe.task_definition
    rows = [
        {
            "instruction": prompter.prompt(str(row[task.input_column])),
            "input": "",
            "output": prompter.completion(task.references(row)[0]),
        }
        for row in (train[index] for batch in same.rows for index in batch)
    ]
    (folder / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    (folder / "dataset_info.json").write_text(json.dumps({"rows": {"file_name": "rows.json"}}), encoding="utf-8")
    training, lora = recipe.training, recipe.strategy
    assert isinstance(lora, Lora)
    settings: dict[str, Any] = {
        "model_name_or_path": str(in_precision(base.path, folder / "base", precision)),
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora",
        "lora_rank": lora.rank,
        "lora_alpha": int(lora.alpha),
        "lora_dropout": lora.dropout,
        "lora_target": "all" if lora.target_modules == ALL_LINEAR else ",".join(lora.target_modules),
        "dataset": "rows",
        "dataset_dir": str(folder),
        "template": "empty",
        "cutoff_len": training.max_tokens,
        "disable_shuffling": True,
        "per_device_train_batch_size": training.batch_size,
        "gradient_accumulation_steps": training.gradient_accumulation,
        "disable_gradient_checkpointing": True,  # it trades time for memory, and ours does without
        "max_steps": len(same.rows),
        "learning_rate": training.learning_rate,
        "lr_scheduler_type": "linear",
        "seed": training.seed,
        # Refused without a GPU: the base is in bfloat16 there all the same, and the adapter in float32.
        "pure_bf16": precision == "bfloat16" and device().type == "cuda",
        "logging_steps": 1,
        "save_strategy": "no",
        "output_dir": str(folder / "output"),
        "report_to": "none",
    }
    path = folder / "settings.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path
