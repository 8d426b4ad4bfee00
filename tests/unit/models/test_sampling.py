"""Answers that are drawn: as probable as the model finds them, the same by hand as by modules, and repeatable."""

from contextlib import contextmanager, nullcontext

import pytest
import torch
from peft import LoraConfig, get_peft_model
from scipy.stats import chisquare

from models import loading, sampling
from models.fast.llama import LlamaLayers
from models.fast.supports import supports
from models.loading import load
from models.prefix import StoppedError
from models.sampling import drawn, sample
from models.sources import resolve
from models.stepping import steps

PROMPTS = [[5, 6, 7, 8, 9, 10, 11], [5, 6, 12], [5, 6, 12, 13, 14]]
LENGTH = 9


@pytest.fixture
def pair(tiny_dialogue_pair):
    return tiny_dialogue_pair


def answers(model, prompts=PROMPTS, count=4, *, seed=1, ends=frozenset(), length=LENGTH, **options):
    return sample(
        model,
        prompts,
        count,
        ends=set(ends),
        max_new_tokens=length,
        generator=torch.Generator().manual_seed(seed),
        **options,
    )


@contextmanager
def unlisted(model):
    """Within it, weights ask for gradients beside an adapter: the model is not computed by hand."""
    trained = [parameter for parameter in model.parameters() if not parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(True)
    assert not supports(model.get_base_model())
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(False)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_tokens_are_as_frequent_as_they_are_probable(pair, temperature):
    """Of the first token, and of the second behind the most frequent first one."""
    count = 6000
    found = [tuple(row) for row in answers(pair.model, PROMPTS[:1], count, length=2, temperature=temperature)[0]]
    first = max({row[0] for row in found}, key=[row[0] for row in found].count)
    for prompt, tokens in (
        (PROMPTS[0], [row[0] for row in found]),
        ([*PROMPTS[0], first], [row[1] for row in found if row[0] == first]),
    ):
        with torch.no_grad():
            logits = pair.model(input_ids=torch.tensor([prompt])).logits[0, -1]
        expected = (logits.double() / temperature).softmax(-1) * len(tokens)
        seen = torch.bincount(torch.tensor(tokens), minlength=len(expected)).double()
        rare = expected < 5
        assert len(tokens) > 500 and (~rare).sum() > 3
        cells = [torch.cat([each[~rare], each[rare].sum()[None]]) for each in (seen, expected)]
        assert chisquare(*[cell.numpy() for cell in cells]).pvalue > 0.001


@pytest.mark.parametrize("within", ["tuned", "base"])
@pytest.mark.parametrize("count", [1, 5])
def test_layers_by_hand_draw_what_the_modules_draw(pair, within, count):
    """With rows that end, and with the adapter switched off."""
    ends = {row[3] for row in answers(pair.model)[0]}
    options = {"count": count, "ends": ends, "temperature": 1.3, "top_k": 60, "top_p": 0.95}
    with pair.side(within == "tuned") as model:
        by_hand = answers(model, **options)
        with unlisted(model):
            assert answers(model, **options) == by_hand
    assert [len(rows) for rows in by_hand] == [count] * len(PROMPTS)


def test_an_answer_ends_with_its_end_and_heeds_no_other(pair):
    """Rows that have ended leave the batch: those that stay draw as if nobody had left."""
    whole = answers(pair.model, count=8)
    assert {len(row) for rows in whole for row in rows} == {LENGTH}
    ends = {row[place] for rows in whole for place, row in enumerate(rows)}
    cut = answers(pair.model, count=8, ends=ends)
    lengths = set()
    for rows, cut_rows in zip(whole, cut, strict=True):
        for row, cut_row in zip(rows, cut_rows, strict=True):
            end = next((place for place, token in enumerate(row) if token in ends), LENGTH)
            assert cut_row == row[: end + 1]
            lengths.add(len(cut_row))
    assert len(lengths) > 3


def test_the_same_generator_writes_the_same_and_has_gone_on_as_far_whatever_was_written(pair):
    generators = [torch.Generator().manual_seed(1) for _ in range(2)]
    common = {"max_new_tokens": LENGTH}
    first = sample(pair.model, PROMPTS, 2, ends=set(), generator=generators[0], **common)
    everything = set(range(1000))
    assert all(
        len(row) == 1
        for rows in sample(pair.model, PROMPTS, 2, ends=everything, generator=generators[1], **common)
        for row in rows
    )
    assert torch.equal(generators[0].get_state(), generators[1].get_state())
    assert first == answers(pair.model, count=2) != answers(pair.model, count=2, seed=2)
    later = [sample(pair.model, PROMPTS, 2, ends=set(), generator=each, **common) for each in generators]
    assert later[0] == later[1] != first


def test_global_random_numbers_are_left_alone(pair):
    for way in (nullcontext(), unlisted(pair.model)):
        before = torch.get_rng_state()
        with way:
            answers(pair.model, ends={2})
        assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("temperature", [0, 1e-5])
def test_the_limit_is_greedy(pair, temperature):
    found = answers(pair.model, count=2, temperature=temperature)
    written = [[] for _ in PROMPTS]
    for tokens in steps(pair, [], PROMPTS, max_new_tokens=LENGTH, ends=set()):
        for row, token in zip(written, tokens, strict=True):
            row.append(token)
    assert found == [[row, row] for row in written]


def test_many_prompts_are_answered_some_at_a_time_as_all_at_once(pair, monkeypatch):
    expected = answers(pair.model)
    monkeypatch.setattr(sampling, "_ROWS", 4)
    assert answers(pair.model) == expected


def test_a_prompt_is_read_once_for_all_of_its_answers(pair, monkeypatch):
    read, own = [], LlamaLayers.infer
    monkeypatch.setattr(
        LlamaLayers,
        "infer",
        lambda self, tokens, *given, **more: read.append(tokens.tolist()) or own(self, tokens, *given, **more),
    )
    answers(pair.model, count=20)
    assert sorted(read[0]) == sorted([5, 6, *(token for prompt in PROMPTS for token in prompt[2:])])
    assert [len(tokens) for tokens in read[1:]] == [20 * len(PROMPTS)] * (LENGTH - 1)


def test_stop_ends_it_within_a_token(pair):
    for way in (nullcontext(), unlisted(pair.model)):
        asked = []
        with way, pytest.raises(StoppedError):
            answers(pair.model, ends={2}, should_stop=lambda asked=asked: asked.append(1) or len(asked) == 3)
        assert len(asked) == 3


def test_nothing_is_dropped_and_the_model_trains_on(tiny_llama):
    model = load(resolve(str(tiny_llama))).model
    torch.manual_seed(3)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False, lora_dropout=0.5)
    model = get_peft_model(model, config)
    expected = answers(model.eval())
    assert answers(model.train()) == expected
    assert model.training and not supports(model.get_base_model())


