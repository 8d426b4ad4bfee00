"""Runs that go wrong on purpose: what they are, and what is read of one that was run."""

import json

import pytest

from benchmarks import learn_runs
from finetuning.demonstrations import demonstration
from finetuning.demonstrations.demonstration import (
    Results,
    demonstration_names,
    load_demonstration,
    stored,
)
from finetuning.runs.folder import create_run
from finetuning.training import run_training
from plumbing.errors import RecipeError

STEPS = ["training.max_steps=4", "training.eval_steps=2", "training.eval_rows=4", "data.test_rows=8"]


@pytest.mark.parametrize("name", demonstration_names())
def test_each_is_a_recipe_that_ends_with_its_last_step_whatever_comes_of_it(name):
    found = load_demonstration(name)
    recipe = found.as_recipe()
    assert recipe.name == found.recipe and recipe.training.keep == "last" and recipe.strategy.whole
    assert found.command.startswith(f"python -m finetuning train {found.recipe} --set ")


def test_there_is_no_other():
    with pytest.raises(RecipeError, match="There are forgetting, overfitting"):
        load_demonstration("../recipes/sentiment-minilm-lora")


@pytest.fixture(scope="module")
def run(recipe_on, tiny_llama, tmp_path_factory):
    """A finished run of the recipe that forgets, over a tiny model."""
    recipe = recipe_on("sentiment-smollm2-lora", tiny_llama, "strategy.kind=full", "evaluation.few_shot=0", *STEPS)
    made = create_run(recipe, tmp_path_factory.mktemp("runs"))
    run_training(made, made.cancel_requested)
    return made


def test_what_came_of_a_run_is_what_its_folder_says(run):
    found = learn_runs.of_run(["strategy.kind=full"], run.folder, 12.34)
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    report = json.loads((run.evaluation / "report.json").read_text())
    assert [step for step, _ in found.loss] == [1, 2, 3, 4] and [step for step, _ in found.validation] == [2, 4]
    assert found.loss[0][1] == pytest.approx(next(line["loss"] for line in lines if "loss" in line), rel=1e-4)
    forgetting = report["forgetting"]
    assert found.perplexity == (forgetting["base_perplexity"], forgetting["tuned_perplexity"])
    assert all(answer.base != answer.tuned for answer in found.answers) and len(found.answers) <= 3
    assert found.train_rows == report["train_rows"] and found.seconds == 12.3


def test_what_was_measured_is_read_back_and_a_damaged_file_is_none(run, tmp_path, monkeypatch):
    file = tmp_path / "results.json"
    monkeypatch.setattr(demonstration, "RESULTS_FILE", file)
    assert stored() is None
    found = {"forgetting": learn_runs.of_run(["strategy.kind=full"], run.folder, 60.0)}
    learn_runs.write(found, file)
    results = stored()
    assert isinstance(results, Results) and results.runs == found and results.cores >= 1
    assert "| forgetting |" in learn_runs.markdown(found)
    file.write_text(file.read_text()[:-30])
    assert stored() is None


def test_results_of_another_machine_are_not_mixed_with_those_of_this_one(run, tmp_path, monkeypatch):
    file = tmp_path / "results.json"
    monkeypatch.setattr(demonstration, "RESULTS_FILE", file)
    learn_runs.write({"forgetting": learn_runs.of_run([], run.folder, 60.0)}, file)
    assert list(learn_runs.measured_here()) == ["forgetting"]
    monkeypatch.setattr(learn_runs, "processor", lambda: "another")
    assert learn_runs.measured_here() == {}
