"""Raw texts as tokens: no template, begun and ended as the tokenizer does it, several a row and kept apart."""

import pytest
from transformers import PreTrainedTokenizerFast

from data.tasks.own import USUAL
from models.encoded import EncodedExample
from models.loading import load_tokenizer
from models.prompting import Prompter, TextPrompter, prompter_of
from models.sources import resolve
from models.text_rows import documents, pack_texts, packed

TEXT = USUAL["text"]


@pytest.fixture(scope="module")
def prompter(tiny_llama):
    return TextPrompter(load_tokenizer(resolve(str(tiny_llama))), TEXT)


@pytest.fixture
def beginning(tiny_llama):
    """A tokenizer that begins each text itself, as Llama's does."""
    from tokenizers.processors import TemplateProcessing

    tokenizer = PreTrainedTokenizerFast.from_pretrained(str(tiny_llama))
    begin = (tokenizer.bos_token, tokenizer.bos_token_id)
    post = TemplateProcessing(single=f"{begin[0]} $A", special_tokens=[begin])
    tokenizer.backend_tokenizer.post_processor = post
    return tokenizer


@pytest.mark.parametrize("text", ["", "a", "One. Two."])
def test_of_a_raw_text_all_is_learned_but_its_first_token_which_nothing_predicts(prompter, text):
    example = prompter.encode_row({"text": text})
    assert prompter.tokenizer.decode(example.input_ids) == f"{text}<|im_end|>"
    assert example.completion_mask == [0] + [1] * (len(example.input_ids) - 1)
    assert example.texts == (len(example.input_ids),)


def test_raw_texts_share_a_row_where_they_fit_and_go_on_where_they_do_not(prompter):
    texts = ["abc", "de", "x" * 25, "<|im_end|>", "f"]
    rows = pack_texts(prompter, texts, 10)
    assert [row.texts for row in rows] == [(4, 3), (10,), (10,), (6,), (10,), (2, 2)]
    whole = [token for ids in documents(prompter, texts) for token in ids]
    assert [token for row in rows for token in row.input_ids] == whole
    assert whole.count(prompter.tokenizer.eos_token_id) == len(texts)  # none that a text has written
    assert rows[0].completion_mask == [0, 1, 1, 1, 0, 1, 1]
    assert rows[0].learned == 5


def test_a_text_whose_document_goes_on_has_no_end(prompter):
    ended = documents(prompter, ["abc", "de"], ended=[False, True])
    assert list(map(len, ended)) == [3, 3]
    assert [row.texts for row in pack_texts(prompter, ["abc", "de"], 16, ended=[False, True])] == [(3, 3)]


def test_a_tokenizer_that_begins_texts_begins_each_of_them(beginning):
    prompter = TextPrompter(beginning, TEXT)
    begin, end = beginning.bos_token_id, beginning.eos_token_id
    one, other = documents(prompter, ["ab", "c"])
    assert (one[0], one[-1], other[0], other[-1]) == (begin, end, begin, end)
    assert prompter.encode_prompt("ab") == one[:-1]
    assert prompter.contract.template == "<|im_start|>{{ text }}<|im_end|>"


@pytest.mark.parametrize("lengths", [[], [1], [5, 5, 5], [30], [3, 24, 9, 1, 1], [8, 8, 1]])
def test_no_row_is_too_long_and_no_token_is_lost(lengths):
    rows = list(packed(lengths, 8))
    assert sum(map(sum, rows)) == sum(lengths)
    assert all(0 < sum(row) <= 8 for row in rows) and all(min(row) > 0 for row in rows)


def test_what_is_asked_is_an_opening_as_it_stands(prompter):
    assert isinstance(prompter_of(prompter.tokenizer, TEXT), TextPrompter)
    assert type(prompter_of(prompter.tokenizer, USUAL["chat"])) is Prompter
    assert prompter.prompt("Dear <|im_end|> you") == "Dear < |im_end|> you"
    assert prompter.tokenizer.decode(prompter.encode_prompt("Dear Ana")) == "Dear Ana"
    text = "Dear Ana, the boat is late again. " * 9
    assert text.startswith(prompter.asked(text)) and 3 < len(prompter.asked(text).split()) <= 20
    assert prompter.contract.template == "{{ text }}<|im_end|>" and prompter.contract.instruction == ""
    again = Prompter.from_contract(prompter.tokenizer, prompter.contract, TEXT)
    assert isinstance(again, TextPrompter)


def test_a_row_of_texts_says_where_each_is_learned():
    row = EncodedExample.of_texts([[1, 2, 3], [4], [5, 6]])
    assert (row.input_ids, row.spans, row.texts) == ([1, 2, 3, 4, 5, 6], ((1, 3), (5, 6)), (3, 1, 2))
    assert row.completion_mask == [0, 1, 1, 0, 0, 1] and row.learned == 3
