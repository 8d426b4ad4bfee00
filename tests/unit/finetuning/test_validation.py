"""The validation loss: it is the plain library's, changes nothing of the training, and says which step is kept."""

import dataclasses
import math

import pytest
import torch
from safetensors.torch import load_file

from data.samples import sample
from eval.scores import row_scores
from finetuning.preparation import open_data
from finetuning.runs import launch
from finetuning.runs.folder import create_run
from finetuning.trainers.arguments import eval_steps, shared_arguments
from finetuning.trainers.task_metric import ROWS
from finetuning.training import run_training
from models.fast.llama import LlamaLayers
from models.generation import answer_batch
from models.loading import load
from models.pair import open_pair
from models.scoring import score_labels
from models.sources import resolve
from plumbing.errors import RecipeError

CAUSAL, CLASSIFIER = ("sentiment-smollm2-lora", "tiny_llama"), ("sentiment-minilm-lora", "tiny_bert")
ASTRAY = ["training.learning_rate=0.05", "training.schedule=constant", "training.warmup_share=0"]
"""Too fast: the validation loss soon rises."""


def trained(recipe, folder, stop=lambda run: False):
    run = create_run(recipe, folder)
    run_training(run, lambda: run.status().state == "evaluating" or stop(run))
    return run


def measured(run):
    return [(line["step"], line["eval_loss"]) for line in run.evaluations()]


def weights(run):
    return load_file(run.tuned / "adapter_model.safetensors")


@pytest.mark.parametrize(("name", "model"), [CAUSAL, CLASSIFIER])
def test_it_is_the_plain_librarys_over_whole_rows(name, model, recipe_on, request, tmp_path, monkeypatch):
    by_hand, own = [], LlamaLayers.infer
    monkeypatch.setattr(LlamaLayers, "infer", lambda *given, **more: by_hand.append(1) or own(*given, **more))
    recipe = recipe_on(name, request.getfixturevalue(model), "model.precision=float32")
    way, task = recipe.way, recipe.task_definition
    loaded = load(resolve(recipe.model.base), kind=recipe.kind, precision="float32", task=task)
    rows = way.encode(open_data(recipe).splits["train"].select(range(11)), loaded.tokenizer, recipe, task)
    model, total, count = recipe.apply_strategy(loaded.model).eval(), 0.0, 0
    for row in rows:
        logits = model(input_ids=torch.tensor([row["input_ids"]])).logits[0].log_softmax(-1)
        if way.writes:
            wanted = [place for place, learned in enumerate(row["completion_mask"]) if learned]
            total -= sum(logits[place - 1, row["input_ids"][place]].item() for place in wanted)
            count += len(wanted)
        else:
            total, count = total - logits[row["labels"]].item(), count + 1
    trainer = way.trainer(recipe, model, loaded.tokenizer, rows, str(tmp_path / "run" / "checkpoints"), [], rows)
    trainer.model.train()
    state = torch.get_rng_state()
    assert trainer.evaluate() == {"eval_loss": pytest.approx(total / count, rel=1e-5)}
    assert trainer.model.training and torch.equal(torch.get_rng_state(), state)
    assert bool(by_hand) == way.writes
    assert all(value.grad is None for value in trainer.model.parameters())


def test_a_run_learns_the_same_with_it_and_without(tiny_bert, recipe_on, tmp_path):
    settings = ["training.max_steps=6", "training.keep=last"]  # this model drops a tenth of what it computes
    with_it = trained(recipe_on("sentiment-minilm-lora", tiny_bert, *settings, "training.eval_steps=1"), tmp_path)
    without = trained(recipe_on("sentiment-minilm-lora", tiny_bert, *settings, "training.eval_rows=0"), tmp_path)
    assert len(measured(with_it)) == 6 and measured(without) == []
    assert [line["loss"] for line in with_it.metrics()[0]] == [line["loss"] for line in without.metrics()[0]]
    for name, value in weights(without).items():
        assert torch.equal(weights(with_it)[name], value)
    assert "The last step was kept" in with_it.status().facts["kept"]


@pytest.fixture(scope="module")
def astray(tiny_bert, recipe_on, tmp_path_factory):
    """A run that keeps its best step, which is none of its last."""
    more = [*ASTRAY, "training.max_steps=12", "training.eval_steps=2"]
    return trained(recipe_on("sentiment-minilm-lora", tiny_bert, *more), tmp_path_factory.mktemp("astray"))


def test_the_best_step_is_what_is_saved(astray, tiny_bert, recipe_on, tmp_path):
    assert [step for step, _ in measured(astray)] == [2, 4, 6, 8, 10, 12]
    best, loss = min(measured(astray), key=lambda one: one[1])
    assert best < 10
    expected = f"Step {best} was kept, whose validation loss was the lowest, {loss:.3g}."
    assert astray.status().facts["kept"] == expected
    more = [*ASTRAY, f"training.max_steps={best}", "training.eval_rows=0"]
    as_far = trained(recipe_on("sentiment-minilm-lora", tiny_bert, *more), tmp_path)
    assert "kept" not in as_far.status().facts
    for name, value in weights(as_far).items():
        assert torch.equal(weights(astray)[name], value), name


def test_it_stops_when_there_is_no_gain(astray, tiny_bert, recipe_on, tmp_path):
    more = [*ASTRAY, "training.max_steps=12", "training.eval_steps=2", "training.patience=1"]
    run = trained(recipe_on("sentiment-minilm-lora", tiny_bert, *more), tmp_path)
    losses = [loss for _, loss in measured(astray)]
    first = next(number for number in range(1, 6) if losses[number] >= min(losses[:number]))
    assert len(measured(run)) == first + 1 < 6
    assert run.metrics()[0][-1]["step"] == 2 * (first + 1)
    assert f"Training stopped early, after step {2 * (first + 1)}." in run.status().facts["kept"]
    assert f"Step {2 * first} was kept" in run.status().facts["kept"]


