"""Perplexity, agreement and answers are those of each model alone, whatever the batch or the kind of pair."""

import contextlib
import copy
import math
import shutil
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from eval import forgetting as module
from eval.forgetting import measure_forgetting
from eval.report.sections import Forgetting
from eval.statistics import judge_scores
from models.loading import device, load_tokenizer
from models.pair import open_pair
from models.sources import resolve
from models.text_rows import begin_of_text
from plumbing.errors import DataError

PASSAGES = [
    "The film was slow but the ending made me cry, and I would see it again.",
    "Until six.",
    "The phone died after two days, and nobody answered my letters. " * 6,
    "Leo offers to look at the broken laptop of Ana on Friday.",
    "A shop, a soup, a room: they are all the same to me.",
    "ab",
]
INSTRUCTIONS = ["Name a soup.", "How long should I boil an egg if I want the yolk to stay soft?", "Hi."]


@dataclass
class TwoModels:
    """Base and tuned as two models that were loaded apart, as after full fine-tuning."""

    tokenizer: Any
    base: Any
    tuned: Any

    def layers_of(self, tuned):
        return None

    @contextlib.contextmanager
    def side(self, tuned):
        yield self.tuned if tuned else self.base

    def batch(self, rows):
        width = max(map(len, rows))
        pad = self.tokenizer.pad_token_id
        return {
            "input_ids": on_device([[pad] * (width - len(row)) + row for row in rows]),
            "attention_mask": on_device([[0] * (width - len(row)) + [1] * len(row) for row in rows]),
        }


def on_device(rows):
    return torch.tensor(rows, device=device())


@pytest.fixture(scope="module")
def two_models(tiny_llama):
    """A Llama beside a copy whose every weight was changed."""
    base, tuned = (AutoModelForCausalLM.from_pretrained(tiny_llama).eval() for _ in range(2))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in tuned.parameters():
            parameter += 0.1 * parameter.std() * torch.randn(parameter.shape, generator=generator)
    return TwoModels(load_tokenizer(resolve(str(tiny_llama))), base.to(device()), tuned.to(device()))


@pytest.fixture(scope="module")
def absolute_positions(two_models):
    """Two models that know where a token stands, so that padding in front must not count."""
    config = GPT2Config(
        vocab_size=len(two_models.tokenizer), n_embd=32, n_layer=2, n_head=4, initializer_range=0.3, eos_token_id=2
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return TwoModels(two_models.tokenizer, *(GPT2LMHeadModel(config).eval().to(device()) for _ in range(2)))


@pytest.fixture(params=["tiny_pair", "two_models", "absolute_positions"])
def sides(request):
    return request.getfixturevalue(request.param)


def plainly(sides, text, *, tuned):
    """Cross-entropy a token by the loss of transformers, number of predicted tokens, and predicted tokens."""
    ids = on_device([sides.tokenizer(text, add_special_tokens=False)["input_ids"]])
    with torch.no_grad(), sides.side(tuned) as model:
        out = model(input_ids=ids, labels=ids)
    assert out.logits.dtype == torch.float32
    return float(out.loss), ids.shape[1] - 1, out.logits[0, :-1].argmax(-1).tolist()


def answer_tokens(sides, text, *, tuned):
    said = [{"role": "system", "content": ""}, {"role": "user", "content": text}]
    prompt = sides.tokenizer.apply_chat_template(said, add_generation_prompt=True, tokenize=False)
    ids = on_device([sides.tokenizer(prompt, add_special_tokens=False)["input_ids"]])
    with torch.no_grad(), sides.side(tuned) as model:
        tokens = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=32, do_sample=False
        )
    return tokens[0, ids.shape[1] :].tolist()


def answer_plainly(sides, text, *, tuned):
    return sides.tokenizer.decode(answer_tokens(sides, text, tuned=tuned), skip_special_tokens=True).strip()


