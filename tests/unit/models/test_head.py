"""The vocabulary projection some positions at a time gives what all of them at once give."""

import pytest
import torch
from transformers import GraniteConfig, GraniteForCausalLM, Qwen3Config, Qwen3ForCausalLM

from models.head import label_log_probs, makes_logits, only_at
from models.loading import device


@pytest.mark.cuda
@pytest.mark.parametrize("trained", [False, True], ids=["frozen", "trained"])
@pytest.mark.parametrize(("positions", "temperature"), [(1, 1.0), (256, 1.0), (600, 1.0), (600, 0.7)])
def test_values_and_gradients_equal_the_projection_of_all(positions, temperature, trained):
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(positions, 16, generator=generator).to(device()).requires_grad_()
    head = torch.nn.Linear(16, 90, bias=False).requires_grad_(trained).to(device())
    labels = torch.randint(0, 90, (positions,), generator=generator).to(device())
    factors = torch.randn(positions, generator=generator).to(device())
    chosen, entropy, top = label_log_probs(hidden, head, labels, temperature=temperature)
    (chosen * factors).sum().backward()
    gradients = hidden.grad, head.weight.grad
    hidden.grad = head.weight.grad = None

    log_probs = (head(hidden) / temperature).log_softmax(dim=-1)
    expected = log_probs.gather(1, labels[:, None])[:, 0]
    (expected * factors).sum().backward()
    torch.testing.assert_close(chosen, expected)
    assert (gradients[1] is not None) == trained
    for gradient, own in zip(gradients, (hidden.grad, head.weight.grad), strict=True):
        torch.testing.assert_close(gradient, own)
    torch.testing.assert_close(entropy, torch.distributions.Categorical(logits=log_probs.detach()).entropy())
    assert torch.equal(top, (log_probs.argmax(dim=-1) == labels).float())
    assert not entropy.requires_grad


@pytest.mark.cuda
def test_a_head_with_a_bias_gets_both_gradients():
    head = torch.nn.Linear(4, 9, device=device())
    labels = torch.tensor([1, 2, 3], device=device())
    hidden = torch.randn(3, 4, device=device())
    chosen, _, _ = label_log_probs(hidden, head, labels, temperature=0.5)
    expected = (head(hidden) / 0.5).log_softmax(dim=-1).gather(1, labels[:, None])[:, 0]
    torch.testing.assert_close(chosen, expected)
    chosen.sum().backward()
    assert head.weight.grad.abs().max() > 0 and head.bias.grad.abs().max() > 0


SIZES = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
}


@pytest.mark.cuda
@pytest.mark.parametrize("scaling", [1.0, 4.0])
def test_logits_that_are_scaled_are_not_the_heads(scaling):
    assert not makes_logits(GraniteForCausalLM(GraniteConfig(logits_scaling=scaling, **SIZES)).to(device()))


def test_to_see_whose_logits_they_are_draws_no_random_number_and_leaves_no_hook():
    model = Qwen3ForCausalLM(Qwen3Config(head_dim=8, attention_dropout=0.5, **SIZES)).train()
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    assert makes_logits(model)
    assert torch.rand(1) == expected
    assert not any(part._forward_hooks for part in model.modules())


@pytest.mark.cuda
def test_logits_at_some_positions_are_scaled_as_all_are():
    model = GraniteForCausalLM(GraniteConfig(logits_scaling=4.0, **SIZES)).eval().to(device())
    ids = torch.tensor([[5, 6, 7, 8], [9, 8, 7, 6]], device=device())
    with torch.no_grad():
        expected = model(input_ids=ids).logits
        with only_at(model, lambda hidden: hidden[:, 1:3]):
            torch.testing.assert_close(model(input_ids=ids).logits, expected[:, 1:3])
        assert model(input_ids=ids).logits.shape == expected.shape
