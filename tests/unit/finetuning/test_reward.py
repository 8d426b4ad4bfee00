"""A reward model is trained from a recipe to its report, judged, gated, taken as a reward, and not talked to."""

import json

import pytest
import torch
from rich.console import Console

from data.problems import ProblemsError
from eval.compare import compare
from eval.gate import Baseline, check_run, frozen_rows, measured
from eval.metrics import metric_named
from eval.report.folder import load as load_report
from finetuning.chat import converse
from finetuning.estimates.estimate import estimate
from finetuning.evaluation import evaluate_adapter
from finetuning.export.model_card import front_matter
from finetuning.judged_rows import choose_rows
from finetuning.preparation import open_data
from finetuning.recipe import load_recipe
from finetuning.runs.folder import create_run
from finetuning.training import run_training
from models.loading import load, load_tokenizer
from models.pair import open_pair
from models.reward import load_reward
from models.sources import resolve
from models.tuned import tuned_in
from plumbing.errors import DataError, ModelError, RecipeError

NAME = "dialogue-smollm2-reward"
LEARNS = [
    "model.precision=float32",
    "training.batch_size=8",
    "training.max_steps=12",
    "training.learning_rate=0.01",
    "training.warmup_share=0",
    "training.eval_steps=6",
    "training.eval_metric=true",
]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """48 dialogues, each with a good and a bad summary."""
    path = tmp_path_factory.mktemp("data") / "pairs.jsonl"
    rows = [
        {
            "dialogue": f"Ana: Is the {thing} still {word}?\nLeo: Yes, until {hour}.",
            "chosen": f"Leo says the {thing} is {word} until {hour}.",
            "rejected": "They talk." if word == "open" else f"Ana asks Leo something about a {thing}, it seems.",
        }
        for thing in ("shop", "desk", "pool", "road")
        for word in ("open", "free", "here")
        for hour in ("two", "four", "six", "nine")
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"data.source=file:{path}"


@pytest.fixture(scope="module", params=["lora", "full"])
def run(request, recipe_on, tiny_llama, pairs, tmp_path_factory):
    """A finished run."""
    rate = [] if request.param == "lora" else ["training.learning_rate=0.002"]
    recipe = recipe_on(NAME, tiny_llama, *LEARNS, pairs, f"strategy={request.param}", *rate)
    made = create_run(recipe, tmp_path_factory.mktemp("runs"))
    run_training(made, made.cancel_requested)
    assert made.status().state == "finished"
    return made


def test_it_learns_which_answer_is_the_better(run):
    lines, _ = run.metrics()
    assert {"accuracy", "margin"} <= lines[0].keys() and lines[-1]["tokens"] > lines[0]["tokens"]
    assert lines[-1]["loss"] < lines[0]["loss"] and lines[-1]["accuracy"] > 0.9
    measured_on_the_way = run.evaluations()
    assert [line["step"] for line in measured_on_the_way] == [6, 12]
    assert all(line["eval_accuracy"] == line["eval_metric"] for line in measured_on_the_way)
    report, rows = load_report(run.evaluation)
    rows = list(rows)
    assert (report.kind, report.primary.name, report.asked.noun) == ("reward", "pair_accuracy", ("pair", "pairs"))
    assert report.primary.tuned > 0.9 and report.n == len(rows) > 4
    assert report.forgetting is None and report.few_shot is None and report.writing is None
    assert report.rewards.margin > 0 and report.max_new_tokens is None
    assert [floor.name for floor in report.floors] == [
        "longer answer", "shorter answer", "TF-IDF + logistic regression on the difference",
    ]  # fmt: skip
    card = (run.tuned / "README.md").read_text()
    assert "A reward model: it gives an answer to a dialogue one number" in card and "reward model" in card
    assert "pipeline_tag: text-classification" in front_matter(run.recipe())


def test_it_is_judged_again_and_gated_on_the_rows_of_its_report(run):
    report, _ = load_report(run.evaluation)
    judged = choose_rows(run.tuned)
    again = evaluate_adapter(run.tuned, judged).report
    assert (again.metrics, again.data.test_sha256) == (report.metrics, report.data.test_sha256)
    everything = choose_rows(run.tuned, run.recipe().data.source)
    assert everything.selection.trained_on > 10 and "rejected" in everything.rows.column_names
    pair = open_pair(tuned_in(run.folder))
    kept, frozen, test = frozen_rows(run.evaluation, pair.task)
    outcome = check_run(measured(run.id, compare(pair, test)), Baseline.of(run.id, kept, list(frozen)), None)
    assert not any("changed" in failure or "got worse" in failure for failure in outcome.failures), outcome


def test_another_model_can_learn_by_it(run):
    reward = load_reward(run.tuned, task=run.recipe().task_definition)
    rows = list(load_report(run.evaluation)[1])
    given = [row.input for row in rows]
    better = reward.score(given, [row.references[0] for row in rows])
    worse = reward.score(given, [row.rejected for row in rows])
    assert [row.tuned.rewards[0] for row in rows] == pytest.approx(better, abs=1e-3)
    assert [row.tuned.rewards[1] for row in rows] == pytest.approx(worse, abs=1e-3)


def test_it_is_not_talked_to(run):
    with pytest.raises(ModelError, match="A reward model writes nothing"):
        converse(run.tuned, Console(), message="Hello", max_new_tokens=4)


def test_a_run_goes_on_as_if_it_had_not_been_stopped(recipe_on, tiny_llama, tmp_path):
    settings = [*LEARNS, "training.max_steps=4", "training.eval_steps=2"]
    straight = create_run(recipe_on(NAME, tiny_llama, *settings), tmp_path / "straight")
    run_training(straight, lambda: straight.status().state == "evaluating")
    stopped = create_run(recipe_on(NAME, tiny_llama, *settings), tmp_path / "stopped")
    run_training(stopped, lambda: len(stopped.metrics()[0]) >= 2)
    assert stopped.status().state == "cancelled"
    stopped.write_status(stopped.status().model_copy(update={"state": "queued"}))
    run_training(stopped, lambda: stopped.status().state == "evaluating")
    assert [line["loss"] for line in stopped.metrics()[0]] == [line["loss"] for line in straight.metrics()[0]]


def test_the_validation_loss_is_that_of_whole_rows(recipe_on, tiny_llama, tmp_path):
    recipe = recipe_on(NAME, tiny_llama, "model.precision=float32")
    way, task = recipe.way, recipe.task_definition
    loaded = load(resolve(recipe.model.base), kind="reward", precision="float32")
    rows = way.encode(open_data(recipe).splits["train"].select(range(5)), loaded.tokenizer, recipe, task)
    model, losses = recipe.apply_strategy(loaded.model).eval(), []
    for row in rows:
        better, worse = (
            model(input_ids=torch.tensor([row[name]])).logits[0, 0] for name in ("chosen_ids", "rejected_ids")
        )
        loss = -torch.nn.functional.logsigmoid(better - worse) + 0.01 * (better + worse) ** 2
        losses.append(loss.item())
    trainer = way.trainer(recipe, model, loaded.tokenizer, rows, str(tmp_path / "run" / "checkpoints"), [], rows)
    found = trainer.evaluate()
    assert found["eval_loss"] == pytest.approx(sum(losses) / 5, rel=1e-4) and found.keys() >= {"eval_accuracy"}


# ---- what a recipe says, and what is refused -------------------------------------------------------------------


def test_the_way_has_a_setting_and_suits_answers_only():
    recipe = load_recipe(NAME, ["way.center_rewards_coefficient=0.5"])
    assert recipe.way.center_rewards_coefficient == 0.5 and recipe.kind == "reward"
    assert load_recipe("dialogue-smollm2-qlora", ["way=reward"]).way.center_rewards_coefficient is None
    with pytest.raises(RecipeError, match="learns which of two answers is the better, and a label is right or"):
        load_recipe("sentiment-smollm2-lora", ["way=reward"])
    with pytest.raises(RecipeError, match="raw text has no answers; give pairs of them"):
        load_recipe(NAME, ["task.kind=text"])
    assert metric_named("pair_accuracy").kind == "binary"
    with pytest.raises(RecipeError, match="pair accuracy does not suit a task of kind generation"):
        load_recipe(NAME, ["task.kind=generation", "task.metric=pair_accuracy"])


def test_rows_without_a_worse_answer_and_too_long_ones_are_refused(recipe_on, tiny_llama, dialogues_file):
    with pytest.raises(DataError, match="no worse answer beside the better one"):
        open_data(recipe_on(NAME, tiny_llama, f"data.source=file:{dialogues_file}"))
    recipe = recipe_on(NAME, tiny_llama, "training.max_tokens=16")
    tokenizer = load_tokenizer(resolve(str(tiny_llama)))
    rows, task = open_data(recipe).splits["train"], recipe.task_definition
    with pytest.raises(ProblemsError, match="the longest allowed is 16"):
        recipe.way.encode(rows, tokenizer, recipe, task)
    with pytest.raises(ProblemsError, match="tokens with the longer answer, and the base model reads at most 20"):
        recipe.way.require_room(rows, tokenizer, task, limit=20, new_tokens=0)
    recipe.way.require_room(rows, tokenizer, task, limit=1000, new_tokens=0)


def test_it_is_estimated(recipe_on, tiny_llama):
    recipe = recipe_on(NAME, tiny_llama, "model.precision=float32")
    found = estimate(recipe)
    assert found.training_s > 0 and found.evaluation_s > 0 and found.memory_mb > 700
    tokenizer = load_tokenizer(resolve(str(tiny_llama)))
    row, task = open_data(recipe).splits["train"][0], recipe.task_definition
    (prompt,), (answer,), _ = recipe.way.lengths([row], tokenizer, task)
    encoded = recipe.way.encode(open_data(recipe).splits["train"].select([0]), tokenizer, recipe, task)[0]
    both = len(encoded["chosen_ids"]) + len(encoded["rejected_ids"])
    assert 2 * (prompt + answer) == pytest.approx(both, abs=1)


def test_a_pair_is_shown_with_both_answers_marked_the_better_first(recipe_on, tiny_llama):
    recipe = recipe_on(NAME, tiny_llama)
    row = open_data(recipe).splits["train"][0]
    shown = recipe.way.preview(row, load_tokenizer(resolve(str(tiny_llama))), recipe.task_definition)
    marked = "".join(token if is_marked else "|" for token, is_marked in shown).strip("|")
    assert marked == f"{row['summary']}<|im_end|>|{row['rejected']}<|im_end|>"


def test_chats_have_reward_models_too(tiny_llama, tmp_path):
    turn = {"role": "user", "content": "Is box 1 there?"}
    rows = [
        {
            "prompt": [turn, {"role": "assistant", "content": "Which?"}, {"role": "user", "content": f"Box {n}."}],
            "chosen": [{"role": "assistant", "content": f"Box {n} is."}],
            "rejected": [{"role": "assistant", "content": "No idea."}],
        }
        for n in range(40)
    ]
    file = tmp_path / "chats.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = [f"model.base={tiny_llama}", f"data.source=file:{file}", "task.kind=chat", *LEARNS]
    made = create_run(load_recipe(NAME, [*settings, "training.max_steps=8", "training.eval_steps=8"]), tmp_path)
    run_training(made, made.cancel_requested)
    report, judged = load_report(made.evaluation)
    assert report.about.kind == "chat" and next(iter(judged)).messages[0].content == "Is box 1 there?"
    assert report.primary.tuned > 0.9
