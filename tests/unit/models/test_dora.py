"""Adapters of the newer kinds: what peft saves of them is what is expected, and both sides answer as peft alone."""

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from models.adapter_files import HEADS, WEIGHTS_FILE, adaptable_modules, adapter_shapes
from models.generation import answer_batch, second_side_cost, stream_answers
from models.loading import device
from models.pair import open_pair
from models.scoring import score_labels

TEXTS = ["Fine soup.", "The phone died after two days, and nobody answered my letters.", "Bad!"]
LENGTH = 10
KINDS = {
    "DoRA": {"use_dora": True},
    "rsLoRA": {"use_rslora": True},
    "both": {"use_dora": True, "use_rslora": True},
}


@pytest.fixture(scope="module", params=list(KINDS))
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def folder(kind, tiny_llama, make_adapter, tmp_path_factory):
    return make_adapter(tmp_path_factory.mktemp("adapter"), tiny_llama, **KINDS[kind])


@pytest.fixture(scope="module")
def pair(folder):
    return open_pair(folder)


@pytest.fixture(scope="module")
def models(folder, tiny_llama):
    """The base by transformers alone, and with its adapter by peft alone."""

    def base():
        return AutoModelForCausalLM.from_pretrained(tiny_llama).eval().to(device())

    return {False: base(), True: PeftModel.from_pretrained(base(), str(folder)).eval()}


def alone(model, pair, prompt):
    ids = torch.tensor([prompt], device=model.device)
    pad = pair.tokenizer.pad_token_id
    tokens = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=LENGTH, do_sample=False, pad_token_id=pad
    )
    tokens = tokens[0, len(prompt) :].tolist()
    end = pair.tokenizer.eos_token_id
    return tokens[: tokens.index(end)] if end in tokens else tokens


@pytest.mark.parametrize("settings", [{}, *KINDS.values()], ids=str)
@pytest.mark.parametrize("causal", [True, False])
def test_the_expected_weights_are_those_that_peft_trains_and_saves(
    settings, causal, tiny_llama, tiny_bert, tmp_path
):
    if causal:
        model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    else:
        model = AutoModelForSequenceClassification.from_pretrained(tiny_bert)
    targets, heads = adaptable_modules(model), () if causal else HEADS
    dora = settings.get("use_dora", False)
    expected = adapter_shapes(model, rank=3, targets=targets, heads=heads, dora=dora)
    task = "CAUSAL_LM" if causal else "SEQ_CLS"
    adapted = get_peft_model(model, LoraConfig(r=3, target_modules=targets, task_type=task, **settings))
    trained = {tuple(value.shape) for value in adapted.parameters() if value.requires_grad}
    count = sum(value.numel() for value in adapted.parameters() if value.requires_grad)
    assert set(expected.values()) == trained
    assert sum(torch.Size(shape).numel() for shape in expected.values()) == count
    adapted.save_pretrained(tmp_path, save_embedding_layers=False)
    saved = {name: tuple(value.shape) for name, value in load_file(tmp_path / WEIGHTS_FILE).items()}
    assert saved == expected


@pytest.mark.cuda
def test_an_adapter_of_this_kind_is_proved(pair, kind):
    assert pair.proof.largest_change > 0.01
    assert pair.mixes == (kind == "rsLoRA")
    if pair.model.device.type == "cpu":
        assert (pair.layers_of(True) is not None) == (kind == "rsLoRA")


@pytest.mark.cuda
def test_both_sides_stream_token_by_token(pair, models):
    prompt = pair.prompter.encode_prompt(TEXTS[1])
    steps = list(stream_answers(pair, prompt, prompt, max_new_tokens=LENGTH))
    assert (steps[0].base.tokens, steps[0].tuned.tokens) == (1, 1)
    assert steps[-1].base.token_ids == alone(models[False], pair, prompt)
    assert steps[-1].tuned.token_ids == alone(models[True], pair, prompt)
    assert steps[-1].base.token_ids != steps[-1].tuned.token_ids


@pytest.mark.cuda
def test_a_batch_is_answered_as_each_side_alone(pair, models):
    for text, both in zip(TEXTS, answer_batch(pair, TEXTS, max_new_tokens=LENGTH), strict=True):
        prompt = pair.prompter.encode_prompt(text)
        assert both.base.token_ids == alone(models[False], pair, prompt)
        assert both.tuned.token_ids == alone(models[True], pair, prompt)


@pytest.mark.cuda
def test_labels_are_scored_as_by_each_side_alone(pair, models, rounding):
    labels = [label for (label,) in pair.prompter.encode_labels(pair.task.labels)]
    for text, scores in zip(TEXTS, score_labels(pair, TEXTS), strict=True):
        for tuned, own in ((False, scores.base), (True, scores.tuned)):
            ids = torch.tensor([pair.prompter.encode_prompt(text)], device=models[tuned].device)
            with torch.no_grad():
                logits = models[tuned](input_ids=ids).logits[0, -1, labels]
            assert own == pytest.approx(logits.log_softmax(-1).tolist(), abs=2e-5 * rounding)


@pytest.mark.cuda
def test_what_the_second_side_costs_is_measured(pair):
    assert 0.1 < second_side_cost(pair, pair.prompter.encode_prompt(TEXTS[0]), tokens=12) < 50


@pytest.mark.cuda
def test_over_a_base_in_4_bit_both_sides_answer(make_llama, make_adapter, tmp_path):
    base = make_llama(tmp_path / "base", width=64)
    pair = open_pair(make_adapter(tmp_path / "adapter", base, precision="nf4", use_dora=True))
    assert pair.proof.largest_change > 0 and not pair.mixes
    prompt = pair.prompter.encode_prompt(TEXTS[0])
    *_, last = stream_answers(pair, prompt, prompt, max_new_tokens=5)
    (both,) = answer_batch(pair, TEXTS[:1], max_new_tokens=5)
    assert (last.base.token_ids, last.tuned.token_ids) == (both.base.token_ids, both.tuned.token_ids)
