"""Both answers out of one call are what each side answers alone; Stop works within a token."""

import dataclasses
import itertools
import json
import shutil
import threading

import pytest
import torch
from transformers import LlamaConfig

from models.fast import llama
from models.fast.llama import PIECE
from models.generation import (
    _rows_that_fit,
    answer_base_batch,
    answer_batch,
    answers_at_once,
    second_side_cost,
    stream_answers,
)
from models.pair import open_pair

TEXTS = [
    "Ana: Soup?\nLeo: Yes.",
    "Ana: My laptop is broken.\nLeo: I can look at it on Friday, if you like.",
    "Tom: Hi.",
]
LENGTH = 12


@pytest.fixture(scope="module")
def pair(tiny_dialogue_pair):
    return tiny_dialogue_pair


def alone(pair, prompt, *, tuned, length=LENGTH):
    """The tokens that one side generates in a call of its own, up to the end of its turn."""
    inputs = pair.batch([prompt])
    settings = {"max_new_tokens": length, "do_sample": False, "pad_token_id": pair.tokenizer.pad_token_id}
    with torch.no_grad():
        if tuned:
            tokens = pair.model.generate(**inputs, **settings)
        else:
            with pair.model.disable_adapter():
                tokens = pair.model.generate(**inputs, **settings)
    answer = tokens[0, len(prompt) :].tolist()
    end = pair.tokenizer.eos_token_id
    return answer[: answer.index(end)] if end in answer else answer


@pytest.mark.cuda
@pytest.mark.parametrize("text", TEXTS)
def test_streamed_answers_equal_each_side_alone(pair, text):
    prompt = pair.prompter.encode_prompt(text)
    *_, last = stream_answers(pair, prompt, prompt, max_new_tokens=LENGTH)
    for answer, tuned in ((last.base, False), (last.tuned, True)):
        expected = alone(pair, prompt, tuned=tuned)
        assert answer.tokens == len(expected)
        assert answer.text == pair.tokenizer.decode(expected, skip_special_tokens=True).rstrip("\ufffd")
    assert last.base.text != last.tuned.text


@pytest.mark.cuda
def test_the_sides_may_have_prompts_of_their_own(pair):
    short, long = (pair.prompter.encode_prompt(text) for text in TEXTS[:2])
    *_, last = stream_answers(pair, long, short, max_new_tokens=LENGTH)
    assert last.base.tokens == len(alone(pair, long, tuned=False))
    expected = pair.tokenizer.decode(alone(pair, short, tuned=True), skip_special_tokens=True)
    assert last.tuned.text == expected.rstrip("\ufffd")


@pytest.mark.cuda
def test_text_grows_token_by_token(pair):
    prompt = pair.prompter.encode_prompt(TEXTS[0])
    steps = list(stream_answers(pair, prompt, prompt, max_new_tokens=LENGTH))
    counts = [step.base.tokens for step in steps]
    assert counts[0] == 1
    assert all(0 <= later - earlier <= 1 for earlier, later in itertools.pairwise(counts))
    assert steps[-1].base.seconds >= steps[-1].base.first_token_seconds > 0


@pytest.mark.cuda
@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_a_batch_answers_as_each_row_alone(pair, batch_size):
    answers = answer_batch(pair, TEXTS, max_new_tokens=LENGTH, batch_size=batch_size)
    for text, both in zip(TEXTS, answers, strict=True):
        prompt = pair.prompter.encode_prompt(text)
        assert both.base.token_ids == alone(pair, prompt, tuned=False)
        assert both.tuned.token_ids == alone(pair, prompt, tuned=True)


@pytest.mark.cuda
def test_stop_ends_within_a_token(pair):
    class SetAtTheFifth(threading.Event):
        """As if someone pressed Stop while the fifth token was computed."""

        asked = 0

        def is_set(self):
            self.asked += 1
            return self.asked >= 5 or super().is_set()

    prompt = pair.prompter.encode_prompt(TEXTS[1])
    assert min(len(alone(pair, prompt, tuned=tuned)) for tuned in (False, True)) > 5
    *_, last = stream_answers(pair, prompt, prompt, max_new_tokens=500, stop=SetAtTheFifth())
    assert (last.base.tokens, last.tuned.tokens) == (5, 5)
    assert not last.base.finished


@pytest.mark.cuda
def test_stop_before_the_start_gives_one_token(pair):
    prompt = pair.prompter.encode_prompt(TEXTS[1])
    stop = threading.Event()
    stop.set()
    *_, last = stream_answers(pair, prompt, prompt, max_new_tokens=500, stop=stop)
    assert max(last.base.tokens, last.tuned.tokens) == 1


def long_prompt(pair, *, pieces):
    prompt = pair.prompter.encode_prompt("Ana: soup? " * 300)
    return prompt[: pieces * PIECE - 9]


def test_a_prompt_that_is_read_in_pieces_is_answered_as_in_one(pair):
    long, short = long_prompt(pair, pieces=3), pair.prompter.encode_prompt(TEXTS[0])
    for base, tuned in ((long, long), (short, long), (long, short)):
        *_, last = stream_answers(pair, base, tuned, max_new_tokens=LENGTH)
        assert last.base.token_ids == alone(pair, base, tuned=False)
        assert last.tuned.token_ids == alone(pair, tuned, tuned=True)


@pytest.mark.parametrize("tuned", [False, True])
def test_the_logits_behind_pieces_equal_those_of_one_pass(pair, monkeypatch, tuned):
    prompt, layers = long_prompt(pair, pieces=2), pair.layers_of(True)
    with torch.inference_mode(), pair.side(tuned) as model:
        whole = model(input_ids=torch.tensor([prompt]), logits_to_keep=1).logits[0, -1]
        for piece in (7, 64, len(prompt) - 1, 10_000):
            monkeypatch.setattr(llama, "PIECE", piece)
            prefix = llama.LlamaPrefix(layers, prompt[:-1], adapted=tuned)
            logits = layers._head(prefix.last([prompt[-1:]], 1)[0, -1])
            torch.testing.assert_close(logits, whole, rtol=1e-4, atol=1e-4)