def test_a_run_that_goes_on_remembers_what_was_best(astray, tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "_start", lambda queued: None)  # the work is done in this process
    best, _ = min(measured(astray), key=lambda one: one[1])
    step = best + 1
    run = trained(astray.recipe(), tmp_path, lambda run: run.status().done >= step)
    assert run.status().state == "cancelled"
    assert [folder.name for folder in run.checkpoints.glob("best-*")] == [f"best-{best}"]
    launch.resume(run)
    run_training(run, lambda: run.status().state == "evaluating")
    assert run.status().facts["kept"] == astray.status().facts["kept"]
    for name, value in weights(astray).items():
        torch.testing.assert_close(weights(run)[name], value, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("schedule", "share"), [("constant", lambda done: 1.0),
                                                 ("cosine", lambda done: (1 + math.cos(math.pi * done)) / 2),
                                                 ("linear", lambda done: 1 - done)])  # fmt: skip
def test_the_learning_rate_goes_as_the_schedule_says(schedule, share, tiny_bert, recipe_on, tmp_path):
    more = [f"training.schedule={schedule}", "training.max_steps=8", "training.warmup_share=0.25"]
    run = trained(recipe_on("sentiment-minilm-lora", tiny_bert, *more, "training.eval_rows=0"), tmp_path)
    rates = [line["learning_rate"] for line in run.metrics()[0]]
    peak = run.recipe().training.learning_rate
    assert rates[:2] == pytest.approx([0, peak / 2])
    assert rates[2:] == pytest.approx([peak * share(done / 6) for done in range(6)])


def test_it_is_measured_about_ten_times_and_takes_little_of_a_run(tiny_bert, recipe_on):
    def every(*more):
        return eval_steps(recipe_on("sentiment-minilm-lora", tiny_bert, "training.batch_size=10", *more), 1000, 100)

    assert every("training.max_steps=1000") == 100
    assert every("training.max_steps=150") == 50  # 300 rows are a fifth of 1,500
    assert every("training.max_steps=150", "training.patience=2") == 15  # who wants to stop early has to know early
    assert every("training.max_steps=5") == 5
    assert every("training.max_steps=5", "training.eval_steps=2") == 2


@pytest.mark.parametrize(
    ("name", "model", "settings"),
    [
        (*CAUSAL, []),
        (*CAUSAL, ["strategy.kind=full"]),
        (*CAUSAL, ["strategy.dora=true"]),
        (*CLASSIFIER, ["strategy.dora=true", "strategy.rslora=true"]),
        (*CLASSIFIER, []),
        ("dialogue-smollm2-qlora", "tiny_llama", ["strategy=lora", "evaluation.max_new_tokens=8"]),
        ("dialogue-smollm2-qlora", "tiny_llama", ["strategy.kind=last"]),
    ],
)
def test_the_tasks_metric_is_that_of_the_evaluation(name, model, settings, recipe_on, request, tmp_path):
    """Asked as it is while it learns, and opened from what was saved and asked by the ways of an evaluation."""
    more = ["model.precision=float32", "training.eval_metric=true", "training.max_steps=3", *settings]
    recipe = recipe_on(name, request.getfixturevalue(model), *more, "training.learning_rate=0.01")
    run = trained(recipe, tmp_path)
    measured = run.evaluations()[-1]
    opened = open_data(recipe)
    task = opened.task
    rows = sample(sample(opened.splits["validation"], 100, task), ROWS, task)
    pair = open_pair(run.tuned)
    inputs = [task.input_of(row) for row in rows]
    if task.is_classification:
        scored = [one.tuned for one in score_labels(pair, inputs)]
        answers = [task.labels[values.index(max(values))] for values in scored]
    else:
        limit = recipe.evaluation.max_new_tokens
        answers = [both.tuned.text for both in answer_batch(pair, inputs, max_new_tokens=limit)]
    scores = row_scores(answers, [task.references(row) for row in rows], task)
    assert measured["step"] == 3 and measured["eval_metric"] == pytest.approx(sum(scores) / len(scores))


def test_what_takes_validation_rows_is_refused_where_there_are_none(tiny_bert, recipe_on, tmp_path, monkeypatch):
    def without(recipe):
        opened = open_data(recipe)
        splits = type(opened.splits)(opened.splits | {"validation": opened.splits["validation"].select([])})
        return dataclasses.replace(opened, splits=splits)

    monkeypatch.setattr("finetuning.training.open_data", without)
    monkeypatch.setattr("finetuning.training.load", lambda *_, **__: pytest.fail("a model was loaded"))
    for setting in ("training.patience=2", "training.eval_metric=true"):
        with pytest.raises(RecipeError, match="needs validation rows, and these data have none"):
            trained(recipe_on("sentiment-minilm-lora", tiny_bert, setting), tmp_path)


def test_gradients_are_clipped_as_the_recipe_says(tiny_bert, recipe_on):
    recipe = recipe_on("sentiment-minilm-lora", tiny_bert)
    assert shared_arguments(recipe, "runs/a/checkpoints", 40)["max_grad_norm"] == 1.0
    changed = recipe_on("sentiment-minilm-lora", tiny_bert, "training.max_grad_norm=0.25")
    assert shared_arguments(changed, "runs/a/checkpoints", 40)["max_grad_norm"] == 0.25
