"""The vocabulary projection some positions at a time gives what all of them at once give."""

import pytest
import torch

from models.head import label_log_probs


@pytest.mark.parametrize("positions", [1, 256, 600])
def test_values_and_gradient_equal_the_projection_of_all(positions):
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(positions, 16, generator=generator, requires_grad=True)
    head = torch.nn.Linear(16, 90, bias=False).requires_grad_(False)
    labels = torch.randint(0, 90, (positions,), generator=generator)
    factors = torch.randn(positions, generator=generator)
    chosen, entropy, top = label_log_probs(hidden, head, labels)
    (chosen * factors).sum().backward()
    gradient, hidden.grad = hidden.grad, None

    log_probs = head(hidden).log_softmax(dim=-1)
    expected = log_probs.gather(1, labels[:, None])[:, 0]
    (expected * factors).sum().backward()
    torch.testing.assert_close(chosen, expected)
    torch.testing.assert_close(gradient, hidden.grad)
    torch.testing.assert_close(entropy, torch.distributions.Categorical(logits=log_probs.detach()).entropy())
    assert torch.equal(top, (log_probs.argmax(dim=-1) == labels).float())
    assert not entropy.requires_grad


def test_a_head_that_is_trained_gets_its_gradient():
    head = torch.nn.Linear(4, 9, bias=False)
    chosen, _, _ = label_log_probs(torch.randn(3, 4), head, torch.tensor([1, 2, 3]))
    chosen.sum().backward()
    assert head.weight.grad.abs().max() > 0
