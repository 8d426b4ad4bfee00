"""What the Hub reads of a card says which library loads what was tuned."""

import pytest
import yaml

from finetuning.export.model_card import front_matter
from finetuning.recipe import load_recipe


@pytest.mark.parametrize(
    ("overrides", "library", "relation", "tags"),
    [
        ([], "peft", "adapter", ["lora", "before-after"]),
        (["strategy.kind=full"], "transformers", "finetune", ["before-after"]),
        (["strategy.kind=last"], "transformers", "finetune", ["before-after"]),
    ],
)
@pytest.mark.parametrize(
    ("name", "pipeline"),
    [("sentiment-smollm2-lora", "text-generation"), ("sentiment-minilm-lora", "text-classification")],
)
def test_an_adapter_is_pefts_and_a_whole_model_transformers(overrides, library, relation, tags, name, pipeline):
    recipe = load_recipe(name, overrides)
    before, front, after = front_matter(recipe).split("---\n")
    assert (before, after) == ("", "")
    assert yaml.safe_load(front) == {
        "base_model": recipe.model.base,
        "base_model_relation": relation,
        "library_name": library,
        "pipeline_tag": pipeline,
        "tags": tags,
    }
