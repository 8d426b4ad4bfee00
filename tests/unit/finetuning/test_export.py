"""An adapter as a zip and merged into its base: what is in them, and that they answer as what was trained."""

import contextlib
import io
import json
import re
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, GenerationConfig

from finetuning.export.adapter import write_adapter
from finetuning.export.forms import export
from finetuning.export.merged import write_merged
from finetuning.export.merging import MergedWeights
from finetuning.export.tuned import Tuned
from finetuning.export.work import Stopped, Work
from models import loading
from models.generation import answer_batch
from models.pair import open_pair
from models.resolved import _hash_weights
from models.sources import resolve
from plumbing.errors import RunError, UserError

TEXT = "Ana: Is the shop still open?\nLeo: Until six."
TARGETS = ["q_proj", "v_proj"]


def merged_by_peft(folder, base, auto, **options):
    model = PeftModel.from_pretrained(auto.from_pretrained(base, dtype=torch.float32, **options), folder)
    return model.merge_and_unload().state_dict()


def same(weights, expected, *, within=1e-6):
    assert set(weights.shapes) <= set(expected)
    for name, shape in weights.shapes.items():
        assert tuple(expected[name].shape) == shape
        assert (weights.get(name) - expected[name]).abs().max() <= within, name


@pytest.mark.parametrize("settings", [{}, {"use_rslora": True}, {"use_dora": True}], ids=["lora", "rslora", "dora"])
def test_what_is_merged_is_what_peft_merges(tiny_llama, make_adapter, tmp_path, settings):
    folder = make_adapter(tmp_path / "adapter", tiny_llama, **settings)
    weights = MergedWeights(Tuned.of(folder), resolve(str(tiny_llama)))
    same(weights, merged_by_peft(folder, tiny_llama, AutoModelForCausalLM))
    plain = resolve(str(tiny_llama))
    unchanged = MergedWeights(Tuned.of(folder), plain)._base
    name = "model.layers.0.self_attn.q_proj.weight"
    assert not torch.equal(weights.get(name), unchanged.get(name))
    assert torch.equal(weights.get("model.norm.weight"), unchanged.get("model.norm.weight"))


def test_a_classifier_and_a_reward_model_are_merged_with_their_heads(
    tiny_bert, tiny_classifier_adapter, tiny_llama, tiny_reward_adapter
):
    for folder, base, labels in ((tiny_classifier_adapter, tiny_bert, 2), (tiny_reward_adapter, tiny_llama, 1)):
        weights = MergedWeights(Tuned.of(folder), resolve(str(base)))
        same(weights, merged_by_peft(folder, base, AutoModelForSequenceClassification, num_labels=labels))
        assert any(name.startswith(("classifier", "score")) for name in weights.shapes)


@pytest.fixture(scope="module")
def packed_adapter(tiny_llama, make_adapter, tmp_path_factory):
    """On the tiny Llama in 4 bit, whose rows of 32 weights end within a block of 64."""
    return make_adapter(tmp_path_factory.mktemp("packed") / "adapter", tiny_llama, precision="nf4")


def test_the_base_under_a_4_bit_run_is_what_4_bit_left_of_it(tiny_llama, packed_adapter):
    from bitsandbytes.functional import dequantize_4bit

    source = resolve(str(tiny_llama))
    trained, original = (
        MergedWeights(Tuned.of(packed_adapter), source, onto=onto) for onto in ("trained", "original")
    )
    loaded = loading.load(source, precision="nf4")
    update = trained._update
    seen = 0
    for name, parameter in loaded.model.named_parameters():
        if not hasattr(parameter, "quant_state"):
            continue
        state = parameter.quant_state
        state.dtype = torch.float32
        unpacked = dequantize_4bit(parameter.data, state)
        layer = name.removesuffix(".weight")
        if layer in trained.targets:
            seen += 1
            unpacked = unpacked + 2 * update[f"{layer}.lora_B.weight"] @ update[f"{layer}.lora_A.weight"]
        assert torch.equal(trained.get(name), unpacked)
        assert not torch.equal(original.get(name), unpacked)
    assert seen == 2 * len(TARGETS)


def logits_of(model, ids):
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits


