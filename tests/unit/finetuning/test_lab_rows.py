"""The rows of a lab: those that a run will be judged on are known before it, and are the same for all options."""

import json

import pytest

from eval.provenance import hash_rows
from eval.report.folder import load as load_report
from finetuning.judged_rows import choose_rows
from finetuning.lab.lab import parse_lab
from finetuning.lab.plan import make_plan
from finetuning.lab.rows import judged_rows, open_rows, rows_of
from finetuning.preparation import open_data
from finetuning.runs.folder import create_run
from finetuning.training import run_training
from plumbing.errors import DataError, RecipeError


@pytest.fixture
def plan_of(recipe_on, tiny_llama, tmp_path):
    """`plan_of(*options, **more)` → the plan of a lab on 48 reviews."""
    (tmp_path / "tiny.yaml").write_text(recipe_on("sentiment-smollm2-lora", tiny_llama).to_yaml())

    def make(*options, **more):
        values = {
            "name": "tiny",
            "title": "T",
            "question": "Q",
            "recipe": str(tmp_path / "tiny.yaml"),
            "seeds": [0, 1],
        }
        return make_plan(parse_lab(values | {"options": list(options)} | more))

    return make


@pytest.fixture
def half_known(recipe_on, tiny_llama, tmp_path):
    """Twelve reviews, of which four stand among those that are trained on."""
    train = open_data(recipe_on("sentiment-smollm2-lora", tiny_llama)).splits["train"]
    rows = [{"text": row["text"], "label": row["label"]} for row in train.select(range(8))]
    others = [row | {"text": row["text"].replace("The", "A")} for row in rows]
    path = tmp_path / "half-known.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows[:4], *others]))
    return path


def test_they_are_those_of_the_run_whatever_it_was_trained_on(recipe_on, tiny_llama, half_known, tmp_path):
    settings = [f"evaluation.source=file:{half_known}", "evaluation.forgetting=false", "evaluation.few_shot=0"]
    settings += ["data.test_rows=6", "training.max_steps=1"]
    recipe = recipe_on("sentiment-smollm2-lora", tiny_llama, *settings)
    run = create_run(recipe, tmp_path / "runs")
    run_training(run, run.cancel_requested)
    report, _ = load_report(run.evaluation)
    assert report.data.selection.trained_on == 4 and report.n == 6
    found = judged_rows(recipe, open_data(recipe))
    assert hash_rows(found["text"], [[label] for label in found["label"]]) == report.data.test_sha256
    assert [row["text"] for row in choose_rows(run.tuned).rows] == list(found["text"])


def test_options_that_are_judged_on_other_rows_are_refused_before_any_run(plan_of, half_known):
    with pytest.raises(RecipeError, match="a is judged on 8 test rows, and b on 5 that are not the same"):
        open_rows(plan_of({"name": "a"}, {"name": "b", "set": ["data.test_rows=5"]}))
    # Each seed trains on rows of its own, and what one of them trains on is not judged.
    options = ({"name": "a"}, {"name": "base", "untrained": "base"})
    with pytest.raises(RecipeError, match="Say with test: which rows judge all"):
        open_rows(plan_of(*options, rows=[16], test=f"file:{half_known}"))
    with pytest.raises(DataError, match=r"none\.csv"):
        open_rows(plan_of({"name": "a", "set": ["data.source=file:none.csv"]}))


def test_options_that_read_the_same_rows_fit_together_and_what_is_drawn_is_the_seeds(plan_of, half_known):
    options = ({"name": "a"}, {"name": "b", "set": ["data.skip_empty=true"]}, {"name": "base", "untrained": "base"})
    opened = open_rows(plan_of(*options, test=f"file:{half_known}"))
    assert opened.keys() == {"a", "b", "base"}
    plan = plan_of({"name": "a"}, rows=[16])
    drawn = [set(rows_of(plan.cells[0], seed, open_rows(plan)["a-16"]).splits["train"]["text"]) for seed in (0, 1)]
    assert list(map(len, drawn)) == [16, 16] and drawn[0] != drawn[1]
