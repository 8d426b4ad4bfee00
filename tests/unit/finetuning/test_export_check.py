"""What was exported, asked the same rows as what was trained; and the forms as a page or a job calls them."""

import shutil

import pytest
import torch
import transformers

from finetuning.export.checking import check_exported, require_checkable
from finetuning.export.forms import WRITTEN, Options, export
from finetuning.export.tuned import Tuned
from finetuning.export.work import Stopped, Work
from models.pair import open_pair
from plumbing.errors import ModelError, RecipeError

EXACT = Options(packing="f32", stored="float32")


@pytest.mark.parametrize(("form", "name"), [("merged", "out"), ("gguf", "out.gguf")])
def test_what_was_exported_answers_as_what_was_trained(tiny_adapter, tmp_path, form, name):
    told = []
    work = Work(lambda what, done, total: told.append(what))
    written = export(tiny_adapter, form, tmp_path / name, options=EXACT, work=work)
    found = check_exported(Tuned.of(tiny_adapter), written.path, work, rows=6)
    assert (found.rows, found.same) == (6, 6) and found.scores[0] == found.scores[1]
    assert "answers 6 exactly as what was trained" in found.sentence and found.metric == "accuracy"
    assert {"Merging", "Writing f32"} & {*told}


def test_another_model_is_found_out(tiny_llama, tiny_adapter, make_adapter, tmp_path):
    other = make_adapter(tmp_path / "other", tiny_llama, seed=5)
    written = export(other, "merged", tmp_path / "out", options=EXACT)
    found = check_exported(Tuned.of(tiny_adapter), written.path, Work(), rows=12)
    assert found.same < found.rows


def test_a_whole_model_is_a_file_as_well(tiny_whole, tmp_path):
    written = export(tiny_whole, "gguf", tmp_path / "out.gguf", options=EXACT)
    pair = open_pair(tiny_whole)
    ids = torch.tensor([pair.prompter.encode_prompt("A warm film.")])
    options = {"gguf_file": "out.gguf", "quantization_config": transformers.GgufConfig("out.gguf", dequantize=True)}
    read = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32, **options)
    with torch.no_grad():
        assert torch.equal(read(input_ids=ids).logits, pair.bare(True)(input_ids=ids).logits)
    assert written.notes == ["The whole model that the run has trained, as it is."]


def test_a_lora_alone_says_that_it_was_trained_beside_4_bit(tiny_llama, tiny_whole, make_adapter, tmp_path):
    alone = Options(adapter_alone=True)
    for precision, beside in (("float32", False), ("nf4", True)):
        adapter = make_adapter(tmp_path / precision, tiny_llama, precision=precision)
        notes = export(adapter, "gguf", tmp_path / f"{precision}.gguf", options=alone).notes
        assert ("4 bit (NF4)" in " ".join(notes)) == beside
    with pytest.raises(ModelError, match="and no adapter"):
        export(tiny_whole, "gguf", tmp_path / "out.gguf", options=alone)
    assert not (tmp_path / "out.gguf").exists()


def test_a_template_that_lets_answers_begin_with_thoughts_is_said(tiny_llama, make_adapter, tmp_path):
    for name, thoughts in (("plain", ""), ("thinks", "<think>\n")):
        base = shutil.copytree(tiny_llama, tmp_path / name)
        template = (base / "chat_template.jinja").read_text()
        opened = template.replace("<|im_start|>assistant\n{%", f"<|im_start|>assistant\n{thoughts}{{%")
        (base / "chat_template.jinja").write_text(opened)
        adapter = make_adapter(tmp_path / f"{name}-adapter", base)
        notes = export(adapter, "gguf", tmp_path / f"{name}.gguf").notes
        assert ("ends a prompt with more than training did" in " ".join(notes)) == bool(thoughts)


def test_what_cannot_be_taken_is_refused_with_the_reason(
    tiny_adapter, tiny_classifier_adapter, tiny_reward_adapter, tmp_path
):
    with pytest.raises(ModelError, match=r"A GGUF file is of a language model, and this is a classifier.*merged"):
        export(tiny_classifier_adapter, "gguf", tmp_path / "out.gguf")
    with pytest.raises(ModelError, match=r"256 weights of a row"):
        export(tiny_adapter, "gguf", tmp_path / "out.gguf", options=Options(packing="Q4_K_M"))
    with pytest.raises(RecipeError, match=r"ends in .gguf"):
        export(tiny_adapter, "gguf", tmp_path / "out.bin")
    with pytest.raises(RecipeError, match=r"There are trained, original"):
        export(tiny_adapter, "merged", tmp_path / "out", options=Options(onto="best"))
    with pytest.raises(RecipeError, match=r"There are adapter, merged, gguf, ollama"):
        export(tiny_adapter, "pickle", tmp_path / "out")
    with pytest.raises(ModelError, match=r"no answers that could be compared"):
        require_checkable(Tuned.of(tiny_reward_adapter), as_gguf=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", WRITTEN)
def test_whatever_is_stopped_leaves_nothing(tiny_adapter, tmp_path, form):
    told = []
    work = Work(lambda *said: told.append(said), lambda: len(told) > 4)
    with pytest.raises(Stopped):
        export(tiny_adapter, form, tmp_path / f"out{WRITTEN[form].suffix}", work=work)
    assert not list(tmp_path.iterdir())