@pytest.mark.parametrize("precision", ["bfloat16", "nf4"])
def test_other_precisions(tiny_llama, precision, monkeypatch):
    """4-bit weights stay as they are packed; the greedy answers are those of the modules."""
    monkeypatch.setattr(loading, "best_precision", lambda: "float32" if precision == "nf4" else precision)
    base = load(resolve(str(tiny_llama)), precision=precision).model.requires_grad_(False)
    torch.manual_seed(3)
    model = get_peft_model(base, LoraConfig(r=4, target_modules=["q_proj", "up_proj"], init_lora_weights=False))
    weight = base.model.layers[0].mlp.down_proj.weight
    packed = weight.data.clone()
    for count in (1, 5):  # few rows, and more
        found = answers(model, count=count, temperature=0)
        assert all(len(row) == LENGTH for rows in found for row in rows)
    assert torch.equal(weight.data, packed)
    if precision == "nf4":  # bfloat16 rounds near ties otherwise in another order
        assert found == [[greedy(model, prompt)] * 5 for prompt in PROMPTS]


def greedy(model, prompt):
    ids = list(prompt)
    with torch.no_grad():
        for _ in range(LENGTH):
            ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]


PROBABILITIES = torch.tensor([[0.1, 0.4, 0.0, 0.2, 0.3]])


def drawn_at(numbers, **options):
    logits = PROBABILITIES.log().expand(len(numbers), -1)
    return drawn(logits, torch.tensor(numbers, dtype=torch.float64), **options).tolist()


def test_the_token_is_the_one_whose_share_holds_the_number():
    """Counted from above: numbers from 0 to below 1, of which none falls on a token without probability."""
    assert drawn_at([0.0, 0.29, 0.31, 0.49, 0.51, 0.89, 0.91, 1 - 2**-53]) == [4, 4, 3, 3, 1, 1, 0, 0]
    assert drawn_at([0.0, 0.5, 1 - 2**-53], temperature=0) == [1, 1, 1]


def test_only_the_most_probable_tokens_are_drawn():
    numbers = [step / 100 for step in range(100)]
    assert set(drawn_at(numbers)) == {0, 1, 3, 4}
    assert set(drawn_at(numbers, top_k=2)) == {1, 4}
    assert drawn_at(numbers, top_k=2).count(1) == 57  # of 4 / 7
    assert set(drawn_at(numbers, top_k=1)) == {1}
    assert set(drawn_at(numbers, top_p=0.8)) == {1, 3, 4}  # 0.4 and 0.3 are not enough
    assert set(drawn_at(numbers, top_p=0.6)) == {1, 4}
    assert set(drawn_at(numbers, top_p=0.01)) == {1}
    assert set(drawn_at(numbers, top_k=400)) == {0, 1, 3, 4}


def test_rare_tokens_are_drawn_in_a_large_vocabulary():
    """The sums are in double precision: in single, what comes late and is rare would vanish between two of them."""
    logits = torch.full((1, 50_000), -30.0)
    logits[0, 0] = 0.0
    found = drawn(logits, torch.tensor([1e-13], dtype=torch.float64))
    assert found.item() > 0
