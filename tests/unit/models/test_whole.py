"""A whole tuned model beside its base: both sides answer and score as `transformers` alone lets each of them."""

import dataclasses
import itertools
import math
import shutil
import threading

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from eval.exactness import check, open_plain
from eval.forgetting import measure_forgetting
from models import loading, stepping
from models.generation import answer_base_batch, answer_batch, second_side_cost, stream_answers
from models.loading import device
from models.pair import Pair, open_pair
from models.scoring import score_labels
from models.tuned import weights_sha256
from plumbing.errors import ModelError

TEXTS = ["Fine soup.", "The phone died after two days, and nobody answered my letters.", "Bad!"]
LENGTH = 12


@pytest.fixture(scope="module")
def models(tiny_llama, tiny_whole):
    """Base and tuned as `transformers` loads their folders."""
    folders = {False: tiny_llama, True: tiny_whole}
    return {tuned: AutoModelForCausalLM.from_pretrained(folders[tuned]).eval().to(device()) for tuned in folders}


@pytest.fixture(params=["by hand", "by modules"])
def pair(request, tiny_whole_pair, monkeypatch):
    if request.param == "by modules":
        monkeypatch.setattr(Pair, "layers_of", lambda *_: None)
    elif device().type == "cpu":
        assert all(tiny_whole_pair.layers_of(tuned) is not None for tuned in (False, True))
    return tiny_whole_pair


def alone(model, pair, prompt, length=LENGTH):
    """What a model generates by itself, up to the end of its turn."""
    ids = torch.tensor([prompt], device=model.device)
    tokens = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=length,
        do_sample=False,
        pad_token_id=pair.tokenizer.pad_token_id,
    )[0, len(prompt) :].tolist()
    end = pair.tokenizer.eos_token_id
    return tokens[: tokens.index(end)] if end in tokens else tokens


@pytest.mark.cuda
def test_a_whole_model_is_opened_beside_its_base(tiny_whole_pair, tiny_whole, models):
    pair = tiny_whole_pair
    assert pair.is_whole and not pair.mixes and pair.proof.same_weights
    assert pair.proof.largest_change > 0.01
    changed, count = pair.proof.changed
    assert 0 < changed <= count == len(load_file(tiny_whole / "model.safetensors"))
    assert pair.proof.describe().startswith("tuned model acts: logits move by up to")
    for tuned, model in models.items():
        own = pair.bare(tuned).state_dict()
        assert all(torch.equal(own[name], value) for name, value in model.state_dict().items())
        assert not any(parameter.requires_grad for parameter in pair.bare(tuned).parameters())


@pytest.mark.cuda
def test_weights_that_were_frozen_are_counted_as_the_bases(make_whole, tiny_llama, tmp_path):
    pair = open_pair(make_whole(tmp_path / "whole", tiny_llama, only="layers.1.mlp"))
    assert pair.proof.changed[0] == 3 and "and 3 of its" in pair.proof.describe()


