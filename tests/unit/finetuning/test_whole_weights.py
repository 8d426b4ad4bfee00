"""Weights of a model itself that are trained, all of them or the last blocks': the layers by hand give the plain
library's loss, gradients and steps, and compute nothing backward that no trained weight needs.
"""

import copy

import pytest
import torch
import transformers
from bitsandbytes.nn import Linear4bit
from peft import LoraConfig, get_peft_model

from finetuning.trainers.causal import project_supervised_positions
from models.fast.llama import _Layer
from models.fast.supports import supports

DEPTH = 3
SIZES = {
    "vocab_size": 90,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": DEPTH,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.15,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
BY_HAND = {
    "llama": ("Llama", {}),
    "llama, tied": ("Llama", {"tie_word_embeddings": True}),
    "llama with biases": ("Llama", {"attention_bias": True, "mlp_bias": True}),
    "mistral": ("Mistral", {"sliding_window": None, "head_dim": 16}),
    "qwen2": ("Qwen2", {}),
    "qwen2, tied": ("Qwen2", {"tie_word_embeddings": True}),
}
BY_MODULES = {
    "mistral with a window": ("Mistral", {"sliding_window": 4}),
    "qwen3": ("Qwen3", {"head_dim": 8}),
    "gemma2": ("Gemma2", {"head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 4}),
    "gpt-neox": ("GPTNeoX", {}),
}
BATCHES = [
    # A row's tokens, and how many of them, the last, are learnt. 0 stands for padding, but may be a token of a row.
    [([5, 6, 7, 8, 0, 11, 12, 13, 14, 15, 16], 4), ([5, 6, 7, 8], 2), ([5, 6, 7, 20, 21, 22, 23, 24], 5)],
    [([5, 6, 31, 32, 8, 33, 34], 3), ([5, 6, 31, 32, 0, 35, 36, 37, 38], 0), ([5, 6, 40, 41, 42], 1)],
]


def full(model):
    return model.requires_grad_(True)


def last(blocks):
    """The last blocks and the final norm; a head that is not tied learns as little as one that is."""

    def freeze(model):
        inner = model.requires_grad_(False).base_model
        for part in (*inner.layers[-blocks:], inner.norm if hasattr(inner, "norm") else inner.final_layer_norm):
            part.requires_grad_(True)
        return model

    return freeze


def only(*names):
    """All weights whose name ends in one of these."""

    def freeze(model):
        for name, weight in model.named_parameters():
            weight.requires_grad_(name.endswith(names))
        return model

    return freeze


STRATEGIES = {"full": full, "last 1": last(1), "last 2": last(2)}
PARTS = {
    "all but the head": only("_proj.weight", "norm.weight", "embed_tokens.weight"),
    "the head": only("lm_head.weight"),
    "the embedding": only("embed_tokens.weight"),
    "the final norm": only("model.norm.weight"),
    "norms": only("norm.weight"),
    "first norm": only("0.input_layernorm.weight"),
    "biases": only("bias"),
    "some layers of a block": only("1.self_attn.k_proj.weight", "1.mlp.up_proj.weight"),
}


def build(name, settings, dtype=torch.float32):
    config = getattr(transformers, f"{name}Config")(**{**SIZES, **settings})
    torch.manual_seed(7)
    model = transformers.AutoModelForCausalLM.from_config(config)
    for weight in model.parameters():
        if weight.dim() == 1:
            weight.data += torch.randn(len(weight)) * 0.3
    return model.to(dtype).train()


def batch_of(rows):
    width = max(len(row) for row, _ in rows)
    ids = torch.tensor([row + [0] * (width - len(row)) for row, _ in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row, _ in rows])
    place, lengths = torch.arange(width), mask.sum(1, keepdim=True)
    learnt = (place < lengths) & (place >= lengths - torch.tensor([[count] for _, count in rows]))
    return {"input_ids": ids, "attention_mask": mask, "labels": ids.where(learnt, torch.tensor(-100))}


def plain_and_ours(model):
    """Each takes rows to their loss: the plain library's, and what the trainer makes of the model."""
    plain, base = copy.deepcopy(model), model.get_base_model() if hasattr(model, "get_base_model") else model
    project_supervised_positions(base)

    def loss(rows):
        outputs = base(**batch_of(rows), use_cache=False, fused_lm_head=True)
        return -outputs.log_probs.sum() / outputs.label_mask.sum().clamp(min=1)

    return (plain, lambda rows: plain(**batch_of(rows)).loss), (model, loss)


def gradients(model):
    return {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


def trained(model):
    return {name for name, weight in model.named_parameters() if weight.requires_grad}


def assert_close(ours, expected):
    assert set(ours) == set(expected)
    for name, value in expected.items():
        absolute = 1e-5 * value.abs().max().item()
        torch.testing.assert_close(
            ours[name], value, rtol=1e-5, atol=absolute, msg=lambda said, name=name: name + said
        )


def assert_same_gradients(model, batches=BATCHES):
    """Each batch's loss, and all gradients after them: so they add up, as over several batches of one step."""
    (plain, theirs), (model, ours) = plain_and_ours(model)
    for rows in batches:
        expected, loss = theirs(rows), ours(rows)
        torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
        expected.backward()
        loss.backward()
    found = gradients(plain)
    assert set(found) == trained(model) and all(value.abs().max() > 0 for value in found.values())
    assert_close(gradients(model), found)


@pytest.fixture
def by_hand(monkeypatch):
    """For each layer that goes forward by hand, whether it keeps anything; None for each that goes backward."""
    seen, forward, backward = [], _Layer.forward, _Layer.backward
    monkeypatch.setattr(
        _Layer, "forward", lambda *given, trained=True: seen.append(trained) or forward(*given, trained=trained)
    )
    monkeypatch.setattr(_Layer, "backward", lambda *given: seen.append(None) or backward(*given))
    return seen


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("kind", BY_HAND)
def test_loss_and_every_gradient_are_the_plain_librarys(kind, strategy, by_hand):
    assert_same_gradients(STRATEGIES[strategy](build(*BY_HAND[kind])))
    kept = {"full": DEPTH, "last 1": 1, "last 2": 2}[strategy]
    assert by_hand == ([False] * (DEPTH - kept) + [True] * kept + [None] * kept) * len(BATCHES)


@pytest.mark.parametrize("part", PARTS)
def test_any_of_the_weights_may_be_trained(part, by_hand):
    assert_same_gradients(PARTS[part](build("Llama", {"attention_bias": True, "mlp_bias": True})))
    assert by_hand


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("kind", BY_MODULES)
def test_others_learn_by_their_own_modules(kind, strategy, by_hand):
    assert_same_gradients(STRATEGIES[strategy](build(*BY_MODULES[kind])))
    assert not by_hand


@pytest.mark.parametrize("weights", [["input_layernorm.weight"], ["lm_head.weight"], ["2.mlp.up_proj.weight"]])
def test_weights_beside_an_adapter_learn_by_their_own_modules(weights, by_hand):
    config = LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False)
    model = get_peft_model(build("Llama", {}), config)
    for name, weight in model.named_parameters():
        weight.requires_grad_("lora" in name or name.endswith(tuple(weights)))
    assert_same_gradients(model)
    assert not by_hand


@pytest.mark.parametrize("dora", [False, True])
def test_dora_is_left_to_the_modules(dora, by_hand):
    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, use_dora=dora)
    assert_same_gradients(get_peft_model(build("Llama", {}), config))
    assert bool(by_hand) != dora


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("kind", BY_HAND)
def test_three_steps_give_equal_weights(kind, strategy, by_hand):
    sides = plain_and_ours(STRATEGIES[strategy](build(*BY_HAND[kind])))
    for model, loss in sides:
        # Not Adam's: it divides by the gradient's size, and so moves by as much where that is only rounding.
        optimizer = torch.optim.SGD([one for one in model.parameters() if one.requires_grad], lr=0.02, momentum=0.9)
        for step in range(3):
            optimizer.zero_grad()
            loss(BATCHES[step % 2]).backward()
            optimizer.step()
    plain, ours = (dict(model.named_parameters()) for model, _ in sides)
    assert_close(ours, plain)
    assert by_hand


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("kind", ["llama, tied", "qwen2"])
def test_in_bfloat16_gradients_are_as_near_as_rounding_lets_them(kind, strategy, by_hand):
    (plain, theirs), (model, ours) = plain_and_ours(STRATEGIES[strategy](build(*BY_HAND[kind], torch.bfloat16)))
    exact = copy.deepcopy(plain).float()
    for loss in (theirs(BATCHES[0]), ours(BATCHES[0]), exact(**batch_of(BATCHES[0])).loss):
        loss.backward()
    assert by_hand
    own, found = gradients(model), gradients(plain)
    assert set(own) == set(found) == trained(model)
    for name, expected in gradients(exact).items():
        apart = [((one[name].float() - expected).norm() / expected.norm()).item() for one in (own, found)]
        assert own[name].dtype == torch.bfloat16
        assert apart[0] < 1.5 * apart[1] + 0.01, name


@pytest.mark.parametrize("strategy", [*STRATEGIES, "lora"])
def test_a_batch_in_which_nothing_is_learnt_changes_nothing(strategy):
    model = build("Llama", {"tie_word_embeddings": True})
    model = STRATEGIES[strategy](model) if strategy != "lora" else get_peft_model(model, LoraConfig(r=4))
    _, (model, loss) = plain_and_ours(model)
    nothing = loss([(row, 0) for row, _ in BATCHES[0]])
    nothing.backward()
    assert nothing == 0
    assert not any(value.any() for value in gradients(model).values())


def test_what_is_trained_is_seen_at_each_call(by_hand):
    sides = plain_and_ours(last(1)(build("Llama", {})))
    for model, loss in sides:
        loss(BATCHES[0]).backward()
        last(2)(model)
        loss(BATCHES[1]).backward()
    plain, ours = (gradients(model) for model, _ in sides)
    assert by_hand
    assert_close(ours, plain)


def test_nothing_is_kept_where_no_gradient_is_asked_for(by_hand):
    _, (_, loss) = plain_and_ours(full(build("Llama", {})))
    with torch.no_grad():
        loss(BATCHES[0])
    assert by_hand == [False] * DEPTH


def test_weights_in_four_bits_never_learn_by_hand():
    model = build("Llama", {"attention_bias": True}).requires_grad_(False)
    packed = Linear4bit(32, 32, bias=True, quant_storage=torch.float32)
    packed.load_state_dict(model.model.layers[0].self_attn.q_proj.state_dict())
    model.model.layers[0].self_attn.q_proj = packed.to("cpu").requires_grad_(False)
    assert supports(model)
    for weight in (packed.bias, packed.weight):
        weight.requires_grad_(True)
        assert not supports(model)
        weight.requires_grad_(False)
    model.model.norm.requires_grad_(True)
    assert supports(model)
