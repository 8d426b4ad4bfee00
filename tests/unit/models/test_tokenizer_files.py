"""Tokenizers that came with adapters: what of them shapes a prompt is taken, and what cannot be is refused."""

import json

import pytest
from transformers import AutoTokenizer

from models.tokenizer_files import TokenizerBeside, cutting_sha256
from plumbing.errors import ModelError

OURS = "{% for message in messages %}<|im_start|>{{ message.content }}{{ eos_token }}{% endfor %}"


@pytest.fixture
def tokenizer(tiny_llama):
    return AutoTokenizer.from_pretrained(tiny_llama)


def written(folder, **files):
    for name, content in files.items():
        path = (
            folder
            / {"config": "tokenizer_config.json", "words": "tokenizer.json", "jinja": "chat_template.jinja"}[name]
        )
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return folder


def test_a_chat_template_is_text_of_a_bounded_length(tmp_path):
    assert TokenizerBeside.read(tmp_path) == TokenizerBeside()
    written(tmp_path, config={"chat_template": "{{ messages }}"})
    assert TokenizerBeside.read(tmp_path).template == "{{ messages }}"
    written(tmp_path, jinja="{{ bos_token }}")
    assert TokenizerBeside.read(tmp_path).template == "{{ bos_token }}"
    written(tmp_path, jinja="x" * 200_000)
    with pytest.raises(ModelError, match="chat template"):
        TokenizerBeside.read(tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    written(tmp_path, config={"chat_template": [{"name": "default"}]})
    with pytest.raises(ModelError, match=r"chat template.*prompt=FILE"):
        TokenizerBeside.read(tmp_path)


@pytest.mark.parametrize(
    "files",
    [
        {"config": "{"}, {"config": "[]"}, {"config": "[" * 100_000}, {"config": {"added_tokens_decoder": 7}},
        {"config": {"added_tokens_decoder": {"x": "y"}}}, {"words": {"added_tokens": [7]}}, {"words": "nothing"},
    ],
)  # fmt: skip
def test_files_that_are_no_tokenizer_are_refused(tmp_path, files):
    with pytest.raises(ModelError, match=r"tokenizer cannot be read.*prompt=FILE"):
        TokenizerBeside.read(written(tmp_path, **files))


def test_a_config_as_long_as_gemma_s_is_read(tmp_path):
    many = {str(number): {"content": f"<unused{number}>", "special": False} for number in range(20_000)}
    found = TokenizerBeside.read(written(tmp_path, config={"added_tokens_decoder": many, "eos_token": "<eos>"}))
    assert (tmp_path / "tokenizer_config.json").stat().st_size > 1_000_000
    assert found.added["<unused7>"] == 7 and found.ends == {"eos_token": "<eos>"}


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "secret").write_text("{}")
    for name in ("tokenizer_config.json", "chat_template.jinja"):
        (tmp_path / name).symlink_to(tmp_path / "secret")
        with pytest.raises(ModelError, match="not a plain file"):
            TokenizerBeside.read(tmp_path)
        (tmp_path / name).unlink()


def test_what_transformers_saves_of_the_base_s_own_changes_nothing(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    beside = TokenizerBeside.read(tmp_path)
    assert beside.added["<|im_end|>"] == tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert beside.onto(tokenizer) == (tokenizer, [])


def test_the_token_that_ended_an_answer_in_training_ends_it_here(tokenizer):
    beside = TokenizerBeside(OURS, {"eos_token": "<|endoftext|>"})
    own, said = beside.onto(tokenizer)
    assert (
        own.apply_chat_template([{"role": "user", "content": "x"}], tokenize=False) == "<|im_start|>x<|endoftext|>"
    )
    assert "chat template that came with the adapter" in said[0] and "eos_token <|endoftext|>" in said[1]
    assert tokenizer.eos_token == "<|im_end|>" and tokenizer.chat_template != OURS  # the base stays as it is
    assert cutting_sha256(own) == cutting_sha256(tokenizer)


@pytest.mark.parametrize(
    ("beside", "token"),
    [
        (TokenizerBeside(ends={"eos_token": "<|turn_end|>"}), "<|turn_end|>"),
        (TokenizerBeside("{{ messages }}<|turn|>", added={"<|turn|>": 300}), "<|turn|>"),
        (TokenizerBeside(added={"<|im_start|>": 300}), "<|im_start|>"),  # in the base's template, by another number
    ],
)
def test_tokens_that_the_base_does_not_have_are_refused(tokenizer, beside, token):
    with pytest.raises(
        ModelError, match=r"tokens that the base's tokenizer does not have.*merge_and_unload"
    ) as caught:
        beside.onto(tokenizer)
    assert token in str(caught.value)


def test_tokens_that_no_prompt_holds_do_not_matter(tokenizer):
    assert TokenizerBeside(added={"<|reserved_7|>": 300}).onto(tokenizer) == (tokenizer, [])


def test_tokenizers_that_cut_alike_are_told_from_others(tokenizer, make_llama, tmp_path):
    again = AutoTokenizer.from_pretrained(make_llama(tmp_path / "again"))
    again.chat_template, again.padding_side = "{{ messages }}", "left"
    assert cutting_sha256(again) == cutting_sha256(tokenizer) != ""
    assert cutting_sha256(
        AutoTokenizer.from_pretrained(make_llama(tmp_path / "bytes", words=()))
    ) != cutting_sha256(again)
    assert cutting_sha256(object()) == ""
