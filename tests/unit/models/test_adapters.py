"""What an adapter's folder has to hold before it is loaded, and the proof that it acts."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from models import loading
from models.adapters import BaseOrigin
from models.pair import open_pair
from plumbing.errors import ModelError


@pytest.fixture
def adapter(tiny_adapter, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(tiny_adapter, tmp_path / "adapter")


def change_config(folder, **changed):
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(config | changed), encoding="utf-8")


@pytest.mark.cuda
@pytest.mark.parametrize("fixture", ["tiny_pair", "tiny_dialogue_pair", "tiny_classifier_pair"])
def test_an_adapter_that_acts_is_proved(fixture, request):
    proof = request.getfixturevalue(fixture).proof
    assert proof.largest_change > 0.01
    assert proof.same_weights
    assert proof.describe().startswith("adapter acts: logits move by up to")


@pytest.mark.cuda
def test_an_adapter_that_changes_nothing_is_refused(tiny_llama, make_adapter, tmp_path):
    with pytest.raises(ModelError, match="changes nothing"):
        open_pair(make_adapter(tmp_path / "idle", tiny_llama, acts=False))


@pytest.mark.cuda
def test_other_weights_of_the_same_model_are_allowed_and_named(adapter, tiny_llama, make_llama, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(tiny_llama, base)
    make_llama(base, seed=5)
    change_config(adapter, base_model_name_or_path=str(base))
    pair = open_pair(adapter, base=str(base))
    assert not pair.proof.same_weights
    assert "trained on the folder weights, used with the folder weights" in pair.proof.describe()


def test_a_base_in_a_folder_is_the_same_however_that_is_written(adapter, tiny_llama, monkeypatch):
    monkeypatch.chdir(tiny_llama.parent)
    assert open_pair(adapter, base=f"./{tiny_llama.name}").proof.same_weights


@pytest.mark.cuda
def test_another_base_model_is_refused(adapter, make_llama, tmp_path):
    change_config(adapter, base_model_name_or_path="owner/other-model")
    with pytest.raises(ModelError, match="another base model") as caught:
        open_pair(adapter)
    assert "owner/other-model" in str(caught.value)


@pytest.mark.cuda
def test_modules_that_the_base_lacks_are_refused(adapter):
    change_config(adapter, target_modules=["q_proj", "c_attn"])
    with pytest.raises(ModelError, match="modules that cannot be adapted") as caught:
        open_pair(adapter)
    assert "q_proj" in caught.value.fix


@pytest.mark.cuda
def test_the_vocabulary_projection_is_refused(adapter):
    """Its update would be left out where labels are scored, and added to the base's rows of a batch of both."""
    change_config(adapter, target_modules=["q_proj", "lm_head"])
    with pytest.raises(ModelError, match="cannot be adapted") as caught:
        open_pair(adapter)
    assert "lm_head" not in caught.value.fix


@pytest.mark.cuda
@pytest.mark.parametrize("targets", ["all-linear", ".*proj", None, 3, [3], [["q_proj"]]])
def test_patterns_of_modules_are_refused(adapter, targets):
    change_config(adapter, target_modules=targets)
    with pytest.raises(ModelError, match="modules that cannot be adapted"):
        open_pair(adapter)


@pytest.mark.cuda
def test_pickled_weights_are_refused(adapter):
    (adapter / "adapter_model.safetensors").unlink()
    torch.save({"x": torch.zeros(1)}, adapter / "adapter_model.bin")
    with pytest.raises(ModelError, match=r"no adapter_model\.safetensors") as caught:
        open_pair(adapter)
    assert "pickle" in caught.value.fix


@pytest.mark.cuda
@pytest.mark.parametrize("rank", [257, 0, -1, 4096, "8", None, 4.0])
def test_a_rank_out_of_bounds_is_refused(adapter, rank):
    change_config(adapter, r=rank)
    with pytest.raises(ModelError, match="rank must be 1 to 256"):
        open_pair(adapter)


