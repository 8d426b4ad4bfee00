"""Training whole models: what is saved, what stays as it was, and that a run which ended early arrives where an
undisturbed one does. Runs end here before they are evaluated, but for the last test.
"""

import pytest
import torch
from safetensors.torch import load_file

from eval.report.folder import load as load_report
from finetuning.runs import launch
from finetuning.runs.folder import Run, create_run
from finetuning.training import run_training
from models import loading
from models.adapters import BaseOrigin
from models.loading import load
from models.pair import open_pair
from models.sources import resolve

STEPS = 12
CASES = {
    "causal, full": ("sentiment-smollm2-lora", "tiny_llama", ["strategy.kind=full", "training.learning_rate=1e-3"]),
    "causal, last": ("dialogue-smollm2-qlora", "tiny_llama", ["strategy.kind=last", "strategy.blocks=1"]),
    "causal, new": (
        "sentiment-smollm2-lora", "tiny_llama", ["strategy.kind=last", "strategy.blocks=1", "strategy.new=true"],
    ),
    "classifier, full": ("sentiment-minilm-lora", "tiny_bert", ["strategy.kind=full"]),
    "classifier, head": ("sentiment-minilm-lora", "tiny_bert", ["strategy.kind=last"]),
}  # fmt: skip


def trained(recipe, folder, stop=lambda run: False):
    run = create_run(recipe, folder)
    run_training(run, lambda: run.status().state == "evaluating" or stop(run))
    return run


def after(step):
    return lambda run: run.status().done >= step and run.status().phase == "Fine-tuning"


def lines(run):
    steps = [(line["step"], line["loss"], line["learning_rate"]) for line in run.metrics()[0]]
    return steps, [(line["step"], line["eval_loss"]) for line in run.evaluations()]


@pytest.fixture(scope="module", params=CASES)
def whole(request, recipe_on, tmp_path_factory):
    """An undisturbed run, whatever precision this machine likes best."""
    name, base, settings = CASES[request.param]
    more = [f"training.max_steps={STEPS}", "training.eval_steps=3", "evaluation.few_shot_draws=1"]
    recipe = recipe_on(name, request.getfixturevalue(base), *settings, *more)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(loading, "best_precision", lambda: "bfloat16")
        run = trained(recipe, tmp_path_factory.mktemp("whole"))
    assert run.tuned.name == "model"
    return run


def test_what_is_saved_is_a_model_in_float32_that_the_library_opens(whole):
    recipe = whole.recipe()
    names = {path.name for path in whole.tuned.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "prompt.json", "task.json"} <= names
    assert BaseOrigin.load(whole.tuned).precision == "float32" == whole.status().facts["precision"]
    assert not whole.checkpoints.exists()
    saved = load_file(whole.tuned / "model.safetensors")
    assert {value.dtype for value in saved.values()} == {torch.float32}
    opened = load(resolve(str(whole.tuned)), kind=recipe.kind, precision="float32", task=recipe.task_definition)
    values = dict(opened.model.named_parameters())
    for name, value in saved.items():
        assert torch.equal(values[name], value), name


def test_what_learns_has_moved_and_all_else_has_not(whole):
    recipe = whole.recipe()
    base = load(resolve(recipe.model.base), kind=recipe.kind, precision="float32", task=recipe.task_definition)
    learns = recipe.strategy.trained(base.model, recipe.kind)
    saved = load_file(whole.tuned / "model.safetensors")
    before = {name: value for name, value in base.model.named_parameters() if name in saved}
    assert before.keys() == saved.keys()
    # What is added to all keys alike changes nothing, so their bias hardly learns.
    still = {name for name, value in saved.items() if torch.equal(value, before[name])}
    assert still == saved.keys() - learns.keys()


def test_a_run_that_ended_early_goes_on_to_the_same_end(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "_start", lambda queued: None)  # the work is done in this process
    run = trained(whole.recipe(), tmp_path, after(7))
    assert run.status().state == "cancelled" and not run.tuned.exists()
    kept = run.checkpoint()
    learns = load_file(kept / "model.safetensors")  # and no more: the rest is the base's
    assert sum(value.numel() for value in learns.values()) == run.status().facts["trainable"]
    launch.resume(run)
    run_training(run, lambda: run.status().state == "evaluating")
    close = {"atol": 1e-6, "rtol": 1e-5}
    for ours, theirs in zip(lines(run), lines(whole), strict=True):
        torch.testing.assert_close(torch.tensor(ours), torch.tensor(theirs), **close)
    saved = load_file(run.tuned / "model.safetensors")
    for name, value in load_file(whole.tuned / "model.safetensors").items():
        torch.testing.assert_close(saved[name], value, **close, msg=name)
    assert run.status().facts["kept"] == whole.status().facts["kept"]


def test_a_whole_model_is_found_as_what_the_run_tuned(whole):
    assert Run(whole.folder).tuned == whole.folder / "model"


def test_it_is_evaluated_beside_its_base(whole, monkeypatch):
    """Last, since it takes the run to its end: it goes on where the others left it, before its evaluation."""
    monkeypatch.setattr(launch, "_start", lambda queued: None)
    steps = whole.metrics()[0]
    launch.resume(whole)
    run_training(whole, whole.cancel_requested)
    assert whole.status().state == "finished" and whole.metrics()[0] == steps
    report, rows = load_report(whole.evaluation)
    assert report.n == len(list(rows)) > 0
    assert (report.forgetting is not None) == whole.recipe().way.writes
    pair = open_pair(whole.tuned)
    assert pair.is_whole and pair.precision == "float32"
