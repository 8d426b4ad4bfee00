"""GGUF files of tiny random models: what transformers reads of one computes what the folder computes."""

import dataclasses
import json
import shutil

import pytest
import torch
import transformers

from finetuning.export.gguf.lora import write_lora_gguf
from finetuning.export.gguf.vocabulary import PROBES, rule_of
from finetuning.export.gguf.writing import Language, packing_of, write_gguf
from finetuning.export.tuned import Tuned
from finetuning.export.work import Stopped, Work
from models.gguf_files import packed_in, resolve_gguf
from models.loading import load, load_tokenizer
from models.sources import resolve
from plumbing.errors import ModelError
from tests.unit.finetuning.sentencepieces import sentencepiece

TEXT = "<|im_start|>user\nAna: Is the soup positive? 12 ways.<|im_end|>\n"
SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.15,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
NEAR_AND_FAR = {"sliding_attention": {"rope_type": "default"}, "full_attention": {"rope_type": "default"}}
GEMMA3 = {"num_hidden_layers": 6, "sliding_window": 16, "intermediate_size": 48}
"""Whose window is shorter than what is asked; the sixth layer has none."""
MODELS = {
    "llama": ("Llama", {}),
    "llama, tied": ("Llama", {"tie_word_embeddings": True}),
    "llama, wide heads": ("Llama", {"head_dim": 32}),
    "llama 2": ("Llama", {"num_key_value_heads": 4}),
    "llama 3": ("Llama", {"rope_parameters": LLAMA3}),
    "mistral": ("Mistral", {"sliding_window": None, "head_dim": 16}),
    "qwen3": ("Qwen3", {"head_dim": 128}),
    "qwen3, narrow heads": ("Qwen3", {"head_dim": 16}),
    "gemma": ("Gemma3Text", {**GEMMA3, "head_dim": 256, "query_pre_attn_scalar": 256}),
    "gemma, narrow heads": ("Gemma3Text", {**GEMMA3, "head_dim": 16, "query_pre_attn_scalar": 16}),
    "smollm3": ("SmolLM3", {}),
}
BY_LLAMA_CPP_ALONE = ("qwen3, narrow heads", "gemma, narrow heads", "smollm3")
"""Of these transformers does not read how wide heads are, or the architecture."""
SENTENCEPIECE = {"llama 2": "<s>{}", "mistral": "{}", "gemma": "{}", "gemma, narrow heads": "{}"}
"""The models that have such a tokenizer, and how these are asked; the others have the tiny Llama's."""


def build(kind, tiny_llama, folder, **more):
    """A random model, on whose logits every norm has its say."""
    name, settings = MODELS[kind]
    shutil.copytree(tiny_llama, folder)
    tokenizer = load_tokenizer(resolve(str(tiny_llama)))
    words = len(tokenizer)
    if kind in SENTENCEPIECE:
        tokenizer = sentencepiece(kind.partition(",")[0])
        (folder / "chat_template.jinja").unlink()
        tokenizer.save_pretrained(folder)
        words = len(tokenizer) - kind.startswith("gemma")  # which has one for a picture
    ids = {f"{each}_token_id": getattr(tokenizer, f"{each}_token_id") for each in ("bos", "eos", "pad")}
    config = getattr(transformers, f"{name}Config")(**{**SIZES, "vocab_size": words, **ids, **settings, **more})
    torch.manual_seed(7)
    model = transformers.AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():
        if parameter.dim() == 1:
            parameter.data += torch.randn(len(parameter)) * 0.3
    model.save_pretrained(folder)
    return folder


def language(kind, folder):
    """As it is written: with prompts as they are asked."""
    model = Language.in_folder(folder)
    asked = [SENTENCEPIECE[kind].format(text) for text in (TEXT, *PROBES)] if kind in SENTENCEPIECE else ()
    return dataclasses.replace(model, asked=asked)


def logits(source, kind="llama"):
    loaded = load(source, precision="float32")
    text = SENTENCEPIECE.get(kind, "{}").format(TEXT)
    ids = loaded.tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        return ids.tolist(), loaded.model(input_ids=ids).logits