@pytest.mark.cuda
@pytest.mark.parametrize("batch_size", [1, 2, 4, 16])
def test_perplexity_is_that_of_a_plain_loss_whatever_the_batch(sides, batch_size, monkeypatch):
    monkeypatch.setattr(module, "BATCH_SIZE", batch_size)
    monkeypatch.setattr(module, "_POSITIONS_AT_ONCE", 7 if batch_size == 2 else 256)
    found = measure_forgetting(sides, PASSAGES, [])
    base, tuned = ([plainly(sides, text, tuned=side) for text in PASSAGES] for side in (False, True))
    tokens = sum(count for _, count, _ in base)
    assert (found.passages, found.tokens, found.answers) == (len(PASSAGES), tokens, [])
    expected = [math.exp(sum(loss * count for loss, count, _ in each) / tokens) for each in (base, tuned)]
    firsts = [sides.tokenizer(text, add_special_tokens=False)["input_ids"][0] for text in PASSAGES]
    assert found.bytes == sum(map(len, PASSAGES)) - sum(len(sides.tokenizer.decode([one])) for one in firsts)
    bits = [sum(loss * count for loss, count, _ in each) / math.log(2) / found.bytes for each in (base, tuned)]
    assert found.bits_per_byte == pytest.approx(bits, rel=1e-4)
    assert [found.base_perplexity, found.tuned_perplexity] == pytest.approx(expected, rel=1e-4)
    assert expected[0] != pytest.approx(expected[1], rel=1e-2)
    same = sum(
        one == two
        for (_, _, ones), (_, _, twos) in zip(base, tuned, strict=True)
        for one, two in zip(ones, twos, strict=True)
    )
    assert found.agreement == pytest.approx(same / tokens, abs=1e-12) and found.agreement < 1
    sums = ([-loss * count for loss, count, _ in each] for each in (base, tuned))
    judgement = judge_scores(*sums)
    difference = math.log(found.base_perplexity) - math.log(found.tuned_perplexity)
    assert found.judgement.difference == pytest.approx(difference, abs=1e-9)
    assert found.judgement.difference == pytest.approx(judgement.difference * len(PASSAGES) / tokens, abs=1e-4)
    assert (found.judgement.outcome, found.judgement.n) == (judgement.outcome, len(PASSAGES))
    assert found.judgement.p_value == judgement.p_value


def test_of_a_ruined_model_the_perplexity_is_still_a_number(two_models):
    ruined = copy.deepcopy(two_models.base)
    with torch.no_grad():
        ruined.get_output_embeddings().weight *= 1e5
    found = measure_forgetting(TwoModels(two_models.tokenizer, two_models.base, ruined), PASSAGES, [])
    assert 1e300 < found.tuned_perplexity < math.inf and found.judgement.outcome == "worse"
    assert Forgetting.model_validate_json(found.model_dump_json()) == found


def test_test_and_perplexity_speak_of_the_same_change():
    """Nine short passages a little better, a long one worse: perplexity rises, so the test must not say better."""
    lengths = [4] * 9 + [400]
    base = [-3.0 * length for length in lengths]
    tuned = [(-2.8 if length == 4 else -3.3) * length for length in lengths]
    found = module._judge(base, tuned, sum(lengths))
    assert found.difference == pytest.approx((sum(tuned) - sum(base)) / sum(lengths)) and found.difference < 0
    assert found.outcome != "better"
    assert judge_scores([-3.0] * 10, [-2.8] * 9 + [-3.3]).difference > 0  # what counts every passage the same


def with_beginning(folder, source):
    """The tiny Llama whose tokenizer puts a token before every text, as Llama's own does."""
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    shutil.copytree(source, folder)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    begin = "<|im_start|>"
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A", pair=f"{begin} $A {begin} $B", special_tokens=[(begin, tokenizer.bos_token_id)]
    )
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("by_hand", [True, pytest.param(False, marks=pytest.mark.cuda)])
def test_a_passage_begins_as_the_models_texts_do(by_hand, tiny_llama, make_adapter, tmp_path, monkeypatch):
    """Where the tokenizer adds a token in front, the passage's first token is predicted from it."""
    llama = with_beginning(tmp_path / "llama", tiny_llama)
    pair = open_pair(make_adapter(tmp_path / "adapter", llama))
    if by_hand:
        assert pair.layers_of(True) is not None
    else:
        monkeypatch.setattr(type(pair), "layers_of", lambda *_: None)
    ids = [pair.tokenizer(text)["input_ids"] for text in PASSAGES]
    assert all(row[0] == pair.tokenizer.bos_token_id for row in ids)
    found = measure_forgetting(pair, PASSAGES, [])
    tokens = sum(len(row) - 1 for row in ids)
    assert (found.passages, found.tokens) == (len(PASSAGES), tokens)
    assert found.bytes == sum(map(len, PASSAGES)), "every byte of a passage is predicted"
    for tuned, perplexity in ((False, found.base_perplexity), (True, found.tuned_perplexity)):
        total = 0.0
        for row in ids:
            one = on_device([row])
            with torch.no_grad(), pair.side(tuned) as model:
                total += float(model(input_ids=one, labels=one).loss) * (len(row) - 1)
        assert perplexity == pytest.approx(math.exp(total / tokens), rel=1e-4)