@pytest.mark.cuda
def test_rank_256_is_allowed(tiny_llama, make_adapter, tmp_path):
    assert open_pair(make_adapter(tmp_path / "wide", tiny_llama, rank=256)).proof.largest_change > 0


@pytest.mark.cuda
@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"peft_type": "IA3"}, "Only LoRA"),
        ({"rank_pattern": {"q_proj": 4096}}, "rank_pattern"),
        ({"auto_mapping": {"base_model_class": "x", "parent_library": "os"}}, "auto_mapping"),
        ({"layer_replication": [[0, 2]] * 1000}, "layer_replication"),
        ({"megatron_config": {}, "megatron_core": "os", "target_parameters": ["x"]}, "target_parameters"),
    ],
)
def test_other_kinds_of_adapters_are_refused(adapter, changed, problem):
    change_config(adapter, **changed)
    with pytest.raises(ModelError, match=problem):
        open_pair(adapter)


@pytest.mark.parametrize("content", ["{", "[]", '{"name": "x"}', "odd kind", "odd precision", None])
def test_an_origin_that_cannot_be_read_is_refused(adapter, content):
    path = adapter / "base_model.json"
    if content in ("odd kind", "odd precision"):
        origin = json.loads(path.read_text(encoding="utf-8"))
        content = json.dumps(origin | {content.removeprefix("odd "): "load"})
    path.unlink() if content is None else path.write_text(content, encoding="utf-8")
    with pytest.raises(ModelError, match=r"base_model\.json cannot be read"):
        open_pair(adapter)


@pytest.mark.cuda
@pytest.mark.parametrize("content", ["{", "[]", None])
def test_a_config_that_cannot_be_read_is_refused(adapter, content):
    path = adapter / "adapter_config.json"
    path.unlink() if content is None else path.write_text(content, encoding="utf-8")
    with pytest.raises(ModelError, match=r"adapter_config\.json of the adapter"):
        open_pair(adapter)


@pytest.mark.cuda
def test_weights_that_do_not_fit_are_an_error_of_the_adapter(adapter):
    change_config(adapter, r=8)
    with pytest.raises(ModelError, match="do not fit"):
        open_pair(adapter)


@pytest.mark.cuda
def test_weights_that_are_missing_are_an_error_of_the_adapter(adapter):
    path = adapter / "adapter_model.safetensors"
    weights = load_file(path)
    del weights[min(weights)]
    save_file(weights, path)
    with pytest.raises(ModelError, match="do not fit"):
        open_pair(adapter)


@pytest.mark.cuda
def test_weights_that_are_not_safetensors_are_an_error_of_the_adapter(adapter):
    (adapter / "adapter_model.safetensors").write_bytes(b"not at all")
    with pytest.raises(ModelError, match="damaged"):
        open_pair(adapter)


def test_the_origin_comes_back_from_its_file(tiny_pair, tiny_adapter, tiny_llama):
    origin = BaseOrigin.load(tiny_adapter)
    assert (origin.name, origin.origin, origin.precision, origin.kind) == (
        str(tiny_llama),
        "folder",
        "float32",
        "causal",
    )
    assert origin.weights_sha256 == tiny_pair.base.weights_sha256
    assert len(origin.weights_sha256) == 64


@pytest.mark.cuda
@pytest.mark.parametrize("native", ["bfloat16", "float32"])
def test_an_adapter_made_in_bfloat16_opens_in_what_the_machine_multiplies(adapter, native, monkeypatch):
    path = adapter / "base_model.json"
    origin = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(origin | {"precision": "bfloat16"}), encoding="utf-8")
    monkeypatch.setattr(loading, "best_precision", lambda: native)
    pair = open_pair(adapter)
    assert pair.precision == native
    assert pair.model.dtype == getattr(torch, native)
    assert (pair.layers_of(True) is not None) == (pair.model.device.type == "cpu")
