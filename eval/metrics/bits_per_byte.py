"""How many bits a byte of a text takes, if it is written down by what a model expects: lower is better.

A text of which the model is sure takes none. Unlike a perplexity, which is of tokens, it can be compared between
models of different vocabularies, and with a program that compresses texts. Nothing of an answer's words gives it:
the models are asked, see `models.likelihoods.log_likelihoods`.
"""

from __future__ import annotations

import math

from eval.metrics.metric import Metric

METRIC = Metric("bits_per_byte", "bits per byte", "real", ("text",), higher_is_better=False, flip=0.02)


def bits_of(log_likelihood: float) -> float:
    """What a text of this log-probability, in nats, takes."""
    return -log_likelihood / math.log(2)