@pytest.mark.parametrize("packed", [False, True], ids=["float32", "nf4"])
def test_a_merged_folder_answers_as_the_adapter_beside_its_base(
    tiny_adapter, packed_adapter, tiny_llama, tmp_path, monkeypatch, packed
):
    folder = packed_adapter if packed else tiny_adapter
    monkeypatch.setattr(loading, "best_precision", lambda: "float32")  # beside 4 bit, it computes in this
    said = write_merged(Tuned.of(folder), tmp_path / "merged", Work(), stored="float32")
    assert ("4-bit" in said[0]) == packed and said[1] == "Its weights are in float32."
    pair = open_pair(folder)
    ids = pair.prompter.encode_prompt(TEXT)
    own = logits_of(pair.model, ids)
    merged = logits_of(AutoModelForCausalLM.from_pretrained(tmp_path / "merged"), ids)
    assert (own - merged).abs().max() < 1e-4
    assert open_pair(tmp_path / "merged", base=str(tiny_llama)).is_whole  # and it is a whole model of ours
    card = (tmp_path / "merged" / "README.md").read_text()
    assert said[0] in card and "library_name: transformers" in card
    assert "base_model_relation" not in card, "a folder is no model of the Hub's"


def program_in(card):
    return re.search(r"## How to use it.*?```python\n(.*?)```", card, re.DOTALL)[1]


def printed_by(card, folder, base, text, monkeypatch):
    """What the card's own program says of `text`, run in its folder with the base in it, as it wants."""
    monkeypatch.chdir(folder)
    Path(base.name).symlink_to(base)
    out = io.StringIO()
    program = program_in(card).replace('"…"', repr(text)).replace('dtype="auto"', "dtype=torch.float32")
    with contextlib.redirect_stdout(out):
        exec(compile(f"import torch\n{program}", "card", "exec"), {})
    return out.getvalue().rstrip("\n")


@pytest.mark.parametrize("merged", [False, True], ids=["adapter", "merged"])
def test_the_program_in_the_card_answers_as_the_page_does(
    tiny_dialogue_adapter, tiny_llama, tmp_path, monkeypatch, merged
):
    tuned = Tuned.of(tiny_dialogue_adapter)
    if merged:
        write_merged(tuned, tmp_path / "out", Work(), stored="float32")
        folder = tmp_path / "out"
    else:
        write_adapter(tuned, tmp_path / "out.zip", Work())
        with zipfile.ZipFile(tmp_path / "out.zip") as archive:
            archive.extractall(tmp_path)
        folder = tmp_path / tuned.name
    (expected,) = answer_batch(open_pair(tiny_dialogue_adapter), [TEXT], max_new_tokens=64)
    answer = printed_by((folder / "README.md").read_text(), folder, tiny_llama, TEXT, monkeypatch)
    half = "\ufffd"  # where the answer is cut off, of which the page shows no half characters
    assert answer.rstrip(half).strip() == expected.tuned.text.rstrip(half).strip()


