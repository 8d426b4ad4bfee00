"""ROUGE of an answer. Knows texts, nothing about models or tasks."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from rouge_score.rouge_scorer import RougeScorer

ROUGE_NAMES = ("rouge1", "rouge2", "rougeL", "rougeLsum")

BETWEEN_SENTENCES = re.compile(r"(?<=[.!?])\s+")


def rouge_scores(prediction: str, references: Sequence[str]) -> dict[str, float]:
    """ROUGE F-measures of one answer, 0 to 1 each, under `ROUGE_NAMES`.

    As in the paper (Lin 2004, https://aclanthology.org/W04-1013), with Porter's stemmer. Where there are
    several references, each measure takes the one that gives it the most. ROUGE-Lsum compares sentence by
    sentence. Only the letters a to z and digits count, so a text in another script scores 0.
    """
    scores = rouge_scorer().score_multi([in_sentences(text) for text in references], in_sentences(prediction))
    return {name: float(scores[name].fmeasure) for name in ROUGE_NAMES}


def in_sentences(text: str) -> str:
    """`text` with a sentence a line, which is how `rouge_score` wants it for ROUGE-Lsum.

    A sentence ends at `.`, `!` or `?` before a space. The other measures ignore white space.
    """
    return BETWEEN_SENTENCES.sub("\n", text.strip())


@functools.cache
def rouge_scorer() -> RougeScorer:
    return RougeScorer(list(ROUGE_NAMES), use_stemmer=True)
