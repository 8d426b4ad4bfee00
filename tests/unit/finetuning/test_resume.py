"""A run that ended early goes on to exactly where an undisturbed one arrives."""

import shutil

import pytest
import torch
from safetensors.torch import load_file

from finetuning.runs import launch
from finetuning.runs.folder import create_run
from finetuning.training import run_training
from models import loading
from models.loading import device
from plumbing.errors import RunError

STEPS = 20


def stop_after(run, step):
    return lambda: run.status().done >= step and run.status().phase == "Fine-tuning"


def curve(run):
    return [(line["step"], line["loss"], line["learning_rate"], line["tokens"]) for line in run.metrics()[0]]


def weights(run):
    return load_file(run.tuned / "adapter_model.safetensors")


@pytest.fixture(
    scope="module", params=[("sentiment-smollm2-lora", "tiny_llama"), ("sentiment-minilm-lora", "tiny_bert")]
)
def undisturbed(request, recipe_on, tmp_path_factory):
    name, model = request.param
    more = ["model.precision=float32", f"training.max_steps={STEPS}", "evaluation.forgetting=false"]
    recipe = recipe_on(name, request.getfixturevalue(model), *more)  # 20 steps of 4 rows: more than two epochs
    run = create_run(recipe, tmp_path_factory.mktemp("whole"))
    run_training(run, run.cancel_requested)
    return run


@pytest.fixture
def interrupted(undisturbed, tmp_path):
    """Cancelled in its second epoch."""
    run = create_run(undisturbed.recipe(), tmp_path)
    run_training(run, stop_after(run, 13))
    assert run.status().state == "cancelled"
    return run


def go_on(run, monkeypatch):
    monkeypatch.setattr(launch, "_start", lambda queued: None)  # the work is done in this process
    launch.resume(run)
    assert run.status().state == "queued"
    run_training(run, run.cancel_requested)


def same(run, undisturbed):
    assert run.status().state == "finished"
    assert [line[0] for line in curve(run)] == list(range(1, STEPS + 1))
    # A GPU may add up the gradient of an attention in another order each time, and AdamW makes small ones large.
    close = {"atol": 1e-6, "rtol": 1e-5} if device().type == "cpu" else {"atol": 1e-4, "rtol": 1e-3}
    torch.testing.assert_close(torch.tensor(curve(run)), torch.tensor(curve(undisturbed)), **close)
    for key, value in weights(undisturbed).items():
        torch.testing.assert_close(weights(run)[key], value, **close, msg=key)


@pytest.mark.cuda
def test_a_cancelled_run_goes_on_to_the_same_end(undisturbed, interrupted, monkeypatch):
    assert 13 <= curve(interrupted)[-1][0] < STEPS
    go_on(interrupted, monkeypatch)
    same(interrupted, undisturbed)
    seconds = [line["seconds"] for line in interrupted.metrics()[0]]
    assert seconds == sorted(seconds)


@pytest.mark.cuda
def test_a_torn_checkpoint_is_ignored_and_the_one_before_it_taken(undisturbed, interrupted, monkeypatch):
    newest = interrupted.checkpoint()
    (newest / "DONE").unlink()
    (newest / "optimizer.pt").write_bytes(b"half")
    older = interrupted.checkpoint()
    assert older is not None and older != newest
    go_on(interrupted, monkeypatch)
    same(interrupted, undisturbed)


@pytest.mark.cuda
def test_without_a_whole_checkpoint_it_starts_again(undisturbed, interrupted, monkeypatch):
    shutil.rmtree(interrupted.checkpoints)
    go_on(interrupted, monkeypatch)
    same(interrupted, undisturbed)


@pytest.mark.cuda
def test_a_run_that_ended_in_its_evaluation_does_not_train_again(undisturbed, tmp_path, monkeypatch):
    run = create_run(undisturbed.recipe(), tmp_path)
    run_training(run, lambda: run.status().phase == "Comparing base and tuned")
    assert run.status().state == "cancelled"
    before = curve(run)
    go_on(run, monkeypatch)
    assert run.status().state == "finished"
    assert curve(run) == before


def test_only_a_run_that_ended_early_can_go_on(undisturbed):
    with pytest.raises(RunError, match="has finished"):
        launch.resume(undisturbed)


@pytest.mark.cuda
@pytest.mark.parametrize("computed", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["sentiment-smollm2-lora", "dialogue-smollm2-qlora"])
def test_an_adapter_is_float32_after_a_resume_whatever_is_computed_in(
    name, computed, tiny_llama, recipe_on, tmp_path, monkeypatch
):
    more = ["training.max_steps=8", "evaluation.forgetting=false", "evaluation.few_shot=0"]
    monkeypatch.setattr(loading, "best_precision", lambda: computed)
    run = create_run(recipe_on(name, tiny_llama, *more), tmp_path)
    run_training(run, stop_after(run, 4))
    go_on(run, monkeypatch)
    assert run.status().state == "finished"
    assert {value.dtype for value in weights(run).values()} == {torch.float32}
