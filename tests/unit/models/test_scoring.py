"""Label scores are those of a plain forward of each side alone, for labels of one token and of several."""

import dataclasses

import pytest
import torch
from transformers import AutoModelForCausalLM

from models import prefix
from models.fast import llama
from models.loading import load_tokenizer
from models.pair import open_pair
from models.prefix import StoppedError
from models.scoring import score_base_labels, score_labels
from models.sources import resolve

TEXTS = [
    "Fine soup.",
    "The phone died after two days, and nobody answered my letters.",
    "Bad!",
    "I would see it again.",
]


LABELS = {
    "one token": None,
    "a token a byte": None,
    "shared stem": ("good", "goop", "bad"),
    "one begins as another": ("good", "good enough", "go", "bad"),
    "many": tuple(f"{one}{two}{three}" for one in "ab" for two in "cd" for three in "efg") + tuple("hijk"),
}


@pytest.fixture(scope="module", params=list(LABELS))
def pair(request, make_llama, make_adapter, tmp_path_factory):
    """Labels of a token each, of eight with nothing in common, that share stems, that are stems, and many."""
    folder = tmp_path_factory.mktemp("scoring")
    base = make_llama(folder / "base", **({} if request.param == "one token" else {"words": ()}))
    pair = open_pair(make_adapter(folder / "adapter", base))
    if labels := LABELS[request.param]:
        pair = dataclasses.replace(pair, task=dataclasses.replace(pair.task, labels=labels))
    return pair


@pytest.fixture(scope="module", params=["by hand", "by modules", "by modules without a cache"])
def way(request):
    return request.param


@pytest.fixture
def computed(pair, way, monkeypatch):
    """The pair by its layers or by its modules; by these also as of a model whose cache is of another kind."""
    if way != "by hand":
        monkeypatch.setattr(type(pair), "layers_of", lambda *_: None)
    if way == "by modules without a cache":
        monkeypatch.setattr(prefix, "_can_be_gone_on_from", lambda _: False)
    return pair


def plainly(pair, text, *, tuned, history=()):
    """log-softmax over the labels of the sum of each label's token log-probabilities, by the whole logits."""
    prompt = pair.prompter.encode_prompt(text, history)
    totals = []
    labels = pair.task.labels
    ends = any(other != label and other.startswith(label) for label in labels for other in labels)
    for label in labels:
        target = pair.prompter.encode_target(label) + [pair.tokenizer.eos_token_id] * ends
        ids = torch.tensor([prompt + target], device=pair.model.device)
        with torch.no_grad():
            if tuned:
                logits = pair.model(input_ids=ids).logits
            else:
                with pair.model.disable_adapter():
                    logits = pair.model(input_ids=ids).logits
        log_probs = logits[0].double().log_softmax(-1)
        totals.append(sum(log_probs[len(prompt) - 1 + place, token] for place, token in enumerate(target)))
    return torch.stack(totals).log_softmax(-1).tolist()


def test_one_long_text_is_scored_in_pieces_and_stops_between_them(pair, monkeypatch):
    text = "The soup was cold. " * 20
    monkeypatch.setattr(llama, "PIECE", 32)
    asked = []

    def should_stop():
        asked.append(1)
        return False

    [scores] = score_labels(pair, [text], should_stop=should_stop)
    assert scores.base == pytest.approx(plainly(pair, text, tuned=False), abs=1e-4)
    assert scores.tuned == pytest.approx(plainly(pair, text, tuned=True), abs=1e-4)
    assert len(asked) > 4
    with pytest.raises(StoppedError):
        score_labels(pair, [text], should_stop=lambda: True)


def test_the_tokenizers_of_these_tests_make_the_cases_that_they_are_for(pair, request):
    lengths = {len(pair.prompter.encode_target(label)) for label in pair.task.labels}
    assert lengths in ({1}, {8}, {3, 4}, {2, 3, 4, 11}, {1, 3})


