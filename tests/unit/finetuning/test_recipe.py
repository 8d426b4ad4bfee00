"""Recipes: what ships is valid, what is wrong is named, overrides go through the same validation."""

import pytest
import yaml

from data.errors import RecipeError
from finetuning.recipe import load_recipe, parse_recipe, recipe_names, with_overrides


def test_the_five_recipes_ship():
    assert recipe_names() == [
        "dialogue-llama2-7b-qlora",
        "dialogue-smollm2-qlora",
        "sentiment-distilbert-lora",
        "sentiment-minilm-lora",
        "sentiment-smollm2-lora",
    ]


@pytest.mark.parametrize("name", recipe_names())
def test_a_shipped_recipe_is_valid_and_survives_saving(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert parse_recipe(yaml.safe_load(recipe.to_yaml())) == recipe


def test_overrides_change_nested_settings_and_numbers_are_numbers():
    recipe = load_recipe(
        "sentiment-smollm2-lora", ["training.epochs=0.5", "training.learning_rate=1e-3", "data.train_rows=32"]
    )
    assert recipe.training.epochs == 0.5
    assert recipe.training.learning_rate == pytest.approx(0.001)
    assert recipe.data.train_rows == 32


def test_every_error_is_shown_at_once():
    with pytest.raises(RecipeError) as caught:
        load_recipe("sentiment-smollm2-lora", ["training.epoch=3", "lora.rank=900", "data.source=7"])
    message = str(caught.value)
    assert "did you mean epochs?" in message
    assert "lora.rank" in message and "900" in message
    assert "data.source" in message


def test_qlora_needs_a_base_in_four_bit():
    with pytest.raises(RecipeError, match="nf4 go together"):
        load_recipe("dialogue-smollm2-qlora", ["model.precision=bfloat16"])


def test_a_classifier_needs_labels():
    with pytest.raises(RecipeError, match="needs a task with labels"):
        load_recipe("sentiment-minilm-lora", ["task=dialogue"])


def test_an_unknown_recipe_suggests_the_nearest():
    with pytest.raises(RecipeError, match="Did you mean sentiment-smollm2-lora"):
        load_recipe("sentiment-smollm-lora")


def test_a_setting_without_a_value_is_refused():
    with pytest.raises(RecipeError, match="key=value"):
        load_recipe("sentiment-smollm2-lora", ["training.epochs"])


def test_a_recipe_file_that_is_no_mapping_is_refused(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("- just\n- a list\n")
    with pytest.raises(RecipeError, match="mapping"):
        load_recipe(path)


def test_form_overrides_are_validated_again():
    recipe = load_recipe("sentiment-smollm2-lora")
    assert with_overrides(recipe, {"lora.rank": 4}).lora.rank == 4
    with pytest.raises(RecipeError, match=r"training\.batch_size"):
        with_overrides(recipe, {"training.batch_size": 0})
