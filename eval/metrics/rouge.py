"""ROUGE: the words, pairs of words and sequences that an answer shares with a reference, in any script."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

from data.words import words
from eval.metrics.metric import Metric

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


@functools.cache
def rouge_scorer() -> Any:
    """A scorer of words of any script; those of ASCII letters are as `rouge_score` takes them, by their stems."""
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenizers import DefaultTokenizer, Tokenizer

    of_ascii = DefaultTokenizer(use_stemmer=True)

    class AnyScript(Tokenizer):  # type: ignore[misc]  # rouge_score ships no types
        def tokenize(self, text: str) -> list[str]:
            found: list[str] = []
            for word in words(text):
                found += of_ascii.tokenize(word) if word.isascii() else [word]
            return found

    return RougeScorer(list(ROUGE_NAMES), tokenizer=AnyScript())


@functools.lru_cache(maxsize=8)
def _all_of(answer: str, references: tuple[str, ...]) -> dict[str, float]:
    """The four have most of their work in common, and are asked for one after another."""
    return rouge_scores(answer, references)


def _named(name: str) -> Callable[[str, Sequence[str]], float]:
    return lambda answer, references: _all_of(answer, tuple(references))[name]


# A word more or less in an answer of twenty moves ROUGE by about 0.05: less is another wording of the same.
METRICS = tuple(
    Metric(name, title, "real", ("generation", "chat"), flip=0.05, row=_named(name), limits=(0.0, 1.0))
    for name, title in zip(ROUGE_NAMES, ("ROUGE-1", "ROUGE-2", "ROUGE-L", "ROUGE-Lsum"), strict=True)
)
