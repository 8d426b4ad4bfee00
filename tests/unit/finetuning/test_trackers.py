"""Trackers are told what the run folder holds; one that is not here is refused at once, as is an optimizer."""

import os

import pytest
from transformers import TrainerCallback
from transformers.integrations import integration_utils

from finetuning.runs.folder import create_run
from finetuning.trackers import TRACKERS, is_installed, require_tracker, tracker_arguments, writing_beside
from finetuning.trainers.arguments import shared_arguments
from finetuning.training import run_training
from plumbing.errors import RecipeError


def test_each_is_one_of_transformers_own():
    assert set(TRACKERS) <= set(integration_utils.INTEGRATION_TO_CALLBACK)


def test_one_that_is_not_installed_is_refused_before_any_data_is_read(tiny_bert, recipe_on, tmp_path, monkeypatch):
    monkeypatch.setattr("finetuning.trackers.is_installed", lambda name: False)
    monkeypatch.setattr("finetuning.training.open_data", lambda *_: pytest.fail("the data was read"))
    run = create_run(recipe_on("sentiment-minilm-lora", tiny_bert, "training.report_to=swanlab"), tmp_path)
    with pytest.raises(RecipeError, match="not installed") as caught:
        run_training(run, run.cancel_requested)
    assert "pip install swanlab" in caught.value.fix
    require_tracker(None)


def test_what_is_installed_is_seen_without_importing_it():
    assert is_installed("torch") and not is_installed("no_such_tracker")


def test_an_optimizer_that_this_device_lacks_is_refused_before_any_data_is_read(
    tiny_bert, recipe_on, tmp_path, monkeypatch
):
    monkeypatch.setattr("finetuning.training.open_data", lambda *_: pytest.fail("the data was read"))
    recipe = recipe_on("sentiment-minilm-lora", tiny_bert, "training.optimizer=paged-adamw-8bit")
    with pytest.raises(RecipeError, match="needs a GPU") as caught:
        run_training(create_run(recipe, tmp_path), lambda: False)
    assert caught.value.fix == "Set training.optimizer=adamw."
    assert shared_arguments(recipe, "runs/a/checkpoints", 48)["optim"] == "paged_adamw_8bit"


def test_it_is_told_every_step_and_the_validation_loss(tiny_bert, recipe_on, tmp_path, monkeypatch):
    told = []

    class Tracker(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            told.append((state.global_step, *(name for name in ("loss", "eval_loss") if name in logs)))

    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "dvclive", Tracker)
    monkeypatch.setattr("finetuning.trackers.is_installed", lambda name: True)
    more = ["training.report_to=dvclive", "training.max_steps=2", "training.eval_steps=2"]
    run = create_run(recipe_on("sentiment-minilm-lora", tiny_bert, *more), tmp_path)
    run_training(run, lambda: run.status().state == "evaluating")
    assert told[:3] == [(1, "loss"), (2, "loss"), (2, "eval_loss")]


def test_nothing_becomes_a_public_page():
    arguments = tracker_arguments("trackio", "a-run")
    assert arguments["trackio_static_space_id"] is False and arguments["run_name"] == "a-run"
    assert tracker_arguments(None, "a-run") == {"report_to": "none"}


def test_tensorboard_writes_beside_the_run_unless_somebody_says_where(tmp_path, monkeypatch):
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    with writing_beside(tmp_path):
        assert os.environ["TENSORBOARD_LOGGING_DIR"] == str(tmp_path / "tensorboard")
    assert "TENSORBOARD_LOGGING_DIR" not in os.environ
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", "elsewhere")
    with writing_beside(tmp_path):
        assert os.environ["TENSORBOARD_LOGGING_DIR"] == "elsewhere"
