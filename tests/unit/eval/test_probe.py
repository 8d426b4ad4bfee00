"""The probe's features are the frozen base's own, and its head is all that learns."""

import numpy as np
import pytest
import torch

from data.sources import open_source
from data.tasks import SENTIMENT
from eval.compare import compare
from eval.floors import probe as module
from eval.floors.probe import probe
from plumbing.errors import DataError

TRAIN = [("the film was slow", "negative"), ("the soup is better", "positive")] * 20


def features_plainly(pair, text):
    """A mean over the last hidden states of one text alone, by the encoder of the base."""
    inputs = pair.tokenizer(text, return_tensors="pt").to(pair.model.device)
    with torch.no_grad(), pair.model.disable_adapter():
        encoder = getattr(pair.model.get_base_model(), pair.model.get_base_model().base_model_prefix)
        return encoder(**inputs).last_hidden_state[0].mean(0).cpu().numpy()


@pytest.mark.cuda
def test_features_are_those_of_the_base_whatever_stands_beside_a_text(tiny_classifier_pair):
    texts = open_source("corpus:reviews", SENTIMENT).splits["test"]["text"][:12]
    found = np.array(module._features(tiny_classifier_pair, texts, None))
    plainly = np.array([features_plainly(tiny_classifier_pair, text) for text in texts])
    assert np.allclose(found, plainly, atol=1e-5)


@pytest.mark.cuda
def test_it_learns_what_can_be_told_from_the_features(tiny_classifier_pair):
    answers = probe(tiny_classifier_pair, TRAIN, ["the soup is better", "the film was slow"])
    assert answers == ["positive", "negative"]


@pytest.mark.cuda
def test_the_adapter_and_the_random_head_have_no_part_in_it(
    tiny_classifier_pair, tiny_bert, make_adapter, tmp_path
):
    from models.pair import open_pair

    other = open_pair(make_adapter(tmp_path / "adapter", tiny_bert, kind="classifier", seed=9))
    test = open_source("corpus:reviews", SENTIMENT).splits["test"]["text"][:40]
    train = list(
        zip(
            *(open_source("corpus:reviews", SENTIMENT).splits["train"][name][:80] for name in ("text", "label")),
            strict=True,
        )
    )
    assert probe(other, train, test) == probe(tiny_classifier_pair, train, test)


@pytest.mark.cuda
def test_of_many_training_rows_some_are_drawn_by_the_seed(tiny_classifier_pair, monkeypatch):
    monkeypatch.setattr(module, "MOST_TRAIN_ROWS", 10)
    seen = []
    train = [(f"{text} {number}", label) for number, (text, label) in enumerate(TRAIN)]
    probe(tiny_classifier_pair, train, ["the soup"], on_progress=lambda *now: seen.append(now))
    assert seen[-1] == (11, 11)


def test_with_one_label_that_one_is_answered_and_without_rows_it_refuses(tiny_classifier_pair):
    assert probe(tiny_classifier_pair, TRAIN[:1] * 3, ["any", "two"]) == ["negative", "negative"]
    with pytest.raises(DataError, match="no training row"):
        probe(tiny_classifier_pair, [], ["any"])


@pytest.mark.cuda
def test_a_classifiers_report_has_it_with_its_test(tiny_classifier_pair):
    splits = open_source("corpus:reviews", SENTIMENT).splits
    result = compare(
        tiny_classifier_pair, splits["test"].select(range(30)), train=splits["train"].select(range(60))
    )
    names = [floor.name for floor in result.report.floors]
    assert names == ["majority class", "TF-IDF + logistic regression", "frozen base + logistic regression"]
    tuned = result.report.primary.tuned
    for floor in result.report.floors:
        assert floor.judgement.n == 30
        assert floor.judgement.difference == pytest.approx(tuned - floor.scores["accuracy"])
