"""The fused LoRA step gives peft's own results and gradients, packed base or not, and leaves what it cannot do."""

import pytest
import torch
from peft import LoraConfig, get_peft_model

from models.fast.fused_lora import fuse_lora
from models.loading import device, load
from models.sources import resolve


def adapted(recipe):
    loaded = load(resolve(recipe.model.base), precision=recipe.model.precision)
    model = recipe.apply_strategy(loaded.model)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():  # B starts at zero, where most gradients are zero
        if "lora_B" in name:
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return model.train()


def step(model):
    ids = torch.randint(5, 60, (3, 17), generator=torch.Generator().manual_seed(2))
    torch.manual_seed(3)  # the same values are dropped
    logits = model(input_ids=ids.to(model.device)).logits
    logits.float().log_softmax(-1)[..., 7].sum().backward()
    return logits.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.cuda
@pytest.mark.parametrize(
    ("name", "settings", "tolerance"),
    [
        ("sentiment-smollm2-lora", ["model.precision=float32"], 1e-5),
        ("sentiment-smollm2-lora", ["model.precision=bfloat16"], 0.05),
        ("dialogue-smollm2-qlora", [], 0.05),
        ("sentiment-smollm2-lora", ["model.precision=float32", "strategy.dropout=0.3"], 1e-5),
        ("dialogue-smollm2-qlora", ["strategy.dropout=0.3"], 0.05),
    ],
    ids=["float32", "bfloat16", "nf4", "float32, dropout", "nf4, dropout"],
)
def test_results_and_gradients_are_pefts(tiny_llama, recipe_on, name, settings, tolerance):
    model = adapted(recipe_on(name, tiny_llama, *settings))
    logits, gradients = step(model)
    model.zero_grad()
    layers = fuse_lora(model)
    fused_logits, fused_gradients = step(model)
    assert layers == 7 * model.config.num_hidden_layers
    assert set(gradients) == set(fused_gradients)

    def apart(one, other):
        return ((one.float() - other.float()).norm() / one.float().norm()).item()

    assert apart(logits, fused_logits) < tolerance
    for key, gradient in gradients.items():
        assert apart(gradient, fused_gradients[key]) < tolerance, key
        assert gradient.abs().max() > 0, key


@pytest.mark.cuda
def test_a_bias_is_kept():
    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Linear(6, 5)).to(device())
    model = get_peft_model(layers, LoraConfig(target_modules=["0"], init_lora_weights=False)).train()
    x = torch.randn(4, 6).to(device())
    own = model(x)
    assert fuse_lora(model) == 1
    torch.testing.assert_close(model(x), own)


@pytest.mark.cuda
def test_dropout_drops_in_training_only():
    layers = torch.nn.Sequential(torch.nn.Linear(64, 5)).to(device())
    model = get_peft_model(layers, LoraConfig(target_modules=["0"], lora_dropout=0.5, init_lora_weights=False))
    x = torch.randn(4, 64).to(device())
    own = model.eval()(x)
    assert fuse_lora(model) == 1
    torch.testing.assert_close(model(x), own)
    assert not torch.equal(model.train()(x), model(x))
