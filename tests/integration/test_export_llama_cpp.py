"""What llama.cpp computes of our GGUF files: the log-probabilities of every token that transformers gives.

Of every architecture that is written, with random weights; of some transformers reads no file, or not all of it.
"""

import dataclasses

import httpx
import pytest
import torch

pytest.importorskip("xllamacpp")
from benchmarks.llama_server import llama_server
from data.tasks import SENTIMENT
from finetuning.export.gguf.lora import write_lora_gguf
from finetuning.export.gguf.vocabulary import PROBES
from finetuning.export.gguf.writing import Language, write_gguf
from finetuning.export.language import asks_as_training
from finetuning.export.tuned import Tuned
from finetuning.export.work import Work
from models.loading import load, load_tokenizer
from models.prompting import Prompter
from models.sources import resolve
from tests.unit.finetuning.test_export_gguf import MODELS, SENTENCEPIECE, TEXT, build, language
from tests.unit.finetuning.test_export_ollama import SHIPPED, WRITTEN_HERE
from tests.unit.models.templates import TEMPLATES, tokenizer_with

IDS = [5, 9, 30, 31, 64, 100, 128, 7, 7, 200] * 12
"""Longer than the span by which llama 3's positions are scaled here."""


def asked(url, path, body):
    answer = httpx.post(f"{url.removesuffix('/v1')}{path}", json=body, timeout=600, trust_env=False)
    return answer.raise_for_status().json()


def log_probabilities(url, ids, words):
    body = {"prompt": ids, "n_predict": 1, "n_probs": words, "temperature": 0.0, "cache_prompt": False}
    found = asked(url, "/completion", body)["completion_probabilities"][0]["top_logprobs"]
    by_id = {each["id"]: each["logprob"] for each in found}
    return torch.tensor([by_id[number] for number in range(words)])


@pytest.mark.parametrize("kind", MODELS)
def test_llama_cpp_computes_what_transformers_computes(kind, tiny_llama, tmp_path):
    folder = build(kind, tiny_llama, tmp_path / "model")
    write_gguf(language(kind, folder), tmp_path / "model.gguf", Work(), packing="f32")
    plain = load(resolve(str(folder)), precision="float32")
    with torch.no_grad():
        own = torch.log_softmax(plain.model(input_ids=torch.tensor([IDS])).logits[0, -1], -1)
    with llama_server(tmp_path / "model.gguf", slots=1, exact=True) as url:
        theirs = log_probabilities(url, IDS, len(own))
        assert (own - theirs).abs().max() < 2e-3
        for text in map(SENTENCEPIECE.get(kind, "{}").format, (TEXT, *PROBES)):
            cut = asked(url, "/tokenize", {"content": text, "add_special": True, "parse_special": True})["tokens"]
            assert cut == plain.tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("name", [*SHIPPED, *WRITTEN_HERE])
def test_llama_cpp_puts_a_prompt_together_as_training_did(name, tiny_llama, tmp_path):
    """By the template that is in the file, told nothing: not what day it is, and not that there are no thoughts."""
    if name in SHIPPED:
        template, ends = (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8"), SHIPPED[name]
    else:
        template, ends = WRITTEN_HERE[name], ("<s>", "</s>")
    tokenizer = tokenizer_with(template, *ends, merges=[("i", "n")])
    folder = build("llama", tiny_llama, tmp_path / "model", vocab_size=len(tokenizer))
    tokenizer.save_pretrained(folder)
    made = Prompter(load_tokenizer(resolve(str(folder))), SENTIMENT, instruction="Good or bad?")
    model = dataclasses.replace(Language.in_folder(folder), template=made.template.settled)
    assert asks_as_training(made, model.template)
    write_gguf(model, tmp_path / "model.gguf", Work(), packing="f32")
    history = [{"role": "user", "content": "First?"}, {"role": "assistant", "content": "Yes."}]
    with llama_server(tmp_path / "model.gguf", slots=1) as url:
        for before in ([], history):
            messages = made.template.fitting(made.messages("A warm film.", before))
            written = asked(url, "/apply-template", {"messages": messages})["prompt"]
            assert written == made.prompt("A warm film.", before)


@pytest.mark.parametrize(
    ("kind", "settings"), [("llama", {}), ("llama", {"use_rslora": True}), ("llama 2", {}), ("gemma", {})]
)
def test_llama_cpp_puts_a_lora_of_ours_onto_its_base(kind, settings, tiny_llama, make_adapter, tmp_path):
    from models.pair import open_pair

    folder = build(kind, tiny_llama, tmp_path / "model")
    adapter = make_adapter(tmp_path / "adapter", folder, **settings)
    base = language(kind, folder)
    write_gguf(base, tmp_path / "base.gguf", Work(), packing="f32")
    write_lora_gguf(Tuned.of(adapter), base.config, tmp_path / "lora.gguf", Work())
    pair = open_pair(adapter)
    with torch.no_grad():
        own = torch.log_softmax(pair.model(input_ids=torch.tensor([IDS])).logits[0, -1], -1)
    with llama_server(tmp_path / "base.gguf", lora=tmp_path / "lora.gguf", slots=1, exact=True) as url:
        assert (own - log_probabilities(url, IDS, len(own))).abs().max() < 2e-3
