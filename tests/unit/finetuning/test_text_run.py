"""A run on raw texts, from its recipe to its report, and every door that leads to it afterwards."""

import json

import pytest
from rich.console import Console

from eval.report.folder import load
from eval.report.headline import headline
from finetuning import chat
from finetuning.estimates.estimate import estimate
from finetuning.evaluation import evaluate_adapter, export_adapter_task
from finetuning.judged_rows import choose_rows
from finetuning.limits import Limits, check_rows
from finetuning.preparation import open_data
from finetuning.recipe import load_recipe
from finetuning.runs.folder import create_run
from finetuning.training import run_training
from models.prompting import PromptContract
from plumbing.errors import DataError, RecipeError


@pytest.fixture(scope="module")
def recipe(tiny_llama, tmp_path_factory):
    """Two steps on 60 letters, each of one or two passages."""
    path = tmp_path_factory.mktemp("letters") / "letters.jsonl"
    more = " The soup is warm, and the film is slow, and Leo offers to look at it." * 30
    letters = [{"text": f"Dear Ana,\n\nit is day {n}.{more if n % 10 == 0 else ''} Yours, Leo"} for n in range(60)]
    letters = [{"text": each["text"].replace(". The", ".\n\nThe", 1)} for each in letters]
    path.write_text("".join(json.dumps(row) + "\n" for row in letters))
    return load_recipe(
        "style-smollm2-lora",
        [
            f"model.base={tiny_llama}",
            f"data.source=file:{path}",
            "training.max_steps=2",
            "training.max_tokens=256",
            "evaluation.max_new_tokens=5",
            "evaluation.few_shot_draws=1",
            "evaluation.forgetting=false",
            "model.precision=float32",
        ],
    )


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory):
    made = create_run(recipe, tmp_path_factory.mktemp("runs"))
    run_training(made, made.cancel_requested)
    assert made.status().state == "finished", made.status().error
    return made


@pytest.mark.cuda
def test_it_is_trained_on_shared_rows_and_judged_by_whole_letters(run):
    report, rows = load(run.evaluation)
    rows = list(rows)
    assert (report.about.kind, report.about.noun, report.n) == ("text", ("letter", "letters"), len(rows))
    assert report.primary.name == "perplexity" and "letters perplexity" in headline(report)
    assert report.texts.passages == report.data.selection.eligible >= report.n
    assert report.few_shot.examples == 3
    assert [floor.name for floor in report.floors] == ["LZMA"]
    assert all(row.input.startswith("Dear Ana,") for row in rows)
    status = run.status()
    assert status.facts["train_rows"] < 45 and "validation loss was the lowest" in status.facts["kept"]
    line = run.metrics()[0][-1]
    assert line["tokens"] > 0 and 0 <= line["token_accuracy"] <= 1


def test_no_passage_that_was_trained_on_is_judged(run, recipe):
    judged = choose_rows(run.tuned)
    assert judged.selection.trained_on == 0
    everything = choose_rows(run.tuned, recipe.data.source)
    assert everything.selection.trained_on > 30
    again = evaluate_adapter(run.tuned, judged).report
    assert again.metrics == load(run.evaluation)[0].metrics


def test_its_prompt_is_no_template_and_its_card_says_what_it_is(run):
    contract = PromptContract.load(run.tuned)
    assert contract.template == "{{ text }}<|im_end|>" and not contract.instruction
    card = (run.tuned / "README.md").read_text()
    assert "pipeline_tag: text-generation" in card and "Perplexity of" in card and "way:\n  kind: text" in card


def test_both_sides_go_on_in_a_terminal(run):
    console = Console(record=True, width=200)
    chat.converse(run.tuned, console, message="Dear Ana,", max_new_tokens=4)
    said = console.export_text()
    assert "Before · base" in said and "After · tuned" in said and "4 tokens" in said


def test_it_is_no_task_of_another_harness(run, tmp_path):
    with pytest.raises(DataError, match="Raw texts cannot be written as a task of lm-eval") as caught:
        export_adapter_task(run.tuned, choose_rows(run.tuned), tmp_path / "task")
    assert "evaluate" in caught.value.fix and not (tmp_path / "task").exists()


def test_a_run_is_estimated_by_its_shared_rows(recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("BEFORE_AFTER_CACHE", str(tmp_path))
    found = estimate(recipe)
    assert found.training_s > 0 and found.evaluation_s > 0
    without = recipe.model_copy(update={"evaluation": recipe.evaluation.model_copy(update={"few_shot": 0})})
    assert estimate(without).evaluation_s < found.evaluation_s


def test_a_stranger_is_held_to_steps_of_shared_rows(recipe):
    opened = open_data(recipe)
    long = recipe.model_copy(update={"training": recipe.training.model_copy(update={"max_steps": None})})
    steps = -(-long.rows_of_tokens(opened.splits["train"], opened.task) // 2) * round(long.training.epochs)
    check_rows(opened.splits, opened.task, Limits(steps=steps), long)
    with pytest.raises(RecipeError, match=f"That makes {steps} training steps"):
        check_rows(opened.splits, opened.task, Limits(steps=steps - 1), long)
