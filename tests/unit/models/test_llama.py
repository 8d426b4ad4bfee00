"""Layers by hand give what `transformers`' and peft's own modules give: results, gradients, next tokens."""

import pytest
import torch
from bitsandbytes.nn import Linear8bitLt
from peft import LoraConfig, get_peft_model
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from models import loading
from models.fast import packing
from models.fast.decoding import greedy
from models.fast.llama import LlamaLayers, LlamaPrefix
from models.fast.packing import PackedRows
from models.fast.projections import FEW_ROWS, product
from models.fast.supports import supports
from models.loading import load
from models.sources import resolve

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
PREFIX = [21, 22, 23, 24, 25]
ROWS = [[9, 8, 7, 6, 5, 4, 3], [11], [12, 13, 14], [15, 16, 17, 18, 19, 9, 9, 9, 3]]
SIZES = {
    "vocab_size": 64,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
}
KINDS = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(head_dim=8, **SIZES)),
    "llama with biases": lambda: LlamaForCausalLM(LlamaConfig(attention_bias=True, **SIZES)),
    "mistral": lambda: MistralForCausalLM(MistralConfig(sliding_window=None, head_dim=16, **SIZES)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SIZES)),
}


def adapted(kind, modules=ALL, **options):
    torch.manual_seed(3)
    base = KINDS[kind]()
    for name, parameter in base.named_parameters():
        if name.endswith("bias"):
            parameter.data.normal_(std=0.3)
    config = LoraConfig(r=4, lora_alpha=6, target_modules=modules, init_lora_weights=False, **options)
    return get_peft_model(base, config).eval()


@pytest.fixture(params=list(KINDS))
def model(request):
    return adapted(request.param)


def hidden_alone(model, row):
    """After the final norm, [T, H]."""
    return model.get_base_model().base_model(input_ids=torch.tensor([row])).last_hidden_state[0]


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_same_step(model, prefix, tolerance=2e-5):
    """Two places of each row have the hidden states, and all adapter weights the gradients, of rows alone."""
    layers = LlamaLayers(model.get_base_model())
    rows = [[*row, 2] for row in ROWS]
    packed = PackedRows(rows, prefix, heads=layers.heads)
    hidden = model.get_base_model().base_model.norm(layers(packed, packed.last(2)))
    expected = torch.cat([hidden_alone(model, [*prefix, *row])[-2:] for row in rows])
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1)).to(expected.dtype)
    ours, theirs = gradients(model, (hidden * weights).sum()), gradients(model, (expected * weights).sum())

    def apart(one, other):
        return ((one.float() - other.float()).norm() / other.float().norm()).item()

    assert apart(hidden, expected) < tolerance
    assert set(ours) == set(theirs)
    for name, gradient in theirs.items():
        assert gradient.abs().max() > 0, name
        assert apart(ours[name], gradient) < tolerance, name


@pytest.mark.parametrize("prefix", [[], PREFIX], ids=["alone", "behind a prefix"])
def test_results_and_gradients_are_the_modules_own(model, prefix):
    assert supports(model.get_base_model())
    assert_same_step(model, prefix)


@pytest.mark.parametrize("modules", [["q_proj", "v_proj"], ["o_proj"], ["up_proj", "down_proj", "k_proj"]])
def test_an_adapter_of_some_layers_only(modules):
    assert_same_step(adapted("llama", modules), PREFIX)


def test_rows_in_several_blocks(monkeypatch):
    monkeypatch.setattr(packing, "_KEPT_WEIGHTS", 6 * 8 * 13 * 2)
    model = adapted("llama")
    layers = LlamaLayers(model.get_base_model())
    assert len(PackedRows(ROWS, PREFIX, heads=layers.heads)._blocks) > 3  # the prefix is one
    assert_same_step(model, PREFIX)


@pytest.mark.parametrize(
    ("precision", "computed"), [("bfloat16", "bfloat16"), ("nf4", "bfloat16"), ("nf4", "float32")]
)
def test_other_precisions(tiny_llama, precision, computed, monkeypatch):
    monkeypatch.setattr(loading, "best_precision", lambda: computed)
    loaded = load(resolve(str(tiny_llama)), precision=precision)
    loaded.model.requires_grad_(False)
    torch.manual_seed(3)
    config = LoraConfig(r=4, target_modules=ALL, init_lora_weights=False)
    model = get_peft_model(loaded.model, config, autocast_adapter_dtype=False)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(getattr(torch, computed))
    assert supports(model.get_base_model())
    assert_same_step(model, PREFIX, tolerance=0.1)


@pytest.mark.parametrize("tuned", [False, True])
@pytest.mark.parametrize("prefix", [[], PREFIX], ids=["alone", "behind a prefix"])
@pytest.mark.parametrize("prepared", [False, True])
def test_logits_behind_a_cached_prefix(model, tuned, prefix, prepared):
    rows = [[*row, 2] for row in ROWS]
    with torch.inference_mode():
        with model.disable_adapter() if not tuned else torch.inference_mode():
            expected = torch.stack(
                [model(input_ids=torch.tensor([[*prefix, *row]])).logits[0, -2:] for row in rows]
            )
        layers = LlamaLayers(model.get_base_model())
        if prepared:
            layers.prepare_decoding()
        logits = model.get_output_embeddings()(LlamaPrefix(layers, prefix, adapted=tuned).last(rows, 2))
    torch.testing.assert_close(logits, expected, atol=2e-4, rtol=1e-4)


