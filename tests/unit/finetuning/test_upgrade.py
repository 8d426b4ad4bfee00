"""What version 1 wrote is still read: a recipe, a run, an adapter and a baseline, as it had them."""

import json

import pytest
import yaml

from eval.gate import read_baseline
from finetuning.recipe import load_recipe, parse_recipe
from finetuning.runs.beginning import Beginning
from finetuning.runs.folder import Run
from finetuning.upgrade import upgrade_settings
from models.pair import open_pair
from plumbing.errors import RunError

RECIPE = """\
# Dialogue summaries with a small language model.
name: dialogue-smollm2-qlora
title: Dialogue summary · QLoRA
task: dialogue
trainer: causal
strategy: qlora
data:
  source: corpus:dialogues
model:
  base: HuggingFaceTB/SmolLM2-135M-Instruct
  precision: nf4         # 4-bit NormalFloat, double quantisation
lora:
  rank: 8
  alpha: 16
  target_modules: [q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj]
training:
  epochs: 3
  batch_size: 8          # rows of about 200 tokens
  learning_rate: 5.0e-4
  max_tokens: 1024
evaluation:
  max_new_tokens: 64
  few_shot: 2
"""
OF_A_RUN = {
    "name": "sentiment-minilm-lora",
    "title": "Sentiment classifier · LoRA on MiniLM",
    "task": "sentiment",
    "trainer": "classifier",
    "strategy": "lora",
    "data": {"source": "corpus:reviews", "test": None, "columns": None, "labels": None, "skip_empty": False,
             "train_rows": None, "test_rows": None},
    "model": {"base": "sentence-transformers/all-MiniLM-L6-v2", "precision": "float32"},
    "lora": {"rank": 8, "alpha": 16.0, "dropout": 0.0, "target_modules": ["query", "value"]},
    "training": {"epochs": 8.0, "max_steps": None, "batch_size": 16, "gradient_accumulation": 1,
                 "gradient_checkpointing": False, "learning_rate": 0.001, "warmup_share": 0.05,
                 "weight_decay": 0.0, "max_tokens": 512, "max_minutes": None, "seed": 0},
    "evaluation": {"batch_size": None, "max_new_tokens": 64, "few_shot": 4, "few_shot_draws": 3,
                   "forgetting": True},
}  # fmt: skip
STATUS = {
    "state": "finished", "phase": "", "pid": 17, "pid_started": 1.5, "created": 1.7e9, "started": 1.7e9,
    "ended": 1.7e9, "heartbeat": 1.7e9, "done": 100, "total": 100, "seconds": 9.0, "longest_step_s": 0.1,
    "training_seconds": 4.0, "error": None, "door": "page", "facts": {"trainable": 74498, "loss": ""},
}  # fmt: skip


def dotted(values, prefix=""):
    for name, value in values.items():
        if isinstance(value, dict):
            yield from dotted(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


@pytest.fixture
def old_run(tiny_classifier_adapter, tmp_path):
    """A run's folder of version 1, with what a program of then wrote into it."""
    folder = tmp_path / "sentiment-minilm-lora-20260101-120000-00ff"
    folder.mkdir()
    (folder / "recipe.yaml").write_text(yaml.safe_dump(OF_A_RUN, sort_keys=False, allow_unicode=True))
    (folder / "status.json").write_text(json.dumps(STATUS))
    line = {"step": 1, "epoch": 0.01, "loss": 0.7, "learning_rate": 0.0, "grad_norm": 1.0, "tokens": 0,
            "token_accuracy": None, "seconds": 0.1, "memory_mb": 400}  # fmt: skip
    (folder / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    decides = {
        name: value
        for name, value in dotted(OF_A_RUN)
        if name.partition(".")[0] not in ("name", "title", "data", "evaluation") and "max_minutes" not in name
    }
    hashes = {"train_sha256": "a" * 64, "weights_sha256": "b" * 64, "tokens_sha256": "c" * 64}
    (folder / "began.json").write_text(
        json.dumps({"settings": decides, "precision": "float32", "base": "x", **hashes})
    )
    (folder / "adapter").symlink_to(tiny_classifier_adapter)  # which has no task.json, as those of then
    return Run(folder)


def test_a_recipe_is_read_as_the_one_that_ships_now(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(RECIPE)
    assert load_recipe(path) == load_recipe("dialogue-smollm2-qlora")
    changed = load_recipe(path, ["strategy.rank=4", "training.epochs=1"])
    assert (changed.strategy.rank, changed.training.epochs) == (4, 1)


def test_a_run_is_read_and_what_it_began_from_is_that_of_its_recipe(old_run):
    recipe = old_run.recipe()
    assert (recipe.way.kind, recipe.kind, recipe.strategy_title) == ("classify", "classifier", "LoRA")
    assert recipe == parse_recipe(OF_A_RUN)
    assert old_run.status().state == "finished" and len(old_run.metrics()[0]) == 1
    assert old_run.tuned == old_run.folder / "adapter"
    beginning = Beginning.load(old_run)
    beginning.check_settings(old_run, recipe)
    assert upgrade_settings({"way": "sft", "strategy.rank": 4}) == {"way.kind": "sft", "strategy.rank": 4}
    other = parse_recipe(OF_A_RUN | {"lora": OF_A_RUN["lora"] | {"rank": 4}})
    with pytest.raises(RunError, match=r"strategy\.rank was 8 at the checkpoint and is 4"):
        beginning.check_settings(old_run, other)


def test_an_adapter_without_a_task_is_opened_with_one_that_ships(old_run):
    assert not (old_run.tuned / "task.json").exists()
    pair = open_pair(old_run.tuned)
    assert pair.task.name == "sentiment" and pair.proof.largest_change > 0


def test_a_baseline_is_read(tmp_path):
    hashes = ("base_weights_sha256", "adapter_sha256", "prompt_sha256", "test_sha256")
    saved = {"name": "an-adapter", "task": "sentiment", "metric": "accuracy", "base_model": "a/base",
             "origin": "package mirror", **dict.fromkeys(hashes, "d" * 64), "precision": "float32",
             "versions": {"torch": "2.13.0"}, "created": "2026-01-01T12:00:00+00:00", "base": [0.0, 1.0],
             "tuned": [1.0, 1.0]}  # fmt: skip
    path = tmp_path / "an-adapter.json"
    path.write_text(json.dumps(saved))
    found = read_baseline(path)
    assert (found.task, found.metric, found.tuned) == ("sentiment", "accuracy", [1.0, 1.0])
