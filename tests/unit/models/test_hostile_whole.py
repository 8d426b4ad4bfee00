"""Whole models that somebody else made: each hostile one is a ModelError, before its weights are read."""

import json
import shutil
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from models import whole
from models.loading import load
from models.pair import open_pair
from models.sources import resolve
from models.whole import CONFIG_FILE, INDEX_FILE, WEIGHTS_FILE, check_whole, is_whole
from plumbing.errors import ModelError

CONFIGS = {
    "code for the model": {"auto_map": {"AutoModelForCausalLM": "modeling_evil.Model"}},
    "code for the pipeline": {"custom_pipelines": {"x": {"impl": "evil.Pipe"}}},
    "a kernel from the Hub": {"_attn_implementation": "somebody/kernel"},
    "the same by its other name": {"attn_implementation": "somebody/kernel"},
    "packed weights": {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
    "another architecture": {"architectures": ["GPT2LMHeadModel"]},
    "no architecture": {"architectures": None},
    "architectures that are a text": {"architectures": "LlamaForCausalLM"},
    "another kind of model": {"model_type": "gpt2"},
    "more layers": {"num_hidden_layers": 10**9},
    "a wider model": {"hidden_size": 2**40},
    "another vocabulary": {"vocab_size": 10**9},
    "more heads": {"num_attention_heads": 8},
    "heads that are none": {"num_key_value_heads": True},
    "another norm": {"rms_norm_eps": 0.5},
    "another activation": {"hidden_act": "relu"},
    "other rotary embeddings": {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}},
    "tied weights": {"tie_word_embeddings": True},
    "a setting of its own": {"brand_new": {"import": "os"}},
    "a setting that is a method": {"to_dict": 5},
    "a class": {"__class__": "x"},
}


@pytest.fixture
def folder(tiny_whole, tmp_path):
    return shutil.copytree(tiny_whole, tmp_path / "whole")


@pytest.fixture
def sharded(make_whole, tiny_llama, tmp_path):
    return make_whole(tmp_path / "sharded", tiny_llama, shard="20KB")


@pytest.fixture(scope="module")
def loaded(tiny_llama):
    return load(resolve(str(tiny_llama)), precision="float32")


@pytest.fixture(autouse=True)
def never_loaded(monkeypatch):
    """What is refused is refused before a weight is read."""

    def opened(*_, **__):
        raise AssertionError("hostile weights were read")

    monkeypatch.setattr("safetensors.safe_open", opened)


def test_the_model_that_was_not_touched_passes(folder, sharded, loaded, tiny_adapter):
    check_whole(folder, loaded.model)
    check_whole(sharded, loaded.model)
    assert is_whole(folder) and is_whole(sharded) and not is_whole(tiny_adapter)


def test_settings_that_say_nothing_of_what_is_computed_may_differ(folder, loaded):
    path = folder / CONFIG_FILE
    free = {"transformers_version": "9.9", "dtype": "bfloat16", "use_cache": False, "pad_token_id": 3}
    path.write_text(json.dumps(json.loads(path.read_text()) | free))
    check_whole(folder, loaded.model)


@pytest.mark.parametrize("what", list(CONFIGS))
def test_a_hostile_config_is_refused(folder, loaded, what):
    path = folder / CONFIG_FILE
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | CONFIGS[what]), encoding="utf-8")
    with pytest.raises(ModelError):
        check_whole(folder, loaded.model)


@pytest.mark.parametrize("lost", ["num_hidden_layers", "hidden_size", "vocab_size", "architectures"])
def test_a_config_that_leaves_out_what_it_is_is_refused(folder, loaded, lost):
    path = folder / CONFIG_FILE
    config = json.loads(path.read_text())
    del config[lost]
    path.write_text(json.dumps(config))
    with pytest.raises(ModelError):
        check_whole(folder, loaded.model)


@pytest.mark.parametrize(
    "content",
    ["[" * 100_000, '{"a": "' + "x" * 2_000_000 + '"}', b"\xff\xfe{\0}\0", "null", "", "[]"],
    ids=["deep", "large", "UTF-16", "nothing", "empty", "list"],
)
@pytest.mark.parametrize("name", [CONFIG_FILE, "base_model.json", "prompt.json", "task.json"])
def test_hostile_json_is_refused_wherever_it_is(folder, name, content):
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ModelError):
        open_pair(folder)


def header_of(path):
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def rewritten(path, header, data, *, length=None):
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded) if length is None else length) + encoded + data)


def first_of(header):
    return next(name for name in header if name != "__metadata__")


def _changed(**fields):
    def change(path):
        header, data = header_of(path)
        header[first_of(header)].update(fields)
        rewritten(path, header, data)

    return change


def _lost(path):
    weights = load_file(path)
    del weights[min(weights)]
    save_file(weights, path)


def _with(name, shape):
    def change(path):
        save_file(load_file(path) | {name: torch.zeros(shape)}, path)

    return change


def _narrower(path):
    save_file({name: value[:-1].clone() for name, value in load_file(path).items()}, path)


def _sparse(path):
    with path.open("r+b") as file:
        file.truncate(50_000_000_000)


