"""4 bit: really 4 bit, and with the same gradient after an evaluation as before one."""

import shutil
from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from data.tasks import SENTIMENT
from eval.compare import compare
from models import loading
from models.loading import best_precision, four_bit_share, load, load_tokenizer, weight_bytes
from models.pair import open_pair
from models.sources import resolve
from plumbing.errors import ModelError


def gradients(model, ids):
    """The gradient of every LoRA weight for one training step, as one vector."""
    model.train()
    model.zero_grad()
    model(input_ids=ids, labels=ids).loss.backward()
    return torch.cat([value.grad.flatten().float() for value in model.parameters() if value.requires_grad])


@pytest.fixture(scope="module")
def wider_llama(make_llama, tmp_path_factory):
    """Wide enough to be repacked for inference where nothing keeps bitsandbytes from it."""
    return make_llama(tmp_path_factory.mktemp("wider-llama"), width=256)


@pytest.mark.cuda
def test_4_bit_weights_are_those_of_double_quantisation_whose_scales_are_unpacked(wider_llama):
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    source = resolve(str(wider_llama))
    loaded, plain = load(source, precision="nf4"), load(source, precision=best_precision())
    modules, compared = dict(plain.model.named_modules()), 0
    for name, module in loaded.model.named_modules():
        packed = getattr(getattr(module, "weight", None), "quant_state", None)
        if packed is not None:
            wanted = quantize_4bit(modules[name].weight.data, compress_statistics=True, quant_type="nf4")
            assert packed.nested == (loaded.model.device.type != "cpu") and wanted[1].nested
            assert torch.equal(dequantize_4bit(module.weight.data, packed), dequantize_4bit(*wanted))
            compared += 1
    assert compared > 6


@pytest.mark.cuda
def test_an_evaluation_leaves_the_gradient_of_4_bit_training_alone(wider_llama):
    loaded = load(resolve(str(wider_llama)), precision="nf4")
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(loaded.model, config)
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    text = "The film was slow but the ending made me cry."
    ids = torch.tensor([loaded.tokenizer.encode(text)], device=model.device)
    before = gradients(model, ids)
    model.eval()
    with torch.no_grad():
        for _ in range(2):
            model(input_ids=ids)
    after = gradients(model, ids)
    assert before.norm() > 0
    assert torch.nn.functional.cosine_similarity(before, after, dim=0) > 0.999
    assert after.norm().item() == pytest.approx(before.norm().item(), rel=1e-3)


@pytest.mark.cuda
def test_the_gradient_in_4_bit_is_that_of_the_dequantised_weights(wider_llama):
    """Against plain layers with the same values, so that a path that is wrong from the start is found too."""
    import bitsandbytes

    loaded = load(resolve(str(wider_llama)), precision="nf4")
    plain = load(resolve(str(wider_llama)), precision=best_precision())  # what nf4 computes in
    modules = dict(plain.model.named_modules())
    for name, module in loaded.model.named_modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            weight = bitsandbytes.functional.dequantize_4bit(module.weight.data, module.weight.quant_state)
            modules[name].weight.data.copy_(weight)
    text, found = "The film was slow but the ending made me cry.", []
    for model in (loaded.model, plain.model):
        torch.manual_seed(0)
        config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
        tuned = get_peft_model(model, config)
        generator = torch.Generator().manual_seed(0)
        for name, parameter in tuned.named_parameters():
            if "lora_" in name:
                parameter.data.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
        ids = torch.tensor([loaded.tokenizer.encode(text)], device=model.device)
        tuned.eval()
        with torch.no_grad():
            tuned(input_ids=ids)
        found.append(gradients(tuned, ids))
    assert torch.nn.functional.cosine_similarity(found[0], found[1], dim=0) > 0.99


@pytest.mark.cuda
def test_nf4_holds_every_projection_in_4_bit(tiny_llama):
    packed = load(resolve(str(tiny_llama)), precision="nf4")
    plain = load(resolve(str(tiny_llama)), precision="float32")
    linear = sum(
        module.weight.numel()
        for name, module in plain.model.named_modules()
        if isinstance(module, torch.nn.Linear) and name != "lm_head"
    )
    every = sum(parameter.numel() for parameter in plain.model.parameters())
    assert four_bit_share(packed.model) == pytest.approx(linear / every)
    assert four_bit_share(plain.model) == 0.0
    assert weight_bytes(packed.model) < weight_bytes(plain.model)
    assert weight_bytes(plain.model) == 4 * every


