"""Parameter counts on the meta device, exactly as published for the two classic examples."""

import pytest

from data.errors import ModelError, RecipeError
from finetuning.estimate import estimate, parameter_count
from finetuning.recipe import load_recipe
from finetuning.strategies import add_adapter, count_parameters
from models.loading import load
from models.sources import resolve


def test_distilbert_counts_are_the_classic_ones():
    count = parameter_count(load_recipe("sentiment-distilbert-lora"))
    assert (count.trainable, count.total) == (628_994, 67_584_004)
    assert count.stored == count.total


def test_llama_counts_are_the_classic_ones_packed_and_unpacked():
    count = parameter_count(load_recipe("dialogue-llama2-7b-qlora"))
    assert (count.trainable, count.stored, count.total) == (16_777_216, 3_517_190_144, 6_755_192_832)


@pytest.mark.parametrize(
    ("name", "base"), [("sentiment-smollm2-lora", "tiny_llama"), ("sentiment-minilm-lora", "tiny_bert")]
)
def test_what_is_counted_is_what_trains(name, base, recipe_on, request):
    recipe = recipe_on(name, request.getfixturevalue(base), "model.precision=float32")
    loaded = load(resolve(recipe.model.base), kind=recipe.trainer, precision="float32", task=recipe.task_definition)
    assert parameter_count(recipe) == count_parameters(add_adapter(loaded.model, recipe))


def test_a_module_that_cannot_be_adapted_is_named():
    with pytest.raises(RecipeError, match="lm_head"):
        parameter_count(load_recipe("sentiment-smollm2-lora", ["lora.target_modules=[q_proj, lm_head]"]))


def test_the_sentence_explains_why_two_totals_differ():
    sentence = estimate(load_recipe("dialogue-smollm2-qlora"), rows=100).sentence()
    assert "stored" in sentence and "before two 4-bit weights are packed into one" in sentence


def test_more_rows_take_longer_and_four_bit_takes_less_memory():
    qlora = load_recipe("dialogue-smollm2-qlora")
    lora = load_recipe("dialogue-smollm2-qlora", ["strategy=lora", "model.precision=float32"])
    assert estimate(qlora, rows=400).seconds > 1.8 * estimate(qlora, rows=200).seconds
    assert estimate(qlora, rows=8).weight_mb < 0.25 * estimate(lora, rows=8).weight_mb


def test_an_unknown_base_is_an_error_that_says_so():
    recipe = load_recipe("sentiment-smollm2-lora", ["model.base=nobody/nothing"])
    with pytest.raises(ModelError, match="nobody/nothing"):
        parameter_count(recipe)
