"""How many bits a byte of a text takes, if it is written down by what a model expects: lower is better.

A text of which the model is sure takes none. Unlike a perplexity, which is of tokens, it can be compared between
models of different vocabularies, and with a program that compresses texts. Nothing of an answer's words gives it:
the models are asked, see `models.likelihoods.log_likelihoods`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from eval.metrics.metric import Metric

METRIC = Metric("bits_per_byte", "bits per byte", "real", ("text",), higher_is_better=False, flip=0.02)


def bits_of(log_likelihood: float) -> float:
    """What a text of this log-probability, in nats, takes."""
    return -log_likelihood / math.log(2)


def bytes_of(text: str) -> int:
    """How many a text has as UTF-8."""
    return len(text.encode("utf-8", "replace"))


def bytes_predicted(text: str, unpredicted: Iterable[int], tokenizer: Any) -> int:
    """The bytes of a text without those of its tokens that nothing predicts, such as the first; 1 or more."""
    lost = sum(bytes_of(str(tokenizer.decode([token]))) for token in unpredicted)
    return max(1, bytes_of(text) - lost)