def greedy_alone(model, prompt, *, tuned, tokens, end=None):
    settings = {"max_new_tokens": tokens, "do_sample": False, "pad_token_id": 0, "eos_token_id": end}
    with torch.inference_mode(), torch.inference_mode() if tuned else model.disable_adapter():
        return model.generate(input_ids=torch.tensor([prompt]), **settings)[0, len(prompt) :].tolist()


@pytest.mark.parametrize("rows", [1, 2, 4], ids=["a chat", "few rows", "more"])
def test_a_batch_of_both_sides_decodes_as_each_row_alone(model, rows):
    prompts = [[*PREFIX, *row] for row in ROWS][:rows]
    layers = LlamaLayers(model.get_base_model())
    layers.prepare_decoding()
    steps = list(greedy(layers, prompts, prompts[::-1], max_new_tokens=9, ends=set()))
    answers = [list(answer) for answer in zip(*steps, strict=True)]
    sides = [(prompt, False) for prompt in prompts] + [(prompt, True) for prompt in prompts[::-1]]
    assert answers == [greedy_alone(model, prompt, tuned=tuned, tokens=9) for prompt, tuned in sides]


def test_a_row_that_has_ended_leaves_and_the_others_go_on():
    model = adapted("llama")
    prompts = [[*PREFIX, *row] for row in ROWS]
    free = [greedy_alone(model, prompt, tuned=False, tokens=12) for prompt in prompts]
    end = free[0][3]
    expected = [answer[: answer.index(end) + 1] if end in answer else answer for answer in free]
    assert len({len(answer) for answer in expected}) > 1
    layers = LlamaLayers(model.get_base_model())
    layers.prepare_decoding()
    steps = list(greedy(layers, prompts, [], max_new_tokens=12, ends={end}))
    assert [[token for token in answer if token is not None] for answer in zip(*steps, strict=True)] == expected


def test_a_row_does_not_see_its_neighbours():
    """So that the tests above would see one that did."""
    model = adapted("llama")
    with torch.no_grad():
        together = hidden_alone(model, [*ROWS[0], *ROWS[1]])
        assert (together[-1] - hidden_alone(model, ROWS[1])[-1]).abs().max() > 1e-3


def test_places_and_positions():
    packed = PackedRows([[1, 2, 3], [4, 5]], [7, 8], heads=(2, 1))
    assert packed.tokens.tolist() == [7, 8, 1, 2, 3, 4, 5]
    assert packed.positions.tolist() == [0, 1, 2, 3, 4, 2, 3]
    assert packed.last(2).tolist() == [3, 4, 5, 6]
    assert packed.seen.tolist() == [[0, 1, 2, 3, 4], [0, 1, 5, 6, 6]]
    cached = PackedRows([[1, 2, 3], [4, 5]], [7, 8], cached=True, heads=(2, 1))
    assert cached.tokens.tolist() == [1, 2, 3, 4, 5]
    assert cached.positions.tolist() == [2, 3, 4, 2, 3]


def test_what_is_not_computed_the_same_keeps_its_modules():
    dropping = adapted("llama", lora_dropout=0.1)
    assert not supports(dropping.train().get_base_model()) and supports(dropping.eval().get_base_model())
    assert not supports(adapted("llama", ["q_proj", "lm_head"]).get_base_model())
    assert not supports(
        MistralForCausalLM(MistralConfig(sliding_window=4, head_dim=8, **SIZES)).requires_grad_(False)
    )
    assert supports(KINDS["llama"]().requires_grad_(False))
    assert supports(KINDS["llama"]())  # all of it is trained
    with torch.autocast("cpu"):
        assert not supports(KINDS["llama"]())
    some_off = adapted("llama")
    some_off.get_base_model().model.layers[1].self_attn.q_proj.enable_adapters(False)
    assert not supports(some_off.get_base_model())
    eight_bit = KINDS["llama"]().requires_grad_(False)
    eight_bit.model.layers[0].mlp.up_proj = Linear8bitLt(48, 80, bias=False, has_fp16_weights=False)
    assert not supports(eight_bit.requires_grad_(False))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("rows", [1, 2, FEW_ROWS, FEW_ROWS + 1])
@pytest.mark.parametrize("biased", [False, True])
def test_a_product_is_linear_however_few_the_rows(rows, dtype, biased):
    generator = torch.Generator().manual_seed(rows)
    x, weight, bias = (torch.randn(size, generator=generator).to(dtype) for size in [(rows, 48), (80, 48), (80,)])
    result = product(x, weight, bias if biased else None)
    assert result.is_contiguous()
    torch.testing.assert_close(result, torch.nn.functional.linear(x, weight, bias if biased else None))