@pytest.mark.cuda
def test_a_4_bit_pair_answers_and_is_reported_as_such(tiny_llama, make_adapter, tmp_path):
    from datasets import Dataset

    pair = open_pair(make_adapter(tmp_path / "adapter", tiny_llama, precision="nf4"))
    assert four_bit_share(pair.model) > 0
    rows = [{"text": "Fine soup.", "label": "positive"}, {"text": "The phone died.", "label": "negative"}]
    result = compare(pair, Dataset.from_list(rows))
    assert result.report.precision == "nf4"
    assert result.rows[0].base.probabilities != result.rows[0].tuned.probabilities


@pytest.mark.cuda
def test_a_head_is_the_same_at_every_load(tiny_bert):
    heads = [
        load(resolve(str(tiny_bert)), kind="classifier", precision="float32", task=SENTIMENT).model.classifier
        for _ in range(2)
    ]
    assert torch.equal(heads[0].weight, heads[1].weight)
    assert heads[0].out_features == 2


@pytest.mark.cuda
def test_the_head_of_a_load_does_not_touch_the_random_numbers(tiny_bert):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    load(resolve(str(tiny_bert)), kind="classifier", precision="float32", task=SENTIMENT)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.cuda
def test_auto_is_a_precision_that_is_named(tiny_llama):
    loaded = load(resolve(str(tiny_llama)))
    assert loaded.precision in ("float32", "bfloat16")
    assert loaded.model.dtype == getattr(torch, loaded.precision)
    assert not loaded.model.training


def test_a_model_whose_files_lack_a_layer_is_refused(tiny_llama, tmp_path):
    folder = shutil.copytree(tiny_llama, tmp_path / "half")
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lack weights, so it would answer by chance.*layers\.1\.mlp\.up_proj"):
        load(resolve(str(folder)), precision="float32")


def test_a_model_that_is_saved_in_4_bit_is_known_to_be(tiny_llama, tmp_path):
    packed = load(resolve(str(tiny_llama)), precision="nf4")
    packed.model.save_pretrained(tmp_path)
    packed.tokenizer.save_pretrained(tmp_path)
    again = load(resolve(str(tmp_path)), precision="float32")
    assert again.precision == "nf4" and four_bit_share(again.model) > 0
    layers = [module for module in again.model.modules() if type(module).__name__ == "Linear4bit"]
    assert layers and not any(module.support_avx512bf16_for_cpu for module in layers)
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        assert torch.allclose(again.model(ids).logits.float(), packed.model(ids).logits.float(), atol=1e-3)


def test_a_folder_without_a_tokenizer_is_refused(tiny_llama, tmp_path):
    import shutil

    for name in ("config.json", "model.safetensors"):
        shutil.copy(tiny_llama / name, tmp_path)
    with pytest.raises(ModelError, match="could not be loaded"):
        load(resolve(str(tmp_path)), precision="float32")


def test_a_tokenizer_without_a_pad_token_pads_with_the_end(tiny_llama, tmp_path):
    import json
    import shutil

    folder = shutil.copytree(tiny_llama, tmp_path / "base")
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config.pop("pad_token")
    path.write_text(json.dumps(config), encoding="utf-8")
    tokenizer = load_tokenizer(resolve(str(folder)))
    assert tokenizer.pad_token == tokenizer.eos_token


@pytest.mark.parametrize(("native", "precision"), [(False, "float32"), (True, "bfloat16")])
def test_a_gpu_that_emulates_bfloat16_computes_in_float32(native, precision, monkeypatch):
    """torch's own answer for the processor; only what it asks CUDA for is set here."""
    monkeypatch.setattr(loading, "device", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(major=8 if native else 7))
    monkeypatch.setattr(torch.cuda, "_check_bf16_tensor_supported", lambda _: True)
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    assert best_precision() == precision
