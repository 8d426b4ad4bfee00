"""Rows packed into one give every row the logits that it has alone, behind a shared prefix or behind none."""

import pytest
import torch
from transformers import MistralConfig, MistralForCausalLM

from models.packing import Packing, can_pack, packed_rows
from models.prefix import Prefix

ROWS = [[9, 8, 7, 6, 5, 4, 3], [11], [12, 13, 14]]
LONG = [token for row in ROWS for token in row]


def alone(model, row):
    with torch.no_grad():
        return model(input_ids=torch.tensor([row])).logits[0]


@pytest.mark.parametrize("tuned", [False, True])
@pytest.mark.parametrize("shared", [[], [21, 22, 23, 24, 25]])
def test_every_row_has_the_logits_that_it_has_alone(tiny_pair, tuned, shared):
    with tiny_pair.side(tuned) as model:
        prefix = Prefix(model, shared)
        packing = Packing(ROWS, len(shared))
        with torch.no_grad(), packed_rows(model.get_base_model()):
            logits = model(**packing.inputs, past_key_values=prefix.cache(1), use_cache=bool(shared)).logits[0]
        expected = torch.cat([alone(model, shared + row)[len(shared) :] for row in ROWS])
    torch.testing.assert_close(logits, expected, atol=2e-5, rtol=1e-5)


def test_a_row_does_not_see_its_neighbours(tiny_pair):
    """So that the test above would see one that did."""
    model = tiny_pair.model
    with torch.no_grad():
        together = model(input_ids=torch.tensor([LONG])).logits[0]
    assert (together[len(ROWS[0])] - alone(model, ROWS[1])[0]).abs().max() > 1e-3


def test_the_model_attends_as_before_afterwards(tiny_pair):
    model = tiny_pair.model.get_base_model()
    with pytest.raises(KeyError, match="as it happens"), packed_rows(model):
        raise KeyError("as it happens")
    assert model.config._attn_implementation == "sdpa"


def test_the_last_tokens_of_every_row():
    packing = Packing([[1, 2, 3], [4, 5], [6, 7, 8, 9]], 0)
    assert packing.last(1).tolist() == [2, 4, 8]
    assert packing.last(2).tolist() == [1, 2, 3, 4, 7, 8]


def test_positions_go_on_from_the_prefix_in_every_row():
    packing = Packing(ROWS, 5)
    assert packing.inputs["input_ids"].tolist() == [LONG]
    assert packing.inputs["position_ids"].tolist() == [[5, 6, 7, 8, 9, 10, 11, 5, 5, 6, 7]]


def test_a_model_that_sees_a_window_only_is_not_packed(tiny_pair):
    assert can_pack(tiny_pair.model.get_base_model())
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = MistralConfig(vocab_size=32, num_key_value_heads=1, sliding_window=4, **sizes)
    assert not can_pack(MistralForCausalLM(config))