WEIGHTS = {
    "huge header length": lambda path: rewritten(path, *header_of(path), length=2**63),
    "header longer than the file": lambda path: rewritten(path, *header_of(path), length=10**6),
    "sparse file of 50 GB": _sparse,
    "deep header": lambda path: rewritten(path, b"[" * 100_000, b""),
    "no tensors": lambda path: rewritten(path, b"{}", b""),
    "pickle inside": lambda path: path.write_bytes(b"\x80\x04\x95" + b"x" * 100),
    "empty file": lambda path: path.write_bytes(b""),
    "huge shape": _changed(shape=[2**39, 2**39]),
    "negative shape": _changed(shape=[-4, -32]),
    "another type": _changed(dtype="I64"),
    "offsets out of the file": _changed(data_offsets=[10**9, 10**9 + 512]),
    "field of its own": _changed(code="x"),
    "lost tensor": _lost,
    "layer too many": _with("model.layers.2.mlp.up_proj.weight", (64, 32)),
    "adapter's tensor": _with("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", (4, 32)),
    "narrower model": _narrower,
    "bytes behind the end": lambda path: path.write_bytes(path.read_bytes() + b"\x80\x04 a pickle"),
}


@pytest.mark.parametrize("what", list(WEIGHTS))
def test_hostile_weights_are_refused(folder, loaded, what):
    WEIGHTS[what](folder / WEIGHTS_FILE)
    with pytest.raises(ModelError, match="do not fit its base, or are damaged"):
        check_whole(folder, loaded.model)


def _index(change):
    def apply(folder):
        index = json.loads((folder / INDEX_FILE).read_text())
        index["weight_map"] = change(index["weight_map"])
        (folder / INDEX_FILE).write_text(json.dumps(index))

    return apply


INDEXES = {
    "out of the folder": _index(lambda found: found | {min(found): "../other/model-00001-of-00002.safetensors"}),
    "absolute": _index(lambda found: found | {min(found): "/etc/model-00001-of-00002.safetensors"}),
    "a pickle": _index(lambda found: found | {min(found): "pytorch_model.bin"}),
    "a number": _index(lambda found: found | {min(found): 7}),
    "a list": _index(list),
    "nothing": _index(lambda _: {}),
    "a file that is not there": _index(lambda found: found | {min(found): "model-00009-of-00009.safetensors"}),
    "a tensor in another file": _index(lambda found: found | {min(found): max(found.values())}),
    "a tensor that is not there": _index(lambda found: found | {"model.evil": max(found.values())}),
    "not an object": lambda folder: (folder / INDEX_FILE).write_text("[]"),
    "not JSON": lambda folder: (folder / INDEX_FILE).write_text("{"),
    "large": lambda folder: (folder / INDEX_FILE).write_text('{"a": "' + "x" * 2_000_000 + '"}'),
    "a shard that is a link": lambda folder: _linked(folder, min(folder.glob("model-*"))),
    "a shard lost": lambda folder: min(folder.glob("model-*")).unlink(),
}


def _linked(folder, path):
    elsewhere = folder.parent / "elsewhere"
    shutil.move(path, elsewhere)
    path.symlink_to(elsewhere)


@pytest.mark.parametrize("what", list(INDEXES))
def test_a_hostile_index_is_refused(sharded, loaded, what):
    INDEXES[what](sharded)
    with pytest.raises(ModelError):
        check_whole(sharded, loaded.model)


@pytest.mark.parametrize("name", [WEIGHTS_FILE, CONFIG_FILE, "base_model.json", "prompt.json"])
def test_a_link_out_of_the_folder_is_refused(folder, name):
    _linked(folder, folder / name)
    with pytest.raises(ModelError):
        open_pair(folder)


def test_pickled_weights_are_refused(folder):
    (folder / WEIGHTS_FILE).unlink()
    torch.save({"x": torch.zeros(1)}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"no model\.safetensors") as caught:
        open_pair(folder)
    assert "pickle" in caught.value.fix


def test_a_folder_that_is_both_is_an_adapters(folder, tiny_adapter):
    """So that no check is passed by being the other kind."""
    shutil.copy(tiny_adapter / "adapter_config.json", folder)
    with pytest.raises(ModelError, match=r"no adapter_model\.safetensors"):
        open_pair(folder)


@pytest.mark.cuda
def test_code_and_tokenizer_that_lie_beside_the_weights_are_never_looked_at(folder, tmp_path, monkeypatch):
    monkeypatch.undo()
    marker = tmp_path / "it ran"
    (folder / "modeling_evil.py").write_text(f"open({str(marker)!r}, 'w').close()\n", encoding="utf-8")
    torch.save({"x": torch.zeros(1)}, folder / "pytorch_model.bin")
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja"):
        (folder / name).write_text("[" * 100_000, encoding="utf-8")
    assert open_pair(folder).proof.largest_change > 0
    assert not marker.exists()


@pytest.mark.cuda
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38], ids=["nan", "inf", "overflowing"])
def test_weights_that_are_not_numbers_are_refused(folder, value, monkeypatch):
    monkeypatch.undo()  # such weights can only be seen once they are loaded
    weights = load_file(folder / WEIGHTS_FILE)
    weights["lm_head.weight"].fill_(value)
    save_file(weights, folder / WEIGHTS_FILE)
    with pytest.raises(ModelError, match="not numbers"):
        open_pair(folder)


def test_what_may_differ_is_what_does_not_say_what_is_computed():
    assert not whole._FREE & {"hidden_size", "num_hidden_layers", "vocab_size", "rope_parameters", "hidden_act"}
