"""GGUF files, written here from a tiny model: read as the folder that they are of, and refused where damaged."""

import json

import gguf
import numpy
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from models.gguf_files import check_gguf, packed_in, resolve_gguf, splits_unknown
from models.loading import load, load_tokenizer
from models.sources import resolve
from plumbing.errors import ModelError


def write_gguf(folder, path, kind="F32", pre="smollm", more=None):
    """The Llama in `folder` as llama.cpp's converter lays it out, its matrices in `kind`, and `more` tensors."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    saved = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    words = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(words)
    special = set(tokenizer.all_special_tokens)
    writer.add_token_types([3 if word in special else 1 for word in words])
    writer.add_token_merges([" ".join(pair) for pair in saved["merges"]])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_chat_template(tokenizer.chat_template)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        values = tensor.float().numpy()
        for part, heads in (("q_proj", config.num_attention_heads), ("k_proj", config.num_key_value_heads)):
            if part in name:  # rotary halves stand beside each other there
                split = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
                values = split.swapaxes(1, 2).reshape(values.shape)
        place = names.get_name(name, try_suffixes=(".weight",))
        if values.ndim == 2 and kind != "F32":
            quantised = gguf.GGMLQuantizationType[kind]
            writer.add_tensor(place, gguf.quantize(values, quantised), raw_dtype=quantised)
        else:
            writer.add_tensor(place, numpy.ascontiguousarray(values))
    for name, values in (more or {}).items():
        writer.add_tensor(name, numpy.array(values, dtype=numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def file(tiny_llama, tmp_path_factory):
    return write_gguf(tiny_llama, tmp_path_factory.mktemp("gguf") / "tiny.f32.gguf")


def logits(loaded, text):
    ids = loaded.tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        return ids.tolist(), loaded.model(input_ids=ids).logits


@pytest.mark.parametrize(("kind", "apart"), [("F32", 1e-4), ("F16", 0.05), ("Q8_0", 1.0)])
def test_a_file_answers_as_the_folder_that_it_was_made_of(tiny_llama, tmp_path, kind, apart):
    path = write_gguf(tiny_llama, tmp_path / f"tiny.{kind}.gguf", kind)
    source = resolve_gguf(path)
    assert packed_in(path) == kind and source.name == path.name and source.gguf == path.name
    packed, plain = load(source, precision="float32"), load(resolve(str(tiny_llama)), precision="float32")
    assert packed.tokenizer.chat_template == plain.tokenizer.chat_template
    assert packed.tokenizer.eos_token == plain.tokenizer.eos_token
    text = "<|im_start|>user\nAna: Is the soup positive?<|im_end|>\n"
    (one, own), (other, its) = logits(packed, text), logits(plain, text)
    assert one == other
    assert (own - its).abs().max() < apart
    assert source.weights_sha256 != plain.source.weights_sha256 and len(source.weights_sha256) == 64


def test_files_that_are_none_are_refused(file, tmp_path):
    whole = file.read_bytes()
    hostile = {
        "empty.gguf": b"",
        "short.gguf": whole[:20],
        "pickle.gguf": b"\x80\x04\x95" + b"x" * 100,
        "version.gguf": whole[:4] + (99).to_bytes(4, "little") + whole[8:],
        "tensors.gguf": whole[:8] + (2**60).to_bytes(8, "little") + whole[16:],
        "fields.gguf": whole[:16] + (2**60).to_bytes(8, "little") + whole[24:],
    }
    for name, content in hostile.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelError):
            check_gguf(tmp_path / name)
    (tmp_path / "model-00001-of-00002.gguf").write_bytes(whole)
    with pytest.raises(ModelError, match="one part of several"):
        resolve_gguf(tmp_path / "model-00001-of-00002.gguf")
    with pytest.raises(ModelError, match="cannot be read"):
        resolve_gguf(tmp_path / "nowhere.gguf")


@pytest.mark.parametrize(("pre", "pieces"), [("smollm", ["\n\n", "1", "2"]), ("gpt-2", ["\n", "\n", "12"])])
def test_texts_are_split_as_the_file_says(tiny_llama, tmp_path, pre, pieces):
    path = write_gguf(tiny_llama, tmp_path / f"{pre}.gguf", pre=pre)
    splits = load_tokenizer(resolve_gguf(path)).backend_tokenizer.pre_tokenizer.pre_tokenize_str("\n\n12")
    assert [piece.replace("Ċ", "\n") for piece, _ in splits] == pieces
    assert splits_unknown(path) == ""


def test_a_rule_that_is_not_known_is_said(tiny_llama, tmp_path):
    assert splits_unknown(write_gguf(tiny_llama, tmp_path / "a.gguf", pre="deepseek-coder")) == "deepseek-coder"


def test_no_adapter_that_lies_beside_a_file_gets_onto_it(file, tmp_path):
    (tmp_path / "merged.gguf").write_bytes(file.read_bytes())
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "who/it"}))
    with pytest.raises(ModelError, match=r"would put onto it.*folder of its own"):
        resolve_gguf(tmp_path / "merged.gguf")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_a_file_that_was_cut_off_is_an_error_for_a_person(file, tmp_path, share):
    whole = file.read_bytes()
    path = tmp_path / "cut.gguf"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ModelError):
        packed_in(path)
    with pytest.raises(ModelError):
        load(resolve_gguf(path), precision="float32")


def test_nothing_but_a_language_model_is_read_from_one(file):
    with pytest.raises(ModelError, match="as a language model"):
        load(resolve_gguf(file), precision="nf4")


def test_a_side_that_is_a_file_answers_as_its_folder(tiny_llama, tmp_path):
    from data.tasks import SENTIMENT
    from eval.sides.named import open_sides
    from eval.sides.side import Asked

    path = write_gguf(tiny_llama, tmp_path / "tiny.gguf", "Q8_0")
    asked = [Asked(str(each), options={"precision": "float32"}) for each in (tiny_llama, path)]
    folder, packed = open_sides(asked, SENTIMENT)
    try:
        assert packed.about.kind == "gguf" and packed.about.precision == "Q8_0"
        assert "computed in float32, unpacked" in packed.about.notes[0]
        assert packed.about.proof.endswith("weights are not the base's.")
        assert packed.abilities == folder.abilities == {"writes", "chooses", "likelihood"}
        texts = ["Fine soup.", "Bad!"]
        for one, other in zip(folder.choose(texts), packed.choose(texts), strict=True):
            assert one.probabilities == pytest.approx(other.probabilities, abs=0.1)
        assert folder.prompted("x") == packed.prompted("x")
    finally:
        folder.close()
        packed.close()


def test_positions_turn_as_slowly_as_a_file_says(tiny_llama, tmp_path):
    slower = [1.0, 2.0, 4.0, 8.0]
    file = write_gguf(tiny_llama, tmp_path / "scaled.gguf", more={"rope_freqs.weight": slower})
    scaled, plain = (
        load(resolve_gguf(file), precision="float32"),
        load(resolve(str(tiny_llama)), precision="float32"),
    )
    own, its = (loaded.model.model.rotary_emb.inv_freq for loaded in (scaled, plain))
    assert torch.equal(own, its / torch.tensor(slower).to(its.device))
    assert (
        logits(scaled, "Is the soup positive?")[1] - logits(plain, "Is the soup positive?")[1]
    ).abs().max() > 0.01


def test_a_file_whose_positions_are_scaled_otherwise_is_not_read_as_if_they_were_not(tiny_llama, tmp_path):
    file = write_gguf(tiny_llama, tmp_path / "long.gguf", more={"rope_factors_long.weight": [2.0] * 4})
    with pytest.raises(ModelError, match=r"scales positions in a way that is not read here.*http://HOST:PORT"):
        load(resolve_gguf(file))
    for number, wrong in enumerate(([2.0] * 3, [2.0, 2.0, 2.0, 0.0], [2.0, 2.0, 2.0, float("nan")])):
        file = write_gguf(tiny_llama, tmp_path / f"{number}.gguf", more={"rope_freqs.weight": wrong})
        with pytest.raises(ModelError, match="positions are not those of its model"):
            load(resolve_gguf(file))
