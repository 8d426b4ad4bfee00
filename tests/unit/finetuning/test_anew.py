"""Training from random weights: the base's shape, and none of its weights."""

import pytest
import torch

from finetuning.recipe import load_recipe
from models.loading import load
from models.sources import resolve


@pytest.mark.parametrize(
    ("name", "base"), [("sentiment-smollm2-lora", "tiny_llama"), ("sentiment-minilm-lora", "tiny_bert")]
)
def test_no_weight_of_the_base_is_left_and_a_seed_gives_the_same_ones(name, base, request):
    folder = request.getfixturevalue(base)

    def weights(*settings):
        recipe = load_recipe(name, [f"model.base={folder}", "strategy.kind=full", *settings])
        loaded = load(resolve(str(folder)), kind=recipe.kind, precision="float32", task=recipe.task_definition)
        model = recipe.apply_strategy(loaded.model)
        assert all(value.requires_grad and value.isfinite().all() for value in model.parameters())
        return {name: value.detach().clone() for name, value in model.named_parameters()}

    known = weights()
    new, again, other = (weights("strategy.new=true", f"training.seed={seed}") for seed in (0, 0, 1))
    assert {key: value.shape for key, value in new.items()} == {key: value.shape for key, value in known.items()}
    for key, value in new.items():
        assert torch.equal(value, again[key])
        if value.dim() == 2:  # norms and biases start at 1 and 0 in any case
            assert not torch.isclose(value, known[key]).float().mean() > 0.1
            assert not torch.equal(value, other[key])


def test_it_has_a_name_of_its_own():
    recipe = load_recipe("sentiment-smollm2-lora", ["strategy.kind=full", "strategy.new=true"])
    assert recipe.strategy_title == "Training from random weights"
    assert recipe.strategy.about("float32").endswith("from random numbers")
