"""The configurations of base models that recipes name come to the parameters that are published for them."""

import pytest

from finetuning.estimates.estimate import parameter_count
from finetuning.estimates.known_bases import CONFIGS
from finetuning.recipe import load_recipe, recipe_names

PUBLISHED = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": 134_515_008,
    "Qwen/Qwen3-0.6B": 596_049_920,
    "Qwen/Qwen3-1.7B": 1_720_574_976,
    "HuggingFaceTB/SmolLM3-3B": 3_075_098_624,
    "meta-llama/Llama-3.2-1B-Instruct": 1_235_814_400,
    "google/gemma-3-1b-it": 999_885_952,
    "mistralai/Mistral-7B-Instruct-v0.3": 7_248_023_552,
    "NousResearch/Llama-2-7b-hf": 6_738_415_616,
}


@pytest.mark.parametrize("base", PUBLISHED)
def test_the_parameters_are_those_that_are_published(base):
    recipe = load_recipe("dialogue-smollm2-qlora", [f"model.base={base}", "strategy.kind=full"])
    assert parameter_count(recipe).total == PUBLISHED[base]


def test_every_recipes_base_is_known():
    assert {load_recipe(name).model.base for name in recipe_names()} <= CONFIGS.keys()