@pytest.mark.cuda
def test_scores_equal_a_plain_forward(computed, rounding):
    for text, scores in zip(TEXTS, score_labels(computed, TEXTS, batch_size=3), strict=True):
        assert scores.base == pytest.approx(plainly(computed, text, tuned=False), abs=3e-5 * rounding)
        assert scores.tuned == pytest.approx(plainly(computed, text, tuned=True), abs=3e-5 * rounding)
        assert scores.base != pytest.approx(scores.tuned, abs=1e-3)


def test_a_label_that_another_begins_with_is_scored_to_its_end(pair, request):
    labels = pair.prompter.encode_labels(pair.task.labels)
    ends = {label[-1] for label in labels} == {pair.tokenizer.eos_token_id}
    assert ends == pair.prompter.need_an_end(pair.task.labels) == ("good enough" in pair.task.labels)


def test_what_many_labels_cost_is_their_tokens(make_llama, make_adapter, tmp_path, monkeypatch):
    """Not a pass over every row for each of their beginnings."""
    pair = open_pair(make_adapter(tmp_path / "adapter", make_llama(tmp_path / "base", words=())))
    labels = tuple(f"{one}{two}" for one in "abcdefgh" for two in "z")
    pair = dataclasses.replace(pair, task=dataclasses.replace(pair.task, labels=labels))
    computed, infer = [], llama.LlamaLayers.infer
    monkeypatch.setattr(
        llama.LlamaLayers,
        "infer",
        lambda self, tokens, *args, **kw: computed.append(len(tokens)) or infer(self, tokens, *args, **kw),
    )
    score_labels(pair, TEXTS)
    prompts = [pair.prompter.encode_prompt(text) for text in TEXTS]
    shared = len(prefix.shared_start(prompts))
    assert sum(computed) == 2 * (shared + sum(len(prompt) - shared + 8 for prompt in prompts))


@pytest.mark.cuda
def test_the_base_side_is_the_base_model_without_peft(tiny_pair, tiny_llama, rounding):
    bare = AutoModelForCausalLM.from_pretrained(tiny_llama).eval().to(tiny_pair.model.device)
    labels = [load_tokenizer(resolve(str(tiny_llama))).encode(label)[0] for label in tiny_pair.task.labels]
    for text, scores in zip(TEXTS, score_labels(tiny_pair, TEXTS), strict=True):
        ids = torch.tensor([tiny_pair.prompter.encode_prompt(text)], device=bare.device)
        with torch.no_grad():
            logits = bare(input_ids=ids).logits[0, -1, labels]
        assert scores.base == pytest.approx(logits.log_softmax(-1).tolist(), abs=1e-5 * rounding)


@pytest.mark.cuda
def test_classifier_scores_are_its_heads_log_softmax(tiny_classifier_pair, rounding):
    pair = tiny_classifier_pair
    for text, scores in zip(TEXTS, score_labels(pair, TEXTS, batch_size=3), strict=True):
        inputs = pair.tokenizer(text, return_tensors="pt").to(pair.model.device)
        with torch.no_grad():
            tuned = pair.model(**inputs).logits[0].log_softmax(-1)
            with pair.model.disable_adapter():
                base = pair.model(**inputs).logits[0].log_softmax(-1)
        assert scores.base == pytest.approx(base.tolist(), abs=1e-5 * rounding)
        assert scores.tuned == pytest.approx(tuned.tolist(), abs=1e-5 * rounding)


@pytest.mark.cuda
def test_no_text_no_scores(tiny_pair):
    assert score_labels(tiny_pair, []) == []


@pytest.mark.cuda
def test_progress_counts_texts(tiny_pair):
    seen = []
    score_labels(tiny_pair, TEXTS, batch_size=3, on_batch=lambda done, total: seen.append((done, total)))
    assert seen == [(3, 4), (4, 4)]


@pytest.mark.cuda
def test_a_few_shot_prompt_is_scored_by_the_base(pair, rounding):
    history = [{"role": "user", "content": "Cold soup."}, {"role": "assistant", "content": "negative"}]
    for text, scores in zip(TEXTS, score_base_labels(pair, TEXTS, history, batch_size=3), strict=True):
        plain = plainly(pair, text, tuned=False, history=history)
        assert scores == pytest.approx(plain, abs=2e-5 * rounding)