@pytest.mark.parametrize("kind", [kind for kind in MODELS if kind not in BY_LLAMA_CPP_ALONE])
def test_a_file_computes_what_its_folder_computes(kind, tiny_llama, tmp_path):
    folder = build(kind, tiny_llama, tmp_path / "model")
    write_gguf(language(kind, folder), tmp_path / "f32.gguf", Work(), packing="f32")
    (ids, own), (others, packed) = (
        logits(source, kind) for source in (resolve(str(folder)), resolve_gguf(tmp_path / "f32.gguf"))
    )
    assert ids == others
    # By how much positions of Llama 3 turn slower is divided by, and written; so there the last bit may differ.
    assert torch.equal(own, packed) or (kind == "llama 3" and (own - packed).abs().max() < 1e-5)


@pytest.mark.parametrize(("packing", "apart"), [("f16", 0.02), ("q8_0", 0.5)])
def test_packing_loses_little(tiny_llama, tmp_path, packing, apart):
    folder = build("llama", tiny_llama, tmp_path / "model")
    write_gguf(Language.in_folder(folder), tmp_path / "packed.gguf", Work(), packing=packing)
    (_, own), (_, packed) = logits(resolve(str(folder))), logits(resolve_gguf(tmp_path / "packed.gguf"))
    assert 0 < (own - packed).abs().max() < apart
    assert packed_in(tmp_path / "packed.gguf") == packing.upper()


def test_bfloat16_weights_lose_nothing_in_float16_but_the_ends_of_tiny_ones(tiny_llama, tmp_path):
    folder = build("llama", tiny_llama, tmp_path / "model")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    write_gguf(Language.in_folder(folder), tmp_path / "f16.gguf", Work())
    packed = load(resolve_gguf(tmp_path / "f16.gguf"), precision="float32").model.state_dict()
    for name, weight in model.state_dict().items():
        lost = (weight.float() - packed[name]).abs()
        assert lost.max() <= 2.0**-25 and lost[weight.abs() >= 2.0**-14].sum() == 0, name
    (_, own), (_, others) = logits(resolve(str(folder))), logits(resolve_gguf(tmp_path / "f16.gguf"))
    assert (own - others).abs().max() < 1e-4


def test_embeddings_without_a_word_are_said_to_be_unused(tiny_llama, tmp_path):
    words = len(load_tokenizer(resolve(str(tiny_llama))))
    folder = build("llama", tiny_llama, tmp_path / "model", vocab_size=words + 5)
    write_gguf(Language.in_folder(folder), tmp_path / "f32.gguf", Work(), packing="f32")
    (ids, own), (others, packed) = logits(resolve(str(folder))), logits(resolve_gguf(tmp_path / "f32.gguf"))
    assert ids == others and torch.equal(own, packed)


def test_what_was_not_verified_is_refused(tiny_llama, tmp_path):
    odd = {
        "biases": ("llama", {"attention_bias": True}),
        "rule linear": ("llama", {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}}),
        "rule llama3": ("qwen3", {"rope_parameters": LLAMA3}),
        "window of 8": ("mistral", {"sliding_window": 8}),
        "every fourth": ("smollm3", {"no_rope_layers": [1, 1, 1, 1]}),
        "activation gelu": ("llama", {"hidden_act": "gelu"}),
        "scaled by 64": ("gemma", {"query_pre_attn_scalar": 64}),
        "every sixth": ("gemma", {"layer_types": ["full_attention"] * 6}),
        "capped": ("gemma", {"final_logit_softcapping": 30.0}),
        "both directions": ("gemma", {"use_bidirectional_attention": True}),
        "base 500 ": ("gemma", {"rope_parameters": {**NEAR_AND_FAR, "sliding_attention": {"rope_theta": 500.0}}}),
        "scaled positions": (
            "gemma",
            {"rope_parameters": {**NEAR_AND_FAR, "full_attention": {"rope_type": "linear", "factor": 8.0}}},
        ),
    }
    for number, (why, (kind, settings)) in enumerate(odd.items()):
        folder = build(kind, tiny_llama, tmp_path / str(number), **settings)
        with pytest.raises(ModelError, match=f"not verified.*{why}"):
            write_gguf(Language.in_folder(folder), tmp_path / "out.gguf", Work())
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["FalconForCausalLM"]}))
    with pytest.raises(ModelError, match="none was verified"):
        write_gguf(Language.in_folder(folder), tmp_path / "out.gguf", Work())
    assert not (tmp_path / "out.gguf").exists()


