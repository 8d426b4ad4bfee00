from __future__ import annotations

import json
from pathlib import Path

import pytest

from data.errors import DataError, ModelError, RecipeError
from data.tasks import DIALOGUE, SENTIMENT
from finetuning.limits import Limits
from finetuning.recipe import load_recipe
from ui import choices, data_form, train_form
from ui.data_form import GUESS, Chosen
from ui.examples import examples
from ui.visitors import LOCAL, Visitor

REVIEWS = Chosen("corpus:reviews", None, None)


def test_the_data_form_reads_every_kind_of_source() -> None:
    assert data_form.read(SENTIMENT, "corpus:reviews", None, "", GUESS, GUESS, "") == REVIEWS
    chosen = data_form.read(SENTIMENT, "file", "/tmp/a.csv", "", "Comment", GUESS, "1=negative, 5=positive, 3=skip")
    assert chosen == Chosen("file:/tmp/a.csv", {"text": "Comment"}, {"1": "negative", "5": "positive", "3": None})
    assert data_form.read(DIALOGUE, "hub", None, " a/b ", GUESS, GUESS, "") == Chosen("hub:a/b", None, None)
    assert data_form.read(SENTIMENT, "file", None, "", GUESS, GUESS, "") is None
    assert data_form.read(SENTIMENT, "corpus:/etc/passwd", None, "", GUESS, GUESS, "") is None


def test_a_label_map_without_an_equals_sign_is_refused() -> None:
    with pytest.raises(DataError, match="value=label"):
        data_form.read_labels("positive")


@pytest.mark.parametrize("name", ["sentiment-smollm2-lora", "dialogue-smollm2-qlora", "sentiment-minilm-lora"])
def test_an_untouched_form_gives_the_recipe_back(name: str) -> None:
    recipe = load_recipe(name)
    chosen = Chosen(recipe.data.source, None, None)
    fields = [float(value) if isinstance(value, int) else value for value in train_form.values_of(recipe)]
    assert train_form.read(recipe.task, chosen, name, *fields) == recipe


def test_a_form_with_wrong_values_names_them() -> None:
    name = "sentiment-smollm2-lora"
    values = dict(zip(train_form.FIELDS, train_form.values_of(load_recipe(name)), strict=True))
    with pytest.raises(RecipeError, match=r"lora\.rank"):
        train_form.read("sentiment", REVIEWS, name, *(values | {"lora.rank": 8.5}).values())
    with pytest.raises(RecipeError, match=r"training\.epochs is empty"):
        train_form.read("sentiment", REVIEWS, name, *(values | {"training.epochs": None}).values())
    with pytest.raises(RecipeError, match="no such recipe"):
        train_form.read("sentiment", REVIEWS, "dialogue-smollm2-qlora", *values.values())
    four_bit = train_form.read("sentiment", REVIEWS, name, *(values | {"model.precision": "nf4"}).values())
    assert four_bit.strategy == "qlora"


def test_an_upload_is_kept_beside_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path / "runs"))
    upload = tmp_path / "my reviews.csv"
    upload.write_text("text,label\n", encoding="utf-8")
    for visitor in (LOCAL, Visitor("browser-1", Limits())):
        kept = train_form.kept(Chosen(f"file:{upload}", None, None), visitor)
        copy = Path(kept.source.removeprefix("file:"))
        assert copy.parent == tmp_path / "runs" / "uploads" / visitor.owner
        assert copy.name.endswith("-my_reviews.csv") and copy.read_bytes() == upload.read_bytes()
    assert train_form.kept(REVIEWS, LOCAL) is REVIEWS


def test_only_listed_adapters_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEFORE_AFTER_BUNDLED", str(tmp_path / "bundled"))
    monkeypatch.setenv("BEFORE_AFTER_RUNS", str(tmp_path / "runs"))
    good, damaged = (tmp_path / "bundled" / name for name in ("sentiment-smollm2-lora", "dialogue-smollm2-qlora"))
    for folder in (good, damaged):
        folder.mkdir(parents=True)
        (folder / "base_model.json").write_text(json.dumps({"name": "a/b", "kind": "causal"}), encoding="utf-8")
    (good / "prompt.json").write_text(json.dumps({"task": "sentiment"}), encoding="utf-8")
    assert choices.options(LOCAL, "sentiment") == [("Sentiment · LoRA · shipped", "bundled:sentiment-smollm2-lora")]
    assert choices.options(LOCAL, "dialogue") == []
    assert choices.find("bundled:sentiment-smollm2-lora", LOCAL).adapter == good
    for key in (None, "bundled:../../etc", str(good), "run:none"):
        with pytest.raises(ModelError, match="no such tuned model"):
            choices.find(key, LOCAL)


def test_examples_are_short_test_rows_with_a_reference() -> None:
    for task in (SENTIMENT, DIALOGUE):
        found = examples(task)
        assert len(found) >= 4
        assert all(example.references and len(example.text) <= 700 for example in found)
        assert len({example.name for example in found}) == len(found)
