"""Raw texts as rows of tokens, of which every one is learned: long ones in pieces, short ones several a row.

A text ends with the tokenizer's end of text, and begins as the tokenizer itself begins one. Knows no chat template.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from models.encoded import EncodedExample

if TYPE_CHECKING:
    from models.prompting import Prompter


def begin_of_text(tokenizer: Any) -> list[int]:
    """The token that the tokenizer itself puts before a text, as the model has seen in training; of many, none.

    It alone knows: a tokenizer may name a beginning that only the chat template writes.
    """
    begin = tokenizer.bos_token_id
    return [] if begin is None or tokenizer("a")["input_ids"][:1] != [begin] else [begin]


def documents(prompter: Prompter, texts: Sequence[str]) -> list[list[int]]:
    """The tokens of each text, from its beginning to its end."""
    end = prompter.tokenizer.eos_token_id
    begin, ends = begin_of_text(prompter.tokenizer), [] if end is None else [end]
    if not texts:
        return []
    return [[*begin, *ids, *ends] for ids in prompter.encode_texts([prompter.plain(text) for text in texts])]


def pack_texts(prompter: Prompter, texts: Sequence[str], longest: int) -> list[EncodedExample]:
    """Rows of at most `longest` tokens that hold all of `texts` in their order.

    A text that is longer begins a row and goes on in the next; shorter ones share a row as long as they fit whole.
    """
    return [EncodedExample.whole(ids) for ids in _rows(documents(prompter, texts), longest)]


def _rows(texts: Sequence[list[int]], longest: int) -> Iterator[list[int]]:
    row: list[int] = []
    for ids in texts:
        if row and len(row) + len(ids) > longest:
            yield row
            row = []
        row = row + ids
        while len(row) > longest:
            yield row[:longest]
            row = row[longest:]
    if row:
        yield row
