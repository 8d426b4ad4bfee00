"""Whatever a run is evaluated on is read as the rows that it was trained on were, guesses included."""

import csv

import pytest

from data.sources import open_source
from data.tasks import SENTIMENT
from data.trained_rows import hash_rows
from eval.report.rows_text import counts
from finetuning.judged_rows import choose_rows
from finetuning.recipe import load_recipe
from finetuning.runs.beginning import Beginning
from finetuning.runs.folder import create_run
from models.adapters import BaseOrigin
from models.prompting import PromptContract


def written(path, rows):
    with path.open("w", newline="") as handle:
        csv.writer(handle).writerows(rows)
    return f"file:{path}"


def untrained_run(recipe, folder, train_sha256):
    """As a run leaves it, without the weights, which nobody asks for the rows."""
    run = create_run(recipe, folder)
    run.tuned.mkdir()
    BaseOrigin("tiny", "local", "", "", "float32", "causal").save(run.tuned)
    PromptContract(recipe.task, "Well?", "", {}).save(run.tuned)
    Beginning(settings={}, train_sha256=train_sha256, weights_sha256="", precision="float32").save(run)
    return run


@pytest.fixture
def run(tmp_path):
    """A run on ratings of 1 to 10."""
    rows = [(f"remark {n}", 1 + n % 10) for n in range(60)]
    source = written(tmp_path / "mine.csv", [("text", "rating"), *rows])
    recipe = load_recipe("sentiment-smollm2-lora", [f"data.source={source}"])
    sha256 = hash_rows(open_source(source, SENTIMENT).splits["train"], SENTIMENT)
    return untrained_run(recipe, tmp_path / "runs", sha256)


def test_ratings_of_another_file_are_on_the_scale_that_was_trained_on(run, tmp_path):
    other = written(tmp_path / "other.csv", [("text", "rating"), ("a", 1), ("b", 3), ("c", 4), ("d", 5)])
    judged = choose_rows(run.tuned, other)
    assert dict(zip(judged.rows["text"], judged.rows["label"], strict=True)) == dict.fromkeys("abc", "negative")
    assert any("as in the rows that are trained on" in note for note in judged.selection.notes)
    assert judged.train is not None


def test_rows_whose_references_are_judged_are_not_said_to_be_left_out(tmp_path):
    rows = [("dialogue", "summary"), *((f"Ann: {n % 8}", f"Ann says {n}.") for n in range(12))]
    source = written(tmp_path / "chats.csv", rows)
    run = untrained_run(load_recipe("dialogue-smollm2-qlora"), tmp_path / "runs", "")
    judged = choose_rows(run.tuned, source)
    assert max(map(len, judged.rows["summary"])) == 2
    said = counts(judged.selection, len(judged.rows))
    assert said.startswith("12 rows given, 4 repeated with their references added to the first, ")
