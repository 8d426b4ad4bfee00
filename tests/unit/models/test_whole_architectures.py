"""Whole models of the architectures that people tune: what `save_pretrained` writes is known as their base's."""

import copy

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from finetuning.strategies import Full, Last
from models.loading import LoadedModel
from models.whole import check_whole, load_beside
from plumbing.errors import ModelError

SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
MODELS = {
    "llama": {"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0,
                                  "high_freq_factor": 4.0, "original_max_position_embeddings": 32}},
    "mistral": {"sliding_window": None},
    "qwen2": {"tie_word_embeddings": True},
    "qwen3": {"tie_word_embeddings": True},
    "smollm3": {"no_rope_layers": [1, 0]},
    "gemma2": {"sliding_window": 16},
    "gemma3_text": {"sliding_window": 16},
    "phi3": {},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "gpt_neox": {},
}  # fmt: skip


def tuned_from(base, folder):
    """Other weights than the base's, as a trainer saves them: in float32, with ids of tokens in its config."""
    tuned = copy.deepcopy(base).float()
    with torch.no_grad():
        for parameter in tuned.parameters():
            parameter += 0.1
    tuned.config.use_cache = False
    tuned.config.pad_token_id = 2
    tuned.save_pretrained(folder)
    return tuned


def loaded(kind, folder, auto):
    model = auto.from_pretrained(folder).eval()
    return LoadedModel(model, None, None, "float32", kind)


@pytest.mark.parametrize("name", MODELS)
def test_a_causal_model_is_known_as_its_bases(name, tmp_path):
    config = AutoConfig.for_model(name, **SIZES | MODELS[name])
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "base")
    base = loaded("causal", tmp_path / "base", AutoModelForCausalLM)
    tuned = tuned_from(base.model, tmp_path / "tuned")
    check_whole(tmp_path / "tuned", base.model)
    model, (changed, count) = load_beside(base, tmp_path / "tuned")
    assert changed == count > 10
    for parameter, own in zip(model.parameters(), tuned.parameters(), strict=True):
        assert torch.equal(parameter, own)
    ids = torch.tensor([[3, 4, 5, 6]])
    alone = AutoModelForCausalLM.from_pretrained(tmp_path / "tuned").eval()
    with torch.no_grad():
        torch.testing.assert_close(model(input_ids=ids).logits, alone(input_ids=ids).logits)


def test_a_model_that_joins_weights_in_loading_is_refused_in_a_sentence(tmp_path):
    config = AutoConfig.for_model("mixtral", **SIZES, num_local_experts=2)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "base")
    base = loaded("causal", tmp_path / "base", AutoModelForCausalLM)
    tuned_from(base.model, tmp_path / "tuned")
    with pytest.raises(ModelError, match="joins weights in loading"):
        check_whole(tmp_path / "tuned", base.model)
    for strategy in (Full(), Last(blocks=1)):  # and before anything is trained
        with pytest.raises(ModelError, match="joins weights in loading"):
            strategy.apply(base.model, "causal", base="mixtral", seed=0)


@pytest.mark.parametrize("name", ["bert", "distilbert", "roberta"])
def test_a_classifier_is_known_as_its_bases(name, tmp_path):
    sizes = SIZES | ({"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64} if name == "distilbert" else {})
    config = AutoConfig.for_model(name, **sizes, num_labels=3)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path / "base")
    base = loaded("classifier", tmp_path / "base", AutoModelForSequenceClassification)
    tuned_from(base.model, tmp_path / "tuned")
    _, (changed, count) = load_beside(base, tmp_path / "tuned")
    assert changed == count > 10