@pytest.mark.cuda
def test_a_model_in_several_files_is_opened(make_whole, tiny_llama, tmp_path):
    folder = make_whole(tmp_path / "whole", tiny_llama, shard="20KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    pair = open_pair(folder)
    one = open_pair(make_whole(tmp_path / "one", tiny_llama))
    for name, value in one.model.state_dict().items():
        assert torch.equal(pair.model.state_dict()[name], value)
    assert pair.adapter_sha256 == weights_sha256(folder) != weights_sha256(tmp_path / "one")


@pytest.mark.cuda
def test_a_model_whose_projection_is_its_embedding_stays_tied(make_llama, make_whole, tmp_path):
    import json

    base = make_llama(tmp_path / "base")
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    weights = load_file(base / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    pair = open_pair(make_whole(tmp_path / "whole", base))
    for tuned in (False, True):
        model = pair.bare(tuned)
        assert model.lm_head.weight is model.model.embed_tokens.weight
    assert not torch.equal(pair.bare(False).lm_head.weight, pair.bare(True).lm_head.weight)


@pytest.mark.cuda
@pytest.mark.parametrize("text", TEXTS)
def test_streamed_answers_equal_each_model_alone(pair, models, text):
    prompt = pair.prompter.encode_prompt(text)
    steps = list(stream_answers(pair, prompt, prompt, max_new_tokens=LENGTH))
    for side, tuned in ((steps[-1].base, False), (steps[-1].tuned, True)):
        assert side.token_ids == alone(models[tuned], pair, prompt)
    for one, other in itertools.pairwise(steps):  # token by token, both of them
        assert 0 <= other.base.tokens - one.base.tokens <= 1 and 0 <= other.tuned.tokens - one.tuned.tokens <= 1
    assert (steps[0].base.tokens, steps[0].tuned.tokens) == (1, 1)


@pytest.mark.cuda
def test_the_sides_may_have_prompts_of_their_own(pair, models):
    short, long = (pair.prompter.encode_prompt(text) for text in TEXTS[:2])
    *_, last = stream_answers(pair, long, short, max_new_tokens=LENGTH)
    assert last.base.token_ids == alone(models[False], pair, long)
    assert last.tuned.token_ids == alone(models[True], pair, short)


@pytest.mark.cuda
def test_stop_ends_both_within_a_token(pair):
    stop = threading.Event()
    prompt = pair.prompter.encode_prompt(TEXTS[1])
    for step in stream_answers(pair, prompt, prompt, max_new_tokens=500, stop=stop):
        if step.base.tokens == 3:
            stop.set()
        last = step
    assert (last.base.tokens, last.tuned.tokens) == (3, 3)


@pytest.mark.cuda
@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_batch_answers_as_each_model_alone(pair, models, batch_size):
    answers = answer_batch(pair, TEXTS, max_new_tokens=LENGTH, batch_size=batch_size)
    for text, both in zip(TEXTS, answers, strict=True):
        prompt = pair.prompter.encode_prompt(text)
        assert both.base.token_ids == alone(models[False], pair, prompt)
        assert both.tuned.token_ids == alone(models[True], pair, prompt)
    history = [{"role": "user", "content": "Cold."}, {"role": "assistant", "content": "negative"}]
    for text, answer in zip(TEXTS, answer_base_batch(pair, TEXTS, history, max_new_tokens=LENGTH), strict=True):
        assert answer.token_ids == alone(models[False], pair, pair.prompter.encode_prompt(text, history))


@pytest.mark.cuda
@pytest.mark.parametrize("labels", [None, ("good", "goop", "go", "bad")])
def test_label_scores_are_those_of_each_model_alone(pair, models, labels, rounding):
    if labels:
        pair = dataclasses.replace(pair, task=dataclasses.replace(pair.task, labels=labels))
    tokens = pair.prompter.encode_labels(pair.task.labels)
    for text, scores in zip(TEXTS, score_labels(pair, TEXTS, batch_size=2), strict=True):
        prompt = pair.prompter.encode_prompt(text)
        for tuned, own in ((False, scores.base), (True, scores.tuned)):
            totals = []
            for label in tokens:
                ids = torch.tensor([prompt + label], device=models[tuned].device)
                with torch.no_grad():
                    log_probs = models[tuned](input_ids=ids).logits[0].double().log_softmax(-1)
                totals.append(sum(log_probs[len(prompt) - 1 + at, token] for at, token in enumerate(label)))
            assert own == pytest.approx(torch.stack(totals).log_softmax(-1).tolist(), abs=3e-5 * rounding)


@pytest.mark.cuda
def test_what_the_second_side_costs_is_measured(pair):
    assert 0.1 < second_side_cost(pair, pair.prompter.encode_prompt(TEXTS[0]), tokens=12) < 50


@pytest.mark.cuda
def test_a_model_that_keeps_no_cache_reads_all_of_it_again(tiny_whole_pair, models, monkeypatch):
    monkeypatch.setattr(Pair, "layers_of", lambda *_: None)
    pair, prompt = tiny_whole_pair, tiny_whole_pair.prompter.encode_prompt(TEXTS[0])

    def without_cache(self, **given):
        return forward(self, **given | {"use_cache": False})

    kind = type(pair.model)
    forward = kind.forward
    monkeypatch.setattr(kind, "forward", without_cache)
    rows = list(stepping.steps(pair, [prompt], [prompt], max_new_tokens=5))
    monkeypatch.undo()
    for side, tuned in enumerate((False, True)):
        assert [row[side] for row in rows] == alone(models[tuned], pair, prompt, 5)


@pytest.mark.cuda
def test_what_was_forgotten_is_measured(pair):
    found = measure_forgetting(pair, ["The film was slow but the ending made me cry.", "Until six."], ["Hi."])
    assert found.base_perplexity != found.tuned_perplexity and found.agreement < 1


@pytest.mark.cuda
@pytest.mark.parametrize("task", ["sentiment", "dialogue"])
def test_the_fast_path_is_checked_against_the_libraries(make_whole, tiny_llama, tmp_path, task):
    folder = make_whole(tmp_path / "whole", tiny_llama, task=task)
    pair = open_pair(folder)
    for checked in check(pair, open_plain(pair, folder), TEXTS[:2], max_new_tokens=6):
        assert checked.fast == checked.own == checked.exact
        assert checked.fast_error < 1e-3


@pytest.mark.cuda
def test_a_whole_classifier_is_its_own_head_and_the_base_an_untrained_one(
    make_whole, tiny_bert, tmp_path, rounding
):
    folder = make_whole(tmp_path / "whole", tiny_bert, kind="classifier")
    pair = open_pair(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval().to(device())
    for text, scores in zip(TEXTS, score_labels(pair, TEXTS), strict=True):
        inputs = pair.tokenizer(text, return_tensors="pt").to(model.device)
        with torch.no_grad():
            assert scores.tuned == pytest.approx(
                model(**inputs).logits[0].log_softmax(-1).tolist(), abs=1e-5 * rounding
            )
        assert scores.base != pytest.approx(scores.tuned, abs=1e-3)


@pytest.mark.cuda
@pytest.mark.parametrize("native", ["bfloat16", "float32"])
def test_both_models_compute_in_what_the_machine_multiplies(make_whole, tiny_llama, tmp_path, native, monkeypatch):
    folder = make_whole(tmp_path / "whole", tiny_llama, precision="bfloat16")
    monkeypatch.setattr(loading, "best_precision", lambda: native)
    pair = open_pair(folder)
    assert [pair.bare(tuned).dtype for tuned in (False, True)] == [getattr(torch, native)] * 2
    assert pair.bare(False).device == pair.bare(True).device
    prompt = pair.prompter.encode_prompt(TEXTS[0])
    *_, last = stream_answers(pair, prompt, prompt, max_new_tokens=3)
    assert last.tuned.tokens <= 3 and all(map(math.isfinite, score_labels(pair, TEXTS[:1])[0].tuned))


@pytest.mark.cuda
def test_a_model_that_is_its_base_is_refused(make_whole, tiny_llama, tmp_path):
    with pytest.raises(ModelError, match="changes nothing"):
        open_pair(make_whole(tmp_path / "whole", tiny_llama, only="no weight has this name"))


def test_a_whole_model_of_a_base_in_4_bit_is_refused_before_anything_is_loaded(tiny_whole, tmp_path):
    folder = shutil.copytree(tiny_whole, tmp_path / "whole")
    path = folder / "base_model.json"
    path.write_text(path.read_text().replace('"float32"', '"nf4"').replace(str(tiny_whole), "/nowhere"))
    with pytest.raises(ModelError, match="no base in 4 bit"):
        open_pair(folder)
