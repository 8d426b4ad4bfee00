"""What NF4 makes of a base's weights: measured as bitsandbytes packs them, and as a base is really loaded."""

import shutil

import pytest
import torch
from bitsandbytes import functional
from safetensors.torch import load_file, save_file

from models import libraries
from models.four_bit import BLOCK, Measurement, error, keep, kept
from models.loading import load
from models.sources import resolve
from plumbing.errors import ModelError


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(8, 32), (8, 48), (8, 80), (3, 1000), (5, 65), (7, 72), (1, 80), (8, 128)])
def test_a_weight_is_unpacked_by_the_scale_of_its_own_block_wherever_rows_end(shape, dtype):
    libraries.ready()
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    packed, state = functional.quantize_4bit(weight, blocksize=BLOCK, quant_type="nf4")
    used = torch.stack([packed.flatten() >> 4, packed.flatten() & 15], 1).flatten()[: weight.numel()].long()
    expected = (state.code[used] * state.absmax.repeat_interleave(BLOCK)[: weight.numel()]).view(shape).to(dtype)
    assert torch.equal(functional.dequantize_4bit(packed, state), expected)
    assert torch.equal(functional.dequantize_4bit(packed.t(), state), expected.t())


@pytest.fixture(scope="module")
def source(tiny_llama):
    return resolve(str(tiny_llama))


@pytest.fixture(scope="module")
def measured(source):
    measurement = Measurement(source)
    for name in measurement.names:
        measurement.take(name)
    return measurement.result()


@pytest.fixture(scope="module")
def weights(source):
    return load_file(source.path / "model.safetensors")


def test_the_levels_are_bitsandbytes_own_table(measured):
    assert measured.levels == tuple(functional.get_4bit_type("nf4", device="cpu").tolist())
    assert measured.levels[0] == -1 and 0.0 in measured.levels and measured.levels[-1] == 1


def test_every_layer_that_is_packed_is_measured_and_no_other(measured, source):
    packed = load(source, precision="nf4").model
    names = {name for name, module in packed.named_modules() if type(module).__name__ == "Linear4bit"}
    assert {layer.name for layer in measured.layers} == names and not any("lm_head" in name for name in names)
    assert list(measured.blocks()) == [0, 1] and len(measured.parts()) == 7


def test_the_error_of_a_layer_is_that_of_the_layer_as_it_is_loaded(measured, source, weights):
    model = load(source, precision="nf4").model
    for layer in measured.layers:
        own = weights[f"{layer.name}.weight"].float()
        loaded = model.get_submodule(layer.name).weight
        back = functional.dequantize_4bit(loaded.data, loaded.quant_state).float()
        # A machine that computes in bfloat16 rounds the weights once before.
        assert error([layer]) == pytest.approx(float((own - back).norm() / own.norm()), rel=0.02)


def test_each_weight_has_the_nearest_level_and_is_counted_once(measured, weights):
    levels = torch.tensor(measured.levels)
    used = torch.zeros(16, dtype=torch.long)
    for layer in measured.layers:
        blocks = weights[f"{layer.name}.weight"].float().view(-1, BLOCK)
        scaled = blocks / blocks.abs().amax(1, keepdim=True)
        used += torch.bincount((scaled[..., None] - levels).abs().argmin(-1).flatten(), minlength=16)
    assert sum(measured.histogram) == sum(measured.used) == measured.weights
    assert sum(abs(one - other) for one, other in zip(measured.used, used.tolist(), strict=True)) <= 4  # ties


def test_levels_where_normal_weights_are_move_them_less_than_evenly_spaced_ones(measured):
    assert 0.05 < error(measured.layers) < error(measured.layers, even=True) < 0.2


def test_what_was_measured_is_kept_until_the_files_change(measured, tiny_llama, tmp_path, monkeypatch):
    monkeypatch.setenv("BEFORE_AFTER_CACHE", str(tmp_path / "cache"))
    folder = shutil.copytree(tiny_llama, tmp_path / "base")
    source = resolve(str(folder))
    assert kept(source) is None
    keep(source, measured)
    assert kept(source) == measured
    [file] = (tmp_path / "cache").glob("*/*.json")
    file.write_text(file.read_text()[:-20])
    assert kept(source) is None, "a torn file is none"
    keep(source, measured)
    tensors = load_file(folder / "model.safetensors")
    save_file({name: value + 1 for name, value in tensors.items()}, folder / "model.safetensors")
    assert kept(source) is None


def test_a_base_that_lacks_a_layer_is_refused(tiny_llama, tmp_path):
    folder = shutil.copytree(tiny_llama, tmp_path / "base")
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"lack some of its layers.*up_proj"):
        Measurement(resolve(str(folder)))


def test_a_weight_of_no_whole_number_of_blocks_is_measured_as_well(make_llama, tmp_path):
    source = resolve(str(make_llama(tmp_path / "odd", width=24)))
    measurement = Measurement(source)
    for name in measurement.names:
        measurement.take(name)
    found = measurement.result()
    assert any(layer.weights % BLOCK for layer in found.layers)
    assert sum(found.histogram) == sum(found.used) == found.weights
