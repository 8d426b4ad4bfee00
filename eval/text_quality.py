"""How a generated answer is written, apart from what it says: length, novelty, repetition, empty, cut off.

Every measure is one number for one answer, so that they average over a test set. They describe, they are no
verdict: a summary, say, may be novel because it is well put or because it is invented. What a word is says
`data.words`. Knows texts, nothing about models or tasks.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from data.words import words

_NGRAM = 3


class TextQuality(BaseModel):
    """The measures of one answer, or their means over several."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    length_ratio: float = Field(
        description="Words of the answer / words of the reference; 1 is as long as the reference.", ge=0
    )
    novelty: float = Field(
        description="Share of the answer's words that do not occur in what was asked, 0 to 1; neither way is "
        "better.",
        ge=0,
        le=1,
    )
    repetition: float = Field(
        description="Share of its runs of three words that occurred in it before, 0 to 1; lower is better.",
        ge=0,
        le=1,
    )
    empty: float = Field(description="1 where the answer holds no word, else 0; lower is better.", ge=0, le=1)
    cut_off: float = Field(
        description="1 where the answer reached the token limit before its end, else 0; lower is better.",
        ge=0,
        le=1,
    )


def text_quality(
    answer: str,
    *,
    asked: str,
    references: Sequence[str],
    tokens: int | None = None,
    max_new_tokens: int | None = None,
) -> TextQuality:
    """Every measure of one answer.

    Args:
        answer: the generated text.
        asked: what it answers.
        references: one reference answer or several.
        tokens: generated tokens, the end of turn not counted; None where nothing generated the answer.
        max_new_tokens: the token limit; None where there was none.

    Raises:
        ValueError: `references` is empty.
    """
    return TextQuality(
        length_ratio=length_ratio(answer, references),
        novelty=novelty(answer, asked),
        repetition=repetition(answer),
        empty=float(not words(answer)),
        cut_off=float(tokens is not None and max_new_tokens is not None and tokens >= max_new_tokens),
    )


def length_ratio(answer: str, references: Sequence[str]) -> float:
    """Words of the answer / words of the reference; 0 for an empty answer, 1 for one as long as the reference.

    Of several references it takes the one nearest in length, as BLEU does (Papineni et al. 2002,
    https://aclanthology.org/P02-1040), the shorter of two that are as near. A reference without a word counts
    as one word.

    Raises:
        ValueError: `references` is empty.
    """
    if not references:
        raise ValueError("an answer needs at least one reference to compare its length with")
    length = len(words(answer))
    lengths = [max(1, len(words(reference))) for reference in references]
    return length / min(lengths, key=lambda other: (abs(other - length), other))


def novelty(answer: str, asked: str) -> float:
    """The share of the answer's words, each time it is said counted, that do not occur in what was asked, 0 to 1.

    1 − coverage of Grusky et al. 2018 (https://aclanthology.org/N18-1065). A word in another form (*wants* for
    *want*) is novel. 0 for an empty answer.
    """
    said, known = words(answer), set(words(asked))
    return sum(word not in known for word in said) / max(1, len(said))


def repetition(answer: str) -> float:
    """The share of the answer's runs of three words that occurred in it before, 0 to 1; 0 under three words.

    seq-rep-3 of Welleck et al. 2020 (https://arxiv.org/abs/1908.04319), over words: 1 − distinct runs / runs.
    """
    said = words(answer)
    runs = [tuple(said[start : start + _NGRAM]) for start in range(len(said) - _NGRAM + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0