def test_stop_ends_the_reading_of_a_long_prompt_within_a_piece(pair, monkeypatch):
    prompt, stop, read = long_prompt(pair, pieces=3), threading.Event(), []
    infer = llama.LlamaLayers.infer

    def counted(self, tokens, *args, **kwargs):
        read.append(len(tokens))
        if len(read) == 2:
            stop.set()  # while the second piece is read
        return infer(self, tokens, *args, **kwargs)

    monkeypatch.setattr(llama.LlamaLayers, "infer", counted)
    *_, last = stream_answers(pair, prompt, prompt, max_new_tokens=LENGTH, stop=stop)
    assert read == [PIECE, PIECE]
    assert (last.base.tokens, last.tuned.tokens) == (0, 0)


@pytest.mark.cuda
def test_closing_the_stream_ends_the_thread(pair):
    prompt = pair.prompter.encode_prompt(TEXTS[1])
    streamer = stream_answers(pair, prompt, prompt, max_new_tokens=800)
    next(streamer)
    streamer.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "generate"]


@pytest.mark.cuda
def test_a_side_that_ended_its_turn_grows_no_more(make_llama, make_adapter, tmp_path):
    pair = open_pair(make_adapter(tmp_path / "adapter", make_llama(tmp_path / "base"), task="dialogue"))
    prompt = pair.prompter.encode_prompt(TEXTS[0])
    free = alone(pair, prompt, tuned=False, length=40)
    tuned = alone(pair, prompt, tuned=True, length=40)
    end = next(token for token in free[2:] if token not in tuned)  # only the base side will meet it
    pair.model.generation_config.eos_token_id = [pair.tokenizer.eos_token_id, end]
    *_, last = stream_answers(pair, prompt, prompt, max_new_tokens=40)
    assert last.base.finished
    assert last.base.tokens == free.index(end)
    assert last.tuned.tokens == len(tuned) > last.base.tokens
    assert last.tuned.finished == (len(tuned) < 40)


def test_an_error_reaches_the_reader(pair):
    with pytest.raises(IndexError):
        list(stream_answers(pair, [10**6], [10**6], max_new_tokens=2))


def test_a_character_of_several_tokens_is_shown_when_it_is_whole(pair):
    from models.stepping import Answer, RowStreamer

    streamer = RowStreamer(pair, 1)
    tokens = pair.tokenizer.encode("a\u20ac", add_special_tokens=False)
    assert len(tokens) == 4
    shown = [streamer.decode(Answer(token_ids=tokens[:count])) for count in range(1, 5)]
    assert shown == ["a", "a", "a", "a\u20ac"]


HISTORY = [
    {"role": "user", "content": "Ana: Tea?\nTom: No."},
    {"role": "assistant", "content": "No tea."},
]


@pytest.mark.cuda
def test_a_few_shot_prompt_is_answered_as_the_base_answers_it_alone(pair):
    answers = answer_base_batch(pair, TEXTS, HISTORY, max_new_tokens=LENGTH, batch_size=2)
    for text, answer in zip(TEXTS, answers, strict=True):
        assert answer.token_ids == alone(pair, pair.prompter.encode_prompt(text, HISTORY), tuned=False)


def test_what_the_second_side_costs_is_measured(pair):
    prompt = pair.prompter.encode_prompt("The soup was cold.")
    assert 0.3 < second_side_cost(pair, prompt) < 5
    other = dataclasses.replace(pair)
    other.model.requires_grad_(True)  # then `generate` decodes
    try:
        assert second_side_cost(other, prompt) is None
    finally:
        other.model.requires_grad_(False)


def test_a_card_answers_as_many_at_once_as_its_free_memory_holds(pair):
    """On a processor the number does not depend on memory."""
    large = LlamaConfig(hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32)
    small = LlamaConfig(hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9)
    few, more, longer = (_rows_that_fit(large, 2, *given) for given in ((7e9, 400), (40e9, 400), (40e9, 800)))
    assert 8 <= few < longer < more
    kept = 2 * 32 * 4096 * 2 * 400  # bytes of a row's keys and values
    assert few * kept < 0.5 * 7e9 and more * kept < 0.5 * 40e9
    assert _rows_that_fit(small, 2, 70e9, 400) == 512
    assert answers_at_once(pair, [[1] * 400], 64) == answers_at_once(pair, [[1]], 1) == 32


@pytest.mark.cuda
def test_answers_are_greedy_whatever_the_models_own_settings_ask_for(tiny_llama, make_adapter, tmp_path):
    """As of a base that ships with a penalty on words it has read, which only `generate` would heed."""
    base = shutil.copytree(tiny_llama, tmp_path / "base")
    plain = answers_by_generate(open_pair(make_adapter(tmp_path / "plain", base, task="dialogue")))
    asked = json.loads((base / "generation_config.json").read_text())
    asked |= {"repetition_penalty": 1.8, "no_repeat_ngram_size": 2, "num_beams": 4, "do_sample": True}
    (base / "generation_config.json").write_text(json.dumps(asked))
    assert answers_by_generate(open_pair(make_adapter(tmp_path / "asked", base, task="dialogue"))) == plain


def answers_by_generate(pair):
    pair.model.requires_grad_(True)  # then its layers are not computed by hand
    assert pair.layers_of(True) is None
    return [
        (both.base.token_ids, both.tuned.token_ids) for both in answer_batch(pair, TEXTS, max_new_tokens=LENGTH)
    ]
