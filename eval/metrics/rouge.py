"""ROUGE of an answer, in any script. Knows texts, nothing about models or tasks."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import DefaultTokenizer, Tokenizer

from data.words import words

ROUGE_NAMES = ("rouge1", "rouge2", "rougeL", "rougeLsum")

TOKENIZER = "words of any script; of Han, Kana, Hangul, Thai, Lao, Khmer and Burmese single characters"
"""How a text is cut, for the report. That of `rouge_score` itself knows the letters a to z and digits only."""

BETWEEN_SENTENCES = re.compile(r"(?<=[.!?؟۔।॥])\s+|(?<=[。！？｡])\s*(?=\w)")


def rouge_scores(prediction: str, references: Sequence[str]) -> dict[str, float]:
    """ROUGE F-measures of one answer, 0 to 1 each, under `ROUGE_NAMES`.

    As in the paper (Lin 2004, https://aclanthology.org/W04-1013), with Porter's stemmer. Where there are
    several references, each measure takes the one that gives it the most. ROUGE-Lsum compares sentence by
    sentence. On ASCII text equal to `rouge_score` with its own tokenizer.
    """
    scores = rouge_scorer().score_multi([in_sentences(text) for text in references], in_sentences(prediction))
    return {name: float(scores[name].fmeasure) for name in ROUGE_NAMES}


def in_sentences(text: str) -> str:
    """`text` with a sentence a line, which is how `rouge_score` wants it for ROUGE-Lsum.

    A sentence ends at `.`, `!`, `?` or their like before a space, and at `。`, `！` or `？`, which none follows.
    The other measures ignore white space.
    """
    return BETWEEN_SENTENCES.sub("\n", text.strip())


class AnyScript(Tokenizer):  # type: ignore[misc]  # rouge_score ships no types
    """The words of a text; those of ASCII letters as `rouge_score` takes them, by their stems."""

    def __init__(self) -> None:
        self._ascii = DefaultTokenizer(use_stemmer=True)

    def tokenize(self, text: str) -> list[str]:
        found: list[str] = []
        for word in words(text):
            found += self._ascii.tokenize(word) if word.isascii() else [word]
        return found


@functools.cache
def rouge_scorer() -> RougeScorer:
    return RougeScorer(list(ROUGE_NAMES), tokenizer=AnyScript())