def test_a_token_that_only_the_template_writes_begins_no_passage(tiny_pair):
    assert tiny_pair.tokenizer.bos_token_id is not None and begin_of_text(tiny_pair.tokenizer) == []


@pytest.mark.cuda
def test_answers_are_those_of_each_side_alone(sides):
    found = measure_forgetting(sides, PASSAGES[:2], INSTRUCTIONS)
    assert [answer.instruction for answer in found.answers] == INSTRUCTIONS
    for answer in found.answers:
        assert answer.base == answer_plainly(sides, answer.instruction, tuned=False)
        assert answer.tuned == answer_plainly(sides, answer.instruction, tuned=True)
    assert found.changed > 0


@pytest.mark.cuda
@pytest.mark.parametrize("kind", ["an adapter whose B is 0", "the same model twice"])
def test_identical_sides_have_forgotten_nothing(kind, two_models, tiny_llama, make_adapter, tmp_path):
    if kind == "the same model twice":
        sides = TwoModels(two_models.tokenizer, two_models.base, two_models.base)
    else:
        adapter = make_adapter(tmp_path / "adapter", tiny_llama)
        before = measure_forgetting(open_pair(adapter), PASSAGES, INSTRUCTIONS)
        sides = open_pair(adapter)
        assert before.agreement < 1 and before.changed > 0
        with torch.no_grad():
            for name, parameter in sides.model.named_parameters():
                if "lora_B" in name:
                    parameter.zero_()
    found = measure_forgetting(sides, PASSAGES, INSTRUCTIONS)
    assert found.base_perplexity == found.tuned_perplexity > 1
    assert (found.judgement.outcome, found.judgement.difference) == ("no evidence", 0.0)
    assert (found.agreement, found.changed) == (1.0, 0)


@pytest.mark.cuda
def test_passages_that_predict_nothing_are_skipped(two_models):
    counts = [len(two_models.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in ("", "a")]
    assert counts == [0, 1]
    seen = []
    mixed = ["", PASSAGES[0], "a", *PASSAGES[1:], ""]
    found = measure_forgetting(
        two_models, mixed, INSTRUCTIONS[:1], on_progress=lambda done, total: seen.append((done, total))
    )
    assert found == measure_forgetting(two_models, PASSAGES, INSTRUCTIONS[:1])
    assert seen[-1][0] == seen[-1][1]


@pytest.mark.parametrize("passages", [[], ["", "a"]])
def test_without_a_passage_there_is_nothing_to_measure(two_models, passages):
    with pytest.raises(DataError, match="no passage"):
        measure_forgetting(two_models, passages, INSTRUCTIONS)


@pytest.mark.cuda
def test_an_answer_ends_at_the_end_of_a_turn_whatever_the_models_settings_say(tiny_llama):
    """As of a base whose generation settings name no end: what follows the turn is no part of the answer."""
    tokenizer = load_tokenizer(resolve(str(tiny_llama)))
    model = AutoModelForCausalLM.from_pretrained(tiny_llama).eval().to(device())
    sides = TwoModels(tokenizer, model, model)
    model.generation_config.eos_token_id = None
    text = INSTRUCTIONS[0]
    said = answer_tokens(sides, text, tuned=False)
    assert len(said) == 32
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(said[8])
    answer = measure_forgetting(sides, PASSAGES, [text]).answers[0].base
    ended = said[: said.index(said[8]) + 1]  # this end is an ordinary token, so it is shown
    assert answer == tokenizer.decode(ended, skip_special_tokens=True).strip()
    assert len(answer) < len(tokenizer.decode(said, skip_special_tokens=True).strip())


@pytest.mark.cuda
def test_progress_ends_at_all(two_models):
    seen = []
    measure_forgetting(
        two_models, PASSAGES, INSTRUCTIONS, on_progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(4, 9), (6, 9), (9, 9)]
