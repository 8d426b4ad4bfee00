"""Whatever a run is evaluated on is read as the rows that it was trained on were, guesses included."""

import csv

import pytest

from data.sources import open_source
from data.tasks import SENTIMENT
from data.trained_rows import hash_rows
from finetuning.beginning import Beginning
from finetuning.judged_rows import choose_rows
from finetuning.recipe import load_recipe
from finetuning.runs import create_run
from models.prompting import PromptContract


def written(path, rows):
    with path.open("w", newline="") as handle:
        csv.writer(handle).writerows(rows)
    return f"file:{path}"


@pytest.fixture
def run(tmp_path):
    """As a run on ratings of 1 to 10 leaves it, without the weights, which nobody asks for the rows."""
    source = written(tmp_path / "mine.csv", [("text", "rating"), *((f"remark {n}", 1 + n % 10) for n in range(60))])
    recipe = load_recipe("sentiment-smollm2-lora", [f"data.source={source}"])
    run = create_run(recipe, tmp_path / "runs")
    run.adapter.mkdir()
    PromptContract("sentiment", "Good?", "", {}).save(run.adapter)
    sha256 = hash_rows(open_source(source, SENTIMENT).splits["train"], SENTIMENT)
    Beginning(settings={}, train_sha256=sha256, weights_sha256="", precision="float32").save(run)
    return run


def test_ratings_of_another_file_are_on_the_scale_that_was_trained_on(run, tmp_path):
    other = written(tmp_path / "other.csv", [("text", "rating"), ("a", 1), ("b", 3), ("c", 4), ("d", 5)])
    judged = choose_rows(run.adapter, other)
    assert dict(zip(judged.rows["text"], judged.rows["label"], strict=True)) == dict.fromkeys("abc", "negative")
    assert any("as in the rows that are trained on" in note for note in judged.selection.notes)
    assert judged.train is not None
