"""Raw texts as rows of tokens that are learned: long ones in pieces, short ones several a row.

A text begins as the tokenizer itself begins one, and ends with the tokenizer's end of text. Texts that share a row
do not see each other: a row keeps the length of each, and whoever computes it begins anew there, so that what is
learned of a text does not depend on its neighbours. Nothing predicts a piece's first token, which is only read.
Knows no chat template.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
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


def documents(prompter: Prompter, texts: Sequence[str], *, ended: Sequence[bool] | None = None) -> list[list[int]]:
    """The tokens of each text, from its beginning to its end.

    `ended` says of each whether its document ends with it, so that the end of text stands there; left out, all do.
    """
    end = prompter.tokenizer.eos_token_id
    begin, ends = begin_of_text(prompter.tokenizer), [] if end is None else [end]
    if not texts:
        return []
    encoded = prompter.encode_texts([prompter.plain(text) for text in texts])
    ended = [True] * len(texts) if ended is None else ended
    return [[*begin, *ids, *(ends if is_end else [])] for ids, is_end in zip(encoded, ended, strict=True)]


def pack_texts(
    prompter: Prompter, texts: Sequence[str], longest: int, *, ended: Sequence[bool] | None = None
) -> list[EncodedExample]:
    """Rows of at most `longest` tokens that hold all of `texts` in their order; `ended` as for `documents`."""
    encoded = documents(prompter, texts, ended=ended)
    tokens = chain.from_iterable(encoded)
    return [
        EncodedExample.of_texts([list(islice(tokens, length)) for length in lengths])
        for lengths in packed(map(len, encoded), longest)
    ]


def packed(lengths: Iterable[int], longest: int) -> Iterator[list[int]]:
    """How texts of so many tokens share rows of at most `longest`: the lengths of each row's pieces, in order.

    A text that is longer begins a row and goes on in the next; shorter ones share a row as long as they fit whole.
    """
    row: list[int] = []
    for length in lengths:
        if row and sum(row) + length > longest:
            yield row
            row = []
        while length > longest:
            yield [longest]
            length -= longest
        row.append(length)
    if row:
        yield row