def test_the_program_of_a_classifier_says_its_label(tiny_classifier_adapter, tiny_bert, tmp_path, monkeypatch):
    from models.scoring import score_labels

    write_adapter(Tuned.of(tiny_classifier_adapter), tmp_path / "out.zip", Work())
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        archive.extractall(tmp_path)
    (folder,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    pair = open_pair(tiny_classifier_adapter)
    (scores,) = score_labels(pair, ["The film was slow."])
    best = scores.tuned.index(max(scores.tuned))
    card = (folder / "README.md").read_text()
    assert printed_by(card, folder, tiny_bert, "The film was slow.", monkeypatch) == pair.task.labels[best]


def test_the_zip_holds_what_is_listed_and_no_keys_of_training_rows(tiny_adapter, tmp_path):
    run = tmp_path / "a-run"
    shutil.copytree(tiny_adapter, run / "adapter")
    (run / "trained-rows.json").write_text("{}")
    (run / "adapter" / "trained-rows.json").write_text("{}")
    (run / "adapter" / "optimizer.pt").write_bytes(b"x")
    write_adapter(Tuned.of(run / "adapter"), tmp_path / "out.zip", Work())
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        names = {name.rpartition("/")[2] for name in archive.namelist()}
    assert names == {
        "README.md", "adapter_config.json", "adapter_model.safetensors", "base_model.json", "chat_template.jinja",
        "prompt.json", "task.json", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip


def test_a_whole_model_is_written_as_it_is(tiny_whole, tiny_llama, tmp_path):
    tuned = Tuned.of(tiny_whole)
    write_merged(tuned, tmp_path / "out", Work())
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == (tiny_whole / "model.safetensors").read_bytes()
    assert open_pair(tmp_path / "out", base=str(tiny_llama)).is_whole
    with pytest.raises(UserError, match=r"no adapter.*merged"):
        write_adapter(tuned, tmp_path / "out.zip", Work())


def test_a_whole_model_ends_its_answers_as_it_was_trained_to(tiny_whole, tmp_path):
    folder = shutil.copytree(tiny_whole, tmp_path / "tuned")
    (folder / "generation_config.json").write_text('{"eos_token_id": 5, "repetition_penalty": 1.3}')
    write_merged(Tuned.of(folder), tmp_path / "out", Work())
    ends = open_pair(folder).prompter.template.end_token
    read = GenerationConfig.from_pretrained(tmp_path / "out")
    assert ends in read.eos_token_id and 5 not in read.eos_token_id and read.repetition_penalty in (None, 1.0)


def test_other_weights_of_the_base_than_those_of_training_are_said(tiny_llama, make_adapter, tmp_path):
    base = shutil.copytree(tiny_llama, tmp_path / "base")
    tuned = Tuned.of(make_adapter(tmp_path / "adapter", base))
    assert len(write_merged(tuned, tmp_path / "same", Work())) == 2
    model = AutoModelForCausalLM.from_pretrained(base)
    model.model.norm.weight.data += 0.1
    model.save_pretrained(base)
    _hash_weights.cache_clear()
    said = write_merged(tuned, tmp_path / "other", Work())
    assert "not byte for byte those" in said[1]
    assert said[1] in (tmp_path / "other" / "README.md").read_text()


def test_weights_that_are_no_numbers_once_they_are_stored_are_refused(tiny_llama, make_adapter, tmp_path):
    base = shutil.copytree(tiny_llama, tmp_path / "base")
    model = AutoModelForCausalLM.from_pretrained(base)
    model.model.norm.weight.data[3] = 1e5  # more than half precision holds
    model.save_pretrained(base)
    tuned = Tuned.of(make_adapter(tmp_path / "adapter", base))
    write_merged(tuned, tmp_path / "fine", Work())
    with pytest.raises(UserError, match=r"no number in float16.*model.norm.weight"):
        write_merged(tuned, tmp_path / "out", Work(), stored="float16")
    assert not (tmp_path / "out").exists()


def test_a_whole_model_that_is_not_its_base_with_other_weights_is_not_written(tiny_whole, tmp_path):
    folder = shutil.copytree(tiny_whole, tmp_path / "tuned")
    weights = load_file(folder / "model.safetensors")
    save_file({name: each for name, each in weights.items() if "norm" not in name}, folder / "model.safetensors")
    for form, name in (("merged", "out"), ("gguf", "out.gguf")):
        with pytest.raises(UserError, match="do not fit its base"):
            export(folder, form, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["tuned"]


def test_a_base_whose_files_are_of_another_size_is_refused(tiny_llama, make_adapter, tmp_path):
    base = shutil.copytree(tiny_llama, tmp_path / "base")
    tuned = Tuned.of(make_adapter(tmp_path / "adapter", base))
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"vocab_size": config["vocab_size"] + 8}))
    with pytest.raises(UserError, match=r"not of the sizes.*embed_tokens"):
        write_merged(tuned, tmp_path / "out", Work())
    assert not (tmp_path / "out").exists()


def test_weights_of_several_files_are_read_and_written(tiny_llama, make_whole, tiny_adapter, tmp_path, monkeypatch):
    from finetuning.export import merged

    whole = make_whole(tmp_path / "sharded", tiny_llama, shard="20KB")
    write_merged(Tuned.of(whole), tmp_path / "whole", Work())
    assert len(list((tmp_path / "whole").glob("model-*.safetensors"))) > 1
    monkeypatch.setattr(merged, "SHARD_BYTES", 20_000)
    write_merged(Tuned.of(tiny_adapter), tmp_path / "out", Work(), stored="float32")
    assert len(list((tmp_path / "out").glob("model-*.safetensors"))) > 1
    for folder in (tmp_path / "whole", tmp_path / "out"):
        assert open_pair(folder, base=str(tiny_llama)).is_whole


def test_an_export_that_is_stopped_leaves_nothing_and_spares_what_was_there(tiny_adapter, tmp_path):
    tuned = Tuned.of(tiny_adapter)
    write_merged(tuned, tmp_path / "out", Work(), stored="float32")
    before = (tmp_path / "out" / "model.safetensors").read_bytes()
    told = []
    work = Work(lambda *said: told.append(said), lambda: len(told) > 5)
    with pytest.raises(Stopped):
        write_merged(tuned, tmp_path / "out", work)
    with pytest.raises(Stopped):
        write_adapter(tuned, tmp_path / "out.zip", work)
    assert told[-1][0] == "Merging" and 0 < told[-1][1] < told[-1][2]
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_nothing_of_somebody_elses_is_overwritten(tiny_adapter, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(RunError, match="no export of this kind"):
        write_merged(Tuned.of(tiny_adapter), tmp_path / "mine", Work())
    with pytest.raises(RunError, match="something else"):
        write_adapter(Tuned.of(tiny_adapter), tmp_path / "mine", Work())
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_what_this_project_has_not_tuned_is_refused(tiny_llama, tmp_path):
    with pytest.raises(UserError, match="Only what this project has tuned"):
        Tuned.of(tiny_llama)
