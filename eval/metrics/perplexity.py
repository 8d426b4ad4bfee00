"""How probable a model finds all that the assistant says in a chat, or a text: what perplexity is made of.

A row's value is its mean log-probability a token, in nats, so higher is better and 0 is the most; the perplexity is
exp(-value). Nothing of an answer's words gives it: the models are asked, see `models.scoring.turn_log_likelihoods`.
Of texts a long one counts for more, as it does in the perplexity of all of them (`eval.documents`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from eval.metrics.metric import Metric, Told

_MOST = 700.0
"""Nats a token of which a perplexity is still a number: a model that was ruined may be further off."""


def of_mean(log_likelihood: float) -> float:
    """The perplexity where a token has this mean log-probability, in nats."""
    return math.exp(min(-log_likelihood, _MOST))


METRIC = Metric(
    "perplexity",
    "log-likelihood a token",
    "real",
    ("chat", "text"),
    flip=0.05,
    told=Told("perplexity", of_mean, of_mean, higher_is_better=False),
)


def a_token(summed: float, tokens: int) -> float:
    """A row's value, of its summed log-probability and its tokens; 0 where nothing of it is learned."""
    return summed / tokens if tokens else 0.0


def perplexity(summed: Sequence[float], tokens: Sequence[int]) -> float:
    """Of all rows: 1 or more, lower is better."""
    return of_mean(math.fsum(summed) / sum(tokens)) if sum(tokens) else 1.0