def test_the_rule_of_splitting_is_told_by_what_the_tokenizer_does(tiny_llama):
    from tokenizers import Regex, pre_tokenizers
    from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

    state = json.loads((tiny_llama / "tokenizer.json").read_text())

    def rule(*steps, **model):
        parts = pre_tokenizers.Sequence(list(steps))
        changed = {**state, "pre_tokenizer": json.loads(parts.__getstate__()), "model": {**state["model"], **model}}
        return rule_of(changed)

    def split(name):
        return pre_tokenizers.Split(Regex(GGUF_PRE_TOKENIZER_SPLITS[name]), behavior="isolated")

    plain = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    assert rule(plain) == "gpt-2"
    assert rule(pre_tokenizers.Digits(individual_digits=True), plain) == "smollm"
    assert rule(split("qwen2"), bare) == "qwen2"
    assert rule(split("llama3"), bare, ignore_merges=True) == "llama-bpe"
    assert rule(split("llama3"), bare) == "smaug-bpe"
    for odd in (
        (pre_tokenizers.ByteLevel(add_prefix_space=True),),
        (pre_tokenizers.Digits(individual_digits=False), plain),
        (split("qwen2"), plain),
        (pre_tokenizers.Split(Regex("x+"), behavior="isolated"), bare),
    ):
        with pytest.raises(ModelError, match="no name that is known"):
            rule(*odd)
    with pytest.raises(ModelError, match="no name that is known"):
        rule(plain, ignore_merges=True)
    with pytest.raises(ModelError, match="only byte-level BPE"):
        rule(pre_tokenizers.Metaspace())


def test_a_file_that_cuts_texts_otherwise_is_not_left(make_llama, tmp_path, monkeypatch):
    from finetuning.export.gguf import vocabulary

    folder = make_llama(tmp_path / "counts", words=["12"])
    monkeypatch.setattr(vocabulary, "rule_of", lambda state: "smollm")
    with pytest.raises(ModelError, match="does not cut texts as the model's own"):
        write_gguf(Language.in_folder(folder), tmp_path / "out.gguf", Work())
    assert [path.name for path in tmp_path.iterdir()] == ["counts"]


def test_weights_that_are_no_numbers_are_not_written(tiny_llama, tmp_path):
    for number, (value, packing) in enumerate([(float("nan"), "f32"), (float("inf"), "q8_0")]):
        folder = build("llama", tiny_llama, tmp_path / str(number))
        model = transformers.AutoModelForCausalLM.from_pretrained(folder)
        model.model.layers[1].mlp.up_proj.weight.data[0, 0] = value
        model.save_pretrained(folder)
        with pytest.raises(ModelError, match=r"no number.*up_proj"):
            write_gguf(Language.in_folder(folder), tmp_path / "out.gguf", Work(), packing=packing)
    assert not (tmp_path / "out.gguf").exists()


def test_k_quants_are_refused_with_the_reason(tiny_llama):
    model = Language.in_folder(tiny_llama)
    with pytest.raises(ModelError, match=r"256 weights of a row at a time, and rows of this model have 32.*q8_0"):
        packing_of("Q4_K_M", model)
    with pytest.raises(ModelError, match="no such packing"):
        packing_of("int3", model)
    assert packing_of("Q8_0") == "q8_0"


def test_a_file_that_is_stopped_is_not_there(tiny_llama, tmp_path):
    told = []
    with pytest.raises(Stopped):
        write_gguf(
            Language.in_folder(tiny_llama),
            tmp_path / "out.gguf",
            Work(lambda *said: told.append(said), lambda: len(told) > 3),
        )
    assert told[-1][0] == "Writing f16" and not list(tmp_path.iterdir())


def test_only_a_plain_lora_is_a_file_of_its_own(tiny_llama, make_adapter, tmp_path):
    config = Language.in_folder(tiny_llama).config
    dora = make_adapter(tmp_path / "dora", tiny_llama, use_dora=True)
    with pytest.raises(ModelError, match="plain LoRA"):
        write_lora_gguf(Tuned.of(dora), config, tmp_path / "lora.gguf", Work())
    assert not (tmp_path / "lora.gguf").exists()
