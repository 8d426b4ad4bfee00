"""Attention as matrix products has the logits and gradients of torch's own, in a decoder and an encoder."""

import pytest
import torch

from data.tasks import SENTIMENT
from models.fast.attention import NAME, use_matrix_products
from models.loading import load
from models.sources import resolve


@pytest.fixture(params=["tiny_llama", "tiny_bert"])
def model(request):
    folder = request.getfixturevalue(request.param)
    kind = "causal" if request.param == "tiny_llama" else "classifier"

    return load(resolve(str(folder)), kind=kind, precision="float32", task=SENTIMENT).model


def step(model):
    """Logits of the real positions, and the gradient of the embeddings."""
    ids = torch.randint(5, 60, (3, 12), generator=torch.Generator().manual_seed(2))
    mask = torch.ones_like(ids)
    mask[0, 7:] = 0
    mask[1, 10:] = 0
    model.zero_grad()
    logits = model(input_ids=ids, attention_mask=mask).logits
    if logits.dim() == 3:
        logits = logits[mask.bool()]
    logits.log_softmax(-1)[:, 1].sum().backward()
    return logits.detach(), model.get_input_embeddings().weight.grad.clone()


def test_logits_and_gradients_equal(model):
    logits, gradient = step(model)
    use_matrix_products(model)
    assert model.config._attn_implementation == NAME
    other_logits, other_gradient = step(model)
    torch.testing.assert_close(other_logits, logits, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(other_gradient, gradient, atol=1e-5, rtol=1e-3)
