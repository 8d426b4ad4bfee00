"""The likelihood of all that the assistant has said is that of each side's plain forward, row by row."""

import dataclasses

import pytest
import torch

from data.tasks.own import USUAL
from models.pair import Pair
from models.prompting import Prompter, TextPrompter
from models.scoring import turn_log_likelihoods

CHAT = dataclasses.replace(USUAL["chat"], instruction="Be brief.")
TURNS = [
    {"role": "user", "content": "Is the shop open?", "weight": 1},
    {"role": "assistant", "content": "Until six.", "weight": 1},
    {"role": "user", "content": "And the soup?", "weight": 1},
    {"role": "assistant", "content": "Cold.", "weight": 0},
    {"role": "user", "content": "Thanks.", "weight": 1},
]
ROWS = [
    {"messages": TURNS, "answer": "Come by."},
    {"messages": TURNS[:1], "answer": "Until six, and on Friday until eight, if Leo is there."},
    {"messages": TURNS[:3], "answer": "It is cold."},
]


@pytest.fixture(params=["tiny_pair", "tiny_whole_pair"])
def pair(request):
    pair = request.getfixturevalue(request.param)
    return dataclasses.replace(pair, task=CHAT, prompter=Prompter(pair.tokenizer, CHAT))


@pytest.fixture(params=["by hand", "by modules"])
def way(request, monkeypatch):
    if request.param == "by modules":
        monkeypatch.setattr(Pair, "layers_of", lambda *_: None)
    return request.param


def plainly(pair, row, *, tuned):
    example = pair.prompter.encode_row(row)
    ids = torch.tensor([example.input_ids], device=pair.model.device)
    with torch.no_grad(), pair.side(tuned) as model:
        log_probs = model(input_ids=ids).logits[0].double().log_softmax(-1)
    mask = example.completion_mask
    places = [at for at in range(1, len(mask)) if mask[at]]
    return sum(float(log_probs[at - 1, example.input_ids[at]]) for at in places), len(places)


@pytest.mark.cuda
@pytest.mark.parametrize("batch_size", [1, 8])
def test_it_is_that_of_a_plain_forward(pair, way, batch_size, rounding):
    found = turn_log_likelihoods(pair, ROWS, batch_size=batch_size)
    for row, one in zip(ROWS, found, strict=True):
        (base, count), (tuned, _) = plainly(pair, row, tuned=False), plainly(pair, row, tuned=True)
        assert one.base == pytest.approx(base, abs=1e-3 * rounding)
        assert one.tuned == pytest.approx(tuned, abs=1e-3 * rounding)
        assert one.tokens == count and one.base != pytest.approx(one.tuned, abs=0.01)


@pytest.mark.cuda
def test_a_text_is_learned_from_its_second_token_on(tiny_pair, way, rounding):
    text = USUAL["text"]
    pair = dataclasses.replace(tiny_pair, task=text, prompter=TextPrompter(tiny_pair.tokenizer, text))
    rows = [{"text": "Leo offers to look at it."}, {"text": "Leo is out."}, {"text": ""}]
    for row, one in zip(rows, turn_log_likelihoods(pair, rows, batch_size=1), strict=True):
        assert (pytest.approx(one.tuned, abs=1e-3 * rounding), one.tokens) == plainly(pair, row, tuned=True)
    assert one.tokens == 0 and one.tuned == 0  # a single token, that ends the text


@pytest.mark.cuda
def test_progress_counts_rows(tiny_pair):
    pair = dataclasses.replace(tiny_pair, task=CHAT, prompter=Prompter(tiny_pair.tokenizer, CHAT))
    seen = []
    turn_log_likelihoods(pair, ROWS, batch_size=2, on_batch=lambda done, total: seen.append((done, total)))
    assert seen == [(2, 3), (3, 3)] and turn_log_likelihoods(pair, []) == []
