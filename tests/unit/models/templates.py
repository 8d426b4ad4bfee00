"""Tokenizers with the chat templates that models ship, as TRL brings them along, byte for byte the models'."""

import importlib.util
import re
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

TEMPLATES = Path(next(iter(importlib.util.find_spec("trl").submodule_search_locations))) / "chat_templates"


def tokenizer_with(template, begin, end, *, merges=()):
    """Bytes, pairs of them that are joined, and whole tokens for what the template writes between its messages."""
    marks = sorted({*re.findall(r"<\|?\w+\|?>|</\w+>", template), *filter(None, (begin, end)), "<end_of_turn>"})
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*letters, *("".join(pair) for pair in merges)]
    bpe = Tokenizer(models.BPE(vocab={piece: index for index, piece in enumerate(pieces)}, merges=[*merges]))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.add_special_tokens([mark for mark in marks if "think" not in mark])
    bpe.add_tokens([mark for mark in marks if "think" in mark])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token=begin, eos_token=end)
    tokenizer.chat_template = template
    return tokenizer
