"""BERTScore by hand on a tiny encoder, whatever the batch; only ever with an encoder that is here already."""

import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from eval.metrics.bertscore import ENCODER, BertScore
from models.sources import resolve


@pytest.fixture(scope="module")
def scorer(tiny_bert):
    return BertScore(resolve(str(tiny_bert)))


def by_hand(folder, answer, reference):
    """Word piece by word piece, one text at a time."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()

    def embed(text):
        with torch.no_grad():
            rows = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0, 1:-1]
        return [row / row.norm() for row in rows]

    ours, theirs = embed(answer), embed(reference)
    precision = sum(max(float(a @ r) for r in theirs) for a in ours) / len(ours)
    recall = sum(max(float(a @ r) for a in ours) for r in theirs) / len(theirs)
    return 2 * precision * recall / (precision + recall)


@pytest.mark.cuda
def test_it_is_the_f1_of_the_best_matches(scorer, tiny_bert):
    answers = ["good soup", "the film was slow", "leo comes on friday to look at it"]
    references = [["the soup is good"], ["a slow film"], ["ana has a laptop"]]
    expected = [by_hand(tiny_bert, answer, listed[0]) for answer, listed in zip(answers, references, strict=True)]
    assert scorer.f1(answers, references) == pytest.approx(expected, abs=1e-5)


@pytest.mark.cuda
def test_the_same_text_scores_one_and_an_empty_one_nothing(scorer):
    assert scorer.f1(["good soup", ""], [["good soup"], ["good soup"]]) == pytest.approx([1.0, 0.0], abs=1e-5)


@pytest.mark.cuda
def test_the_best_reference_counts(scorer):
    best = scorer.f1(["good soup"], [["the film was slow", "good soup"]])
    assert best == pytest.approx([1.0], abs=1e-5)


def test_without_a_local_encoder_there_is_none(monkeypatch):
    asked = []
    monkeypatch.setattr("models.sources.in_reach", lambda name: asked.append(name))
    assert BertScore.local() is None
    assert asked == [ENCODER]
